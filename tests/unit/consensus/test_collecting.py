"""Votes and time-outs into certificates, and what each costs."""

from dataclasses import replace

import pytest

from heptad.consensus.codec import new_timeout
from heptad.consensus.timeouts import TimeoutCollector
from heptad.consensus.votes import VoteCollector
from heptad.model.ids import BlockId, Epoch, MemberIndex, Round

A, B, C = (BlockId(letter * 32) for letter in (b"a", b"b", b"c"))


@pytest.fixture
def idle(make_world):
    return make_world()


@pytest.fixture
def votes(idle):
    return VoteCollector(idle.certificates(), quorum=5)


def test_a_quorum_of_votes_makes_a_certificate_and_one_less_does_not(idle, votes):
    for voter in range(4):
        votes.add(idle.vote(voter, 3, A))
        assert votes.certificate(Round(3), A) == (None, [])
    votes.add(idle.vote(6, 3, A))
    verified, refused = votes.certificate(Round(3), A)
    assert [voter for voter, _ in verified.qc.votes] == [0, 1, 2, 3, 6]
    assert refused == []
    assert idle.certificates().qc(verified.qc)


def test_nothing_is_verified_before_a_quorum_is_there_and_then_at_most_a_quorum(idle, votes):
    votes.add(idle.vote(0, 3, A), is_verified=True)
    for voter in range(1, 5):
        assert idle.verifier.checked == 0
        votes.add(idle.vote(voter, 3, A))
    votes.certificate(Round(3), A)
    assert idle.verifier.checked == 4


def test_of_more_votes_than_a_quorum_no_more_than_a_quorum_are_verified(idle, votes):
    for voter in range(7):
        votes.add(idle.vote(voter, 3, A))
    verified, _ = votes.certificate(Round(3), A)
    assert [voter for voter, _ in verified.qc.votes] == [0, 1, 2, 3, 4]
    assert idle.verifier.checked == 5


def test_what_a_certificates_members_said_otherwise_in_its_round_is_found(idle, votes):
    """Only of those who signed it, only what was not looked at, and not their votes for it."""
    against = [idle.vote(voter, 3, block) for voter, block in ((0, B), (1, B), (1, C))]
    for vote in (
        *against,
        idle.vote(6, 3, B),
        idle.vote(2, 3, A),
        idle.vote(0, 4, B),
    ):
        votes.add(vote)
    votes.add(idle.vote(3, 3, B), is_verified=True)
    assert votes.against(idle.qc(3, A)) == against
    assert votes.against(idle.qc(5, A)) == []


def test_a_bad_vote_is_thrown_out_and_the_others_make_the_certificate(idle, votes):
    votes.add(replace(idle.vote(0, 3, A), signature=bytes(64)))
    for voter in range(1, 6):
        votes.add(idle.vote(voter, 3, A))
    verified, refused = votes.certificate(Round(3), A)
    assert [voter for voter, _ in verified.qc.votes] == [1, 2, 3, 4, 5]
    assert refused == [(0, "signature of member 0: the hashes differ")]


def test_a_vote_that_was_found_good_is_not_replaced_by_a_bad_one(idle, votes):
    votes.add(idle.vote(0, 3, A), is_verified=True)
    votes.add(replace(idle.vote(0, 3, A), signature=bytes(64)))
    for voter in (1, 2, 3):
        votes.add(idle.vote(voter, 3, A))
    assert votes.certificate(Round(3), A) == (None, [])
    assert idle.verifier.checked == 0


def test_a_member_that_is_verified_counts_no_longer_among_those_that_wait(idle, votes):
    for voter in range(4):
        votes.add(idle.vote(voter, 3, A))
    votes.add(idle.vote(0, 3, A), is_verified=True)
    assert votes.certificate(Round(3), A) == (None, [])
    assert idle.verifier.checked == 0


def test_votes_for_different_blocks_and_rounds_are_counted_apart(idle, votes):
    for voter, round_, block in ((0, 3, A), (1, 3, A), (2, 3, B), (3, 3, B), (4, 4, A), (5, 4, A)):
        votes.add(idle.vote(voter, round_, block))
    for round_, block in ((3, A), (3, B), (4, A)):
        assert votes.certificate(Round(round_), block) == (None, [])
    for voter in range(2, 7):
        votes.add(idle.vote(voter, 5, A))
    votes.add(idle.vote(0, 5, B))
    assert votes.certificate(Round(5), B) == (None, [])
    assert votes.certificate(Round(5), A)[0].qc.block_id == A


