"""Who leads: the rule alone, on certified blocks and the record that stands after them."""

from dataclasses import replace

import pytest

from heptad.consensus.leader_record import STRIKES_MAX, Failure, LeaderRecord
from heptad.consensus.leaders import Schedule
from heptad.model.canonical import MalformedError
from heptad.model.ids import MemberIndex, Round

K = 64
CLEAN = LeaderRecord()


@pytest.fixture
def idle(make_world):
    return make_world()


@pytest.fixture
def schedule(idle):
    return idle.schedule()


def certified(world, round_, proposer=0):
    block, _, _ = world.genesis()
    return replace(block, round=Round(round_), proposer=MemberIndex(proposer))


def at_term(world, schedule, term, record=CLEAN):
    """Who leads the first round of a term that the certificate of the round before enters."""
    return schedule.after_qc(certified(world, K * term - 1, proposer=5), record)


def failed(member, *, strikes=1, round_=K):
    return LeaderRecord((Failure(MemberIndex(member), strikes, Round(round_)),))


def after(world, schedule, parent_round, round_, *, record=CLEAN, leader=0, proposer=0):
    """The record after a block of `round_` whose parent was led by `leader`."""
    parent = certified(world, parent_round, proposer=leader)
    return schedule.record_after(
        record, parent=parent, round_=Round(round_), proposer=MemberIndex(proposer)
    )


# --- who leads ---------------------------------------------------------------------------------


def test_within_a_term_the_certified_blocks_proposer_leads_on(idle, schedule):
    for round_ in (0, 1, 62, 64, 126):
        assert schedule.after_qc(certified(idle, round_, proposer=5), CLEAN) == 5


def test_within_a_term_even_one_that_failed_before_leads_on(idle, schedule):
    assert schedule.after_qc(certified(idle, 70, proposer=5), failed(5)) == 5


def test_at_a_terms_start_the_next_scheduled_member_leads(idle, schedule):
    leaders = [at_term(idle, schedule, term) for term in range(1, 9)]
    assert leaders == [1, 2, 3, 4, 5, 6, 0, 1]


def test_after_a_tc_each_member_leads_in_turn(schedule):
    assert [schedule.after_tc(Round(round_)) for round_ in range(7, 15)] == [
        0, 1, 2, 3, 4, 5, 6, 0,
    ]  # fmt: skip


def test_at_a_terms_start_who_failed_lately_is_left_out_for_the_one_behind_it(idle, schedule):
    record = failed(1)
    assert at_term(idle, schedule, 8, record) == 2
    two = LeaderRecord((*record.failures, Failure(MemberIndex(2), 1, Round(2 * K))))
    assert [at_term(idle, schedule, term, two) for term in (7, 8, 9, 10)] == [0, 3, 3, 3]


@pytest.mark.parametrize("strikes", range(1, STRIKES_MAX + 1))
def test_with_each_strike_twice_as_many_turns_are_missed_and_then_there_is_a_probe(
    idle, schedule, strikes
):
    record = failed(1, strikes=strikes)
    turns = [1 + 7 * turn for turn in range(1, 100)]
    missed = [at_term(idle, schedule, term, record) for term in turns[: 2**strikes - 1]]
    assert missed == [2] * (2**strikes - 1)
    assert at_term(idle, schedule, turns[2**strikes - 1], record) == 1


def test_never_are_more_than_f_left_out_and_those_are_the_last_to_have_failed(idle, schedule):
    record = LeaderRecord(
        tuple(
            Failure(MemberIndex(member), 6, Round(round_))
            for member, round_ in ((0, 500), (1, 100), (2, 300), (3, 200), (6, 400))
        )
    )
    assert schedule.excluded(record, 20) == {0, 6}
    leaders = {at_term(idle, schedule, term, record) for term in range(8, 50)}
    assert leaders == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_group_that_tolerates_nobody_leaves_nobody_out(make_world, n):
    world = make_world(n=n)
    schedule = world.schedule()
    assert schedule.excluded(failed(0), 2) == set()
    assert at_term(world, schedule, n, failed(0)) == 0


# --- what the chain records --------------------------------------------------------------------


def test_rounds_that_follow_each_other_record_nothing(idle, schedule):
    assert after(idle, schedule, 9, 10) == CLEAN
    assert after(idle, schedule, 62, 63) == CLEAN


def test_a_skipped_round_names_the_leader_that_the_parent_gave_it(idle, schedule):
    assert after(idle, schedule, 9, 11, leader=4) == failed(4, round_=10)
    assert after(idle, schedule, 63, 65, leader=4) == failed(1, round_=64)


