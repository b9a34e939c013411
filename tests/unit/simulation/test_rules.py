"""Partitions by round: what is said about a round stays within its groups."""

from heptad.consensus.messages import FetchBatches, decode_message, encode_message
from heptad.simulation.network import VALIDATORS_AT, NodeId
from heptad.simulation.rules import RoundPartitions

ONE, TWO, THREE = NodeId(0), NodeId(1), NodeId(2)


def partitions(*rounds, first=1):
    return RoundPartitions(round_first=first, rounds=rounds, decode=decode_message)


def vote_of(scene, round_):
    block = scene.forge.block(scene.forge.genesis, round_=round_)
    return encode_message(scene.forge.vote(block, 0))


def test_each_round_has_its_own_groups(scene):
    rule = partitions({ONE: 0, TWO: 0, THREE: 1}, {ONE: 0, TWO: 1, THREE: 0}, first=4)

    assert rule(ONE, TWO, vote_of(scene, 4))
    assert not rule(ONE, THREE, vote_of(scene, 4))
    assert not rule(ONE, TWO, vote_of(scene, 5))
    assert rule(ONE, THREE, vote_of(scene, 5))
    assert rule.dropped == 2


def test_other_rounds_and_what_is_of_no_round_pass(scene):
    rule = partitions({ONE: 0, TWO: 1}, first=4)

    assert rule(ONE, TWO, vote_of(scene, 3))
    assert rule(ONE, TWO, vote_of(scene, 5))
    assert rule(ONE, TWO, encode_message(FetchBatches((bytes(32),))))
    assert rule(ONE, TWO, b"rubbish")
    assert rule(NodeId(VALIDATORS_AT + 1), TWO, b"a batch")


def test_who_is_in_no_group_is_in_one_more(scene):
    rule = partitions({ONE: 0})

    assert rule(TWO, THREE, vote_of(scene, 1))
    assert not rule(ONE, TWO, vote_of(scene, 1))
