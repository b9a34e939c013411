"""Villains do what their tricks are called, with their own keys only."""

from dataclasses import replace
from random import Random

import pytest

from heptad.consensus.certificates import Certificates as Judge
from heptad.consensus.codec import new_tc
from heptad.consensus.errors import RefusedError
from heptad.consensus.leader_record import Failure, LeaderRecord
from heptad.consensus.leaders import Schedule
from heptad.consensus.messages import (
    BatchesReply,
    Certificates,
    FetchChain,
    Proposal,
    decode_message,
    encode_message,
)
from heptad.consensus.objects import Timeout, TimeoutClaim, Vote
from heptad.consensus.state import ChainState
from heptad.model.canonical import MalformedError
from heptad.model.ids import Epoch, Height, MemberIndex, Round
from heptad.simulation.byzantine import INITIATIVES, TRICKS, Sending, Villain

OTHERS = (MemberIndex(1), MemberIndex(2), MemberIndex(3))

FAILED_BEFORE_ROUND_5 = LeaderRecord((Failure(0, 1, 4), Failure(2, 1, 2), Failure(3, 1, 3)))
"""Skipped after the genesis: its proposer by the QC rule, then members[2], [3] and [0]."""


@pytest.fixture
def villain_of(scene):
    def make(*tricks, seed=1):
        return Villain(
            me=MemberIndex(0), cell=scene.forge.cell, signer=scene.forge.keys.signer("vote", 0),
            schedule=Schedule(scene.forge.cell.committee, 64), rng=Random(seed), tricks=tricks,
        )  # fmt: skip

    return make


@pytest.fixture
def judge(scene):
    return Judge(scene.forge.cell, scene.forge.keys)


def sent(villain, message, targets=OTHERS):
    return villain.twist(targets, encode_message(message))


def messages(sendings):
    return [decode_message(sending.payload) for sending in sendings]


def timeout_of(villain, scene, round_=1):
    return villain.timeout(Round(round_), scene.forge.genesis_qc, None)


def tc_of(scene):
    claims = [TimeoutClaim(MemberIndex(i), Round(0), b"", bytes(64)) for i in (1, 2, 3)]
    return new_tc(epoch=Epoch(1), round_=Round(4), claims=claims, high_qc=scene.forge.genesis_qc)


def test_without_tricks_a_villain_says_what_his_core_says(villain_of, scene):
    payload = encode_message(scene.forge.proposal(scene.forge.block(scene.forge.genesis)))

    assert villain_of().twist(OTHERS, payload) == [Sending(OTHERS, payload)]
    assert villain_of().initiative() == []


@pytest.mark.parametrize("trick", sorted(TRICKS))
def test_every_trick_copes_with_every_kind_of_message(villain_of, scene, trick):
    villain = villain_of(trick)
    block = scene.forge.block(scene.forge.genesis)
    for message in (
        scene.forge.proposal(block), scene.forge.vote(block, 0), timeout_of(villain, scene),
        Certificates(scene.forge.qc(block), tc_of(scene)), FetchChain(Height(1), 0),
        BatchesReply((b"x",)),
    ):  # fmt: skip
        for sending in sent(villain, message):
            assert set(sending.targets) <= set(OTHERS)
            assert sending.delay_us >= 0


def test_a_silent_villain_says_nothing(villain_of, scene):
    block = scene.forge.block(scene.forge.genesis)

    assert sent(villain_of("silent"), scene.forge.vote(block, 0)) == []


def test_votes_certificates_and_data_can_be_withheld(villain_of, scene):
    block = scene.forge.block(scene.forge.genesis)
    proposal, vote = scene.forge.proposal(block), scene.forge.vote(block, 0)

    assert sent(villain_of("withhold_votes"), vote) == []
    assert len(sent(villain_of("withhold_votes"), proposal)) == 1
    assert len(sent(villain_of("withhold_certificates"), proposal)[0].targets) == 1
    assert sent(villain_of("withhold_data"), BatchesReply((b"x",))) == []