def test_at_a_terms_start_the_skipped_round_names_who_led_instead_of_one_left_out(idle, schedule):
    record = failed(1, round_=60)
    assert after(idle, schedule, 63, 65, record=record).of(MemberIndex(2)) is not None
    assert after(idle, schedule, 63, 65, record=record).of(MemberIndex(1)) == record.failures[0]


def test_further_skipped_rounds_name_those_whose_turn_it_was(idle, schedule):
    record = after(idle, schedule, 9, 13, leader=0)
    assert record.failures == (
        Failure(0, 1, 10), Failure(4, 1, 11), Failure(5, 1, 12),
    )  # fmt: skip


def test_however_many_rounds_failed_the_last_n_of_them_name_everybody(idle, schedule):
    record = after(idle, schedule, 9, 10**15, leader=0)
    assert len(record.failures) == 7
    assert min(failure.round for failure in record.failures) == 10**15 - 7


def test_a_failure_while_left_out_is_no_further_strike_but_begins_the_wait_anew(idle, schedule):
    record = after(idle, schedule, 65, 67, record=failed(1, round_=64), leader=1)
    assert record == failed(1, strikes=1, round_=66)


def test_a_probe_that_fails_is_a_further_strike_up_to_the_last(idle, schedule):
    record = failed(1, strikes=1, round_=K)
    for strikes in (2, 3, 4, 5, 6, 6, 6):
        turn = record.failures[0].round // K + 7 * 2 ** record.failures[0].strikes
        record = after(idle, schedule, K * turn - 1, K * turn + 1, record=record)
        assert record == failed(1, strikes=strikes, round_=K * turn)


def test_who_leads_a_whole_term_is_in_good_standing_again(idle, schedule):
    record = failed(3, strikes=6, round_=K - 1)
    assert after(idle, schedule, 126, 127, record=record, proposer=3) == CLEAN
    assert after(idle, schedule, 126, 127, record=record, proposer=2) == record


def test_a_certified_block_within_a_term_does_not_clear_anybody(idle, schedule):
    """Else a leader that makes one block and falls silent is never left out for long."""
    record = failed(3, strikes=6, round_=K - 1)
    assert after(idle, schedule, 200, 201, record=record, leader=3, proposer=3) == record


def test_the_last_round_of_a_term_does_not_clear_whom_a_tc_gave_it(idle, schedule):
    """Else one block in one round of another's term undoes six strikes."""
    record = failed(3, strikes=6, round_=K - 1)
    after_tc = after(idle, schedule, 125, 127, record=record, leader=0, proposer=3)
    assert after_tc.of(MemberIndex(3)) == record.failures[0]


@pytest.mark.parametrize("first_round", [K, 126])
def test_the_end_of_a_term_does_not_clear_anybody_if_one_of_its_rounds_failed(
    idle, schedule, first_round
):
    """Neither who took the term over from another, nor who was silent in its own now and then."""
    another = LeaderRecord((*failed(0, round_=first_round).failures, *failed(3).failures))
    assert after(idle, schedule, 126, 127, record=another, proposer=3) == another
    own = failed(3, round_=first_round)
    assert after(idle, schedule, 126, 127, record=own, proposer=3) == own


def test_the_record_follows_from_the_block_alone(idle):
    """Two chains over the same rounds have one state; a skipped round makes another."""
    straight, skipping = idle.chain([1, 2, 3]), idle.chain([1, 3])
    assert straight[-1].state.leader_record == CLEAN
    assert skipping[-1].state.leader_record == failed(0, round_=2)
    assert straight[-1].block.state_hash != skipping[-1].block.state_hash


# --- its bytes ---------------------------------------------------------------------------------


def test_the_record_survives_its_encoding(schedule):
    for record in (CLEAN, failed(1), LeaderRecord((*failed(1).failures, *failed(6).failures))):
        assert LeaderRecord.decode(record.encode()) == record
    assert CLEAN.encode() == b""


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([b"\1\1" + bytes(7)], "9 bytes"),
        ([b"\1\0" + bytes(8)], "strikes"),
        ([b"\1\7" + bytes(8)], "strikes"),
        ([b"\2\1" + bytes(8), b"\1\1" + bytes(8)], "ascend"),
        ([b"\1\1" + bytes(8), b"\1\1" + bytes(8)], "ascend"),
    ],
)
def test_a_record_that_is_not_in_its_one_encoding_is_refused(rows, reason):
    with pytest.raises(MalformedError, match=reason):
        LeaderRecord.decode(b"".join(rows))


def test_the_rule_needs_no_more_than_committee_and_term(idle):
    assert Schedule(idle.cell.committee, 8).after_qc(certified(idle, 7), CLEAN) == 1