def test_a_second_vote_of_one_member_in_one_round_is_reported(idle, votes):
    first, second = idle.vote(2, 3, A), idle.vote(2, 3, B)
    assert votes.add(first) is None
    assert votes.add(first) is None
    conflict = votes.add(second)
    assert (conflict.first, conflict.second) == (first, second)
    assert votes.add(idle.vote(2, 4, B)) is None


def test_a_member_cannot_fill_the_memory_with_votes_for_many_blocks(idle, votes):
    for letter in range(100):
        votes.add(idle.vote(2, 3, bytes([letter]) * 32))
    assert len(votes._rounds[Round(3)]) <= 3


def test_votes_of_rounds_that_are_over_are_dropped(idle, votes):
    for round_ in (3, 4, 5):
        votes.add(idle.vote(0, round_, A))
    votes.forget(up_to=Round(4))
    assert list(votes._rounds) == [5]


@pytest.fixture
def timeouts(idle):
    collector = TimeoutCollector(idle.certificates(), idle.cell.committee)
    collector.enter(Round(4))
    return collector


def timeout(idle, voter, high_round=3, block=A, round_=4):
    high_qc = idle.qc(high_round, block) if high_round else idle.genesis()[1]
    tc = None
    if high_round + 1 != round_:
        tc = idle.tc(round_ - 1, dict.fromkeys(range(5), high_round), high_qc)
    claim = idle.claim(voter, round_, high_round)
    made = new_timeout(
        epoch=Epoch(1),
        round_=Round(round_),
        high_qc=high_qc,
        tc=tc,
        fast_vote=b"",
        voter=MemberIndex(voter),
        signature=claim.signature,
    )
    return idle.certificates().timeout(made)


def test_nothing_is_taken_in_before_a_round_is_entered(idle):
    collector = TimeoutCollector(idle.certificates(), idle.cell.committee)
    with pytest.raises(AssertionError):
        collector.add(timeout(idle, 6, 0, block=idle.genesis()[0].id, round_=1))


def test_f_plus_one_members_make_a_replica_join_and_f_do_not(idle, timeouts):
    for voter in (1, 1, 5):
        timeouts.add(timeout(idle, voter))
        assert not timeouts.must_join()
    timeouts.add(timeout(idle, 6))
    assert timeouts.must_join()


def test_a_quorum_of_timeouts_makes_a_certificate_with_the_highest_qc_among_them(idle, timeouts):
    for voter, high_round in ((0, 1), (2, 2), (3, 1), (6, 0 + 1)):
        timeouts.add(timeout(idle, voter, high_round))
        assert timeouts.certificate() is None
    timeouts.add(timeout(idle, 5, 2))
    verified = timeouts.certificate()
    assert verified.tc.high_qc_round == 2
    assert verified.high_qc.qc.round == 2
    assert idle.certificates().tc(verified.tc)


def test_a_second_timeout_of_a_member_replaces_its_first_and_counts_once(idle, timeouts):
    timeouts.add(timeout(idle, 2, 1))
    assert timeouts.is_known(MemberIndex(2), Round(1))
    assert not timeouts.is_known(MemberIndex(2), Round(3))
    timeouts.add(timeout(idle, 2, 3))
    assert timeouts.is_known(MemberIndex(2), Round(3))
    assert not timeouts.must_join()


def test_a_member_may_say_a_time_out_again_eight_times_in_each_round(idle):
    """Each time with a higher certificate; one more is not worth a signature, whatever it shows."""
    collector = TimeoutCollector(idle.certificates(), idle.cell.committee)
    for round_ in (12, 13):
        collector.enter(Round(round_))
        for high_round in range(9):
            assert not collector.is_known(MemberIndex(2), Round(high_round))
            collector.add(timeout(idle, 2, high_round, round_=round_))
        assert collector.is_known(MemberIndex(2), Round(9))
        collector.add(timeout(idle, 3, 1, round_=round_))
        assert not collector.is_known(MemberIndex(3), Round(9))


def test_entering_a_round_forgets_the_timeouts_of_the_last(idle, timeouts):
    for voter in range(4):
        timeouts.add(timeout(idle, voter))
    timeouts.enter(Round(5))
    timeouts.add(timeout(idle, 6, 4, round_=5))
    assert not timeouts.must_join()


def test_a_timeout_of_another_round_is_not_taken_in(idle, timeouts):
    with pytest.raises(AssertionError):
        timeouts.add(timeout(idle, 6, 4, round_=5))