def test_an_equivocator_signs_two_blocks_of_one_round(villain_of, scene, judge):
    block = scene.forge.block(scene.forge.genesis)
    proposals = [
        message
        for message in messages(sent(villain_of("equivocate"), scene.forge.proposal(block)))
        if isinstance(message, Proposal)
    ]

    assert len({proposal.block.id for proposal in proposals}) == 2
    for proposal in proposals:
        assert proposal.block.round == block.round
        judge.proposer(proposal.block, proposal.signature)


def test_an_equivocator_votes_for_each_rival_of_a_round(villain_of, scene, judge):
    villain = villain_of("equivocate")
    rivals = [scene.forge.block(scene.forge.genesis, time_ms=time_ms) for time_ms in (1, 2)]
    for rival in rivals:
        villain.blocks[rival.id] = rival
    votes = messages(sent(villain, scene.forge.vote(rivals[0], 0)))

    assert {vote.block_id for vote in votes} == {rival.id for rival in rivals}
    for vote in votes:
        judge.vote(vote)


def test_an_empty_leader_strips_the_batches_and_keeps_the_head(villain_of, scene):
    block = scene.forge.block(scene.forge.genesis, scene.forge.batch(0, b"a"))
    (message,) = messages(sent(villain_of("empty"), scene.forge.proposal(block)))

    assert message.block.batches == ()
    assert message.block.head == scene.forge.genesis.head
    assert message.block.parent_id == scene.forge.genesis.id


def test_a_stale_leader_extends_the_grandparent(villain_of, scene):
    villain = villain_of("stale")
    parent = scene.forge.block(scene.forge.genesis)
    sent(villain, scene.forge.proposal(parent))
    block = scene.forge.block(parent, round_=5, tc=tc_of(scene))
    (message,) = messages(sent(villain, scene.forge.proposal(block)))

    assert message.block.parent_id == scene.forge.genesis.id
    assert message.block.round == 5
    state = replace(ChainState.genesis(), leader_record=FAILED_BEFORE_ROUND_5)
    membership_hash = scene.forge.cell.membership_hash()
    assert message.block.state_hash == state.hash(epoch=1, membership_hash=membership_hash)


@pytest.mark.parametrize("seed", range(20))
def test_a_forger_forges_nothing_that_verifies(villain_of, scene, judge, seed):
    """Under his own name he may sign what he likes; under another's, or a quorum's, he cannot."""
    villain = villain_of("forge", seed=seed)
    block = scene.forge.block(scene.forge.block(scene.forge.genesis))
    originals = [
        scene.forge.vote(block, 0), scene.forge.proposal(block), timeout_of(villain, scene, 2),
        Certificates(scene.forge.qc(block), tc_of(scene)),
    ]  # fmt: skip
    plain = {encode_message(message) for message in originals}
    for original in originals:
        for sending in sent(villain, original):
            if sending.payload not in plain:
                with pytest.raises((RefusedError, MalformedError)):
                    believe(judge, decode_message(sending.payload))


def believe(judge, message):
    """Take a message for true, or raise."""
    match message:
        case Vote():
            judge.vote(message)
        case Proposal(block, signature):
            judge.entry(block)
            judge.proposer(block, signature)
        case Timeout():
            judge.timeout(message)
        case Certificates(high_qc, highest_tc):
            judge.qc(high_qc)
            if highest_tc is not None:
                judge.tc(highest_tc)


@pytest.mark.parametrize("initiative", sorted(INITIATIVES))
def test_initiatives_come_out_of_what_was_heard(villain_of, scene, initiative):
    villain = villain_of(initiative)
    block = scene.forge.block(scene.forge.genesis)
    for _ in range(10):
        sent(villain, scene.forge.proposal(block))
    sendings = [sending for _ in range(10) for sending in villain.initiative()]

    assert sendings
    assert villain.twisted == len(sendings)
    if initiative == "replay":
        assert {s.payload for s in sendings} == {encode_message(scene.forge.proposal(block))}
    if initiative == "future":
        assert min(message.round for message in messages(sendings)) > block.justify.round


def test_a_villains_memory_is_bounded(villain_of):
    villain = villain_of("replay")
    for number in range(1_000):
        villain.overhear(b"%d" % number)

    assert len(villain.memory) == 200


def test_an_unknown_trick_is_refused(villain_of):
    with pytest.raises(AssertionError):
        villain_of("charm")
