"""Adopting certificates: what is news, what is told, and what they are compared with."""

from dataclasses import replace

import pytest

from heptad.consensus.core.adopting import adopt_qc, adopt_tc
from heptad.model.ids import BlockId

ME = 3
BLOCK, OTHER = BlockId(b"b" * 32), BlockId(b"c" * 32)


@pytest.fixture
def parts(world):
    """A replica that hears nothing but what a test has it adopt."""
    world.run()
    world.drop = lambda *_: True
    made = world.replicas[ME].driver._core._parts
    made.now_ms = world.now_ms
    return made


def qc(world, round_, block_id=BLOCK):
    return world.certificates().qc(world.qc(round_, block_id))


def tc(world, round_):
    high_qc = world.genesis()[1]
    return world.certificates().tc(world.tc(round_, dict.fromkeys(range(5), 0), high_qc))


def told(parts, name="round_entered"):
    return [dict(fact.fields) for fact in parts.results.facts if fact.name == name]


def test_a_certificate_is_news_once_and_tells_the_round_that_it_enters(world, parts):
    assert adopt_qc(parts, qc(world, 2)) is True
    assert told(parts) == [{"round": 3, "by": "qc"}]
    assert adopt_qc(parts, qc(world, 2)) is False
    assert adopt_qc(parts, qc(world, 1)) is False
    assert told(parts) == [{"round": 3, "by": "qc"}]


def test_a_time_out_certificate_is_news_once_and_tells_the_round_that_it_enters(world, parts):
    assert adopt_tc(parts, tc(world, 5)) is True
    assert told(parts) == [{"round": 6, "by": "tc"}]
    assert adopt_tc(parts, tc(world, 5)) is False
    assert told(parts) == [{"round": 6, "by": "tc"}]


def test_a_higher_certificate_of_a_round_that_is_over_is_news_and_enters_nothing(world, parts):
    adopt_tc(parts, tc(world, 5))
    assert adopt_qc(parts, qc(world, 3)) is True
    assert told(parts) == [{"round": 6, "by": "tc"}]


def test_a_vote_against_a_certificate_that_its_voter_is_part_of_is_looked_at(world, parts):
    """It proves its voter guilty, if it holds; that one does not is told."""
    parts.rounds.votes.add(world.vote(0, 2, OTHER))
    parts.rounds.votes.add(replace(world.vote(1, 2, OTHER), signature=bytes(64)))
    adopt_qc(parts, parts.certificates.qc(world.qc(2, BLOCK)))
    ((first, second),) = parts.certificates.witness.take()
    assert (first.voter, first.block_id, second.block_id) == (0, BLOCK, OTHER)
    assert [fact["sender"] for fact in told(parts, "message_refused")] == [1]


@pytest.mark.parametrize(("voters", "is_lost"), [(range(5), True), ((0, 1, 2, 4, 5), False)])
def test_whoever_has_signed_nothing_and_is_in_a_certificate_signs_no_more(
    world, parts, voters, is_lost
):
    """Nobody else holds its key: so it had signed, and has lost the record of it."""
    adopt_qc(parts, parts.certificates.qc(world.qc(2, BLOCK, voters=voters)))
    assert parts.kernel.record.is_follower is is_lost
    assert told(parts, "record_lost") == [{"round": 2, "round_known": 0}] * is_lost


@pytest.mark.parametrize(("ahead_ms", "is_told"), [(0, False), (250, False), (251, True)])
def test_a_certified_block_well_ahead_in_time_tells_that_this_clock_is_behind(
    world, parts, ahead_ms, is_told
):
    """A quorum has voted for it, so it is not ahead of theirs."""
    verified = world.chain([1])[0]
    parts.chain.insert_own(verified, keep=verified.block.parent_id)
    parts.now_ms = verified.block.time_ms - ahead_ms
    adopt_qc(parts, parts.certificates.qc(world.qc(1, verified.block.id)))
    expected = {"time_ms": verified.block.time_ms, "ahead_ms": ahead_ms}
    assert told(parts, "clock_behind") == [expected] * is_told
