from heptad.consensus.limits import Limits
from heptad.consensus.pacemaker import Pacemaker
from heptad.model.ids import MemberIndex

LIMITS = Limits()
LEADER, OTHER = MemberIndex(1), MemberIndex(2)


def measured(took_ms, times=60):
    """After many rounds of this length under leaders that change."""
    pacemaker = Pacemaker(LIMITS)
    for round_ in range(times):
        pacemaker.follow(MemberIndex(round_ // 10))
        lead(pacemaker, took_ms)
    return pacemaker


def lead(pacemaker, took_ms, times=1):
    for _ in range(times):
        pacemaker.run(has_work=True, now_ms=0)
        pacemaker.enter(by_tc=False, now_ms=took_ms)


def waiting_for(leader):
    """A round of this leader, with work from 1,000 ms on, after many rounds of 50 ms."""
    pacemaker = measured(50)
    pacemaker.follow(leader)
    pacemaker.run(has_work=True, now_ms=1_000)
    return pacemaker


def test_an_idle_replica_has_no_timer():
    pacemaker = Pacemaker(LIMITS)
    assert pacemaker.due_ms() is None
    pacemaker.run(has_work=True, now_ms=50)
    assert pacemaker.due_ms() == 50 + LIMITS.timeout_ms_first
    pacemaker.run(has_work=False, now_ms=60)
    assert pacemaker.due_ms() is None


def test_work_that_goes_on_does_not_put_the_timeout_off():
    pacemaker = Pacemaker(LIMITS)
    for now_ms in (50, 500, 900):
        pacemaker.run(has_work=True, now_ms=now_ms)
    assert pacemaker.due_ms() == 50 + LIMITS.timeout_ms_first


def test_a_new_round_starts_the_timer_anew():
    pacemaker = Pacemaker(LIMITS)
    pacemaker.run(has_work=True, now_ms=0)
    pacemaker.timed_out(1000)
    pacemaker.enter(by_tc=True, now_ms=1010)
    assert pacemaker.due_ms() is None
    assert not pacemaker.has_timed_out


def test_the_timeout_is_a_multiple_of_the_measured_round_time_within_its_limits():
    assert measured(50).timeout_ms() == 500
    assert measured(1).timeout_ms() == LIMITS.timeout_ms_min
    assert measured(5_000).timeout_ms() == LIMITS.timeout_ms_max


def test_each_failed_round_adds_half_until_something_commits():
    pacemaker = measured(50)
    for expected in (750, 1125):
        pacemaker.enter(by_tc=True, now_ms=0)
        assert pacemaker.timeout_ms() == expected
    pacemaker.enter(by_tc=False, now_ms=0)
    assert pacemaker.timeout_ms() == 1125
    pacemaker.committed()
    assert pacemaker.timeout_ms() == 500


def test_patience_ends_at_its_limit_however_many_rounds_fail():
    pacemaker = Pacemaker(LIMITS)
    for _ in range(10_000):
        pacemaker.enter(by_tc=True, now_ms=0)
    assert pacemaker.timeout_ms() == LIMITS.timeout_ms_max


def test_having_given_up_a_replica_says_so_again_while_it_has_work():
    pacemaker = Pacemaker(LIMITS)
    pacemaker.run(has_work=True, now_ms=0)
    pacemaker.timed_out(100)
    assert pacemaker.due_ms() == 100 + LIMITS.rebroadcast_ms_max
    pacemaker.timed_out(1100)
    assert pacemaker.due_ms() == 1100 + LIMITS.rebroadcast_ms_max
    pacemaker.run(has_work=False, now_ms=1200)
    assert pacemaker.due_ms() is None


def test_a_time_out_is_said_again_after_another_one_but_at_least_each_second():
    for took_ms, again_ms in ((50, 500), (900, LIMITS.rebroadcast_ms_max)):
        pacemaker = measured(took_ms)
        pacemaker.run(has_work=True, now_ms=0)
        pacemaker.timed_out(100)
        assert pacemaker.due_ms() == 100 + again_ms


def test_one_without_work_repeats_what_others_may_have_missed_but_not_at_once():
    pacemaker = Pacemaker(LIMITS)
    assert not pacemaker.must_repeat(100)
    pacemaker.timed_out(100)
    half = LIMITS.rebroadcast_ms_max // 2
    assert not pacemaker.must_repeat(100 + half - 1)
    assert pacemaker.must_repeat(100 + half)
    pacemaker.run(has_work=True, now_ms=100 + half)
    assert not pacemaker.must_repeat(100 + half)
    pacemaker.run(has_work=False, now_ms=100 + half)
    pacemaker.timed_out(100 + half)
    assert not pacemaker.must_repeat(100 + half)


def test_rounds_that_failed_are_no_measure():
    pacemaker = measured(50)
    pacemaker.run(has_work=True, now_ms=0)
    pacemaker.enter(by_tc=True, now_ms=9_000)
    pacemaker.committed()
    assert pacemaker.timeout_ms() == 500


def test_time_without_work_is_not_measured():
    pacemaker = measured(50)
    for start_ms in range(10**6, 10**6 + 60 * 5_000, 5_000):
        pacemaker.enter(by_tc=False, now_ms=start_ms)
        pacemaker.run(has_work=False, now_ms=start_ms)
        pacemaker.run(has_work=True, now_ms=start_ms + 4_950)
    assert pacemaker.timeout_ms() == 500


def test_the_wait_of_a_paced_leader_is_measured_for_the_timer_waits_it_out_too():
    assert measured(LIMITS.pace_ms + 15).timeout_ms() == 400


def test_one_leader_cannot_make_the_group_more_than_three_times_as_patient():
    pacemaker = measured(50)
    pacemaker.follow(LEADER)
    lead(pacemaker, 9_000, times=64)
    assert pacemaker.timeout_ms() == 3 * 500
    pacemaker.follow(None)
    pacemaker.follow(OTHER)
    lead(pacemaker, 50, times=64)
    assert pacemaker.timeout_ms() == 500


def test_a_leader_gets_no_new_tenure_by_being_named_again_or_unknown_in_between():
    """It is unknown to whoever got a certificate of its block before the block itself."""
    pacemaker = measured(50)
    for leader in (LEADER, LEADER, None, LEADER):
        pacemaker.follow(leader)
        lead(pacemaker, 9_000, times=64)
    assert pacemaker.timeout_ms() == 3 * 500


def test_a_round_is_measured_although_its_leader_was_never_known():
    pacemaker = Pacemaker(LIMITS)
    lead(pacemaker, 50, times=60)
    assert pacemaker.timeout_ms() == 500


def test_a_fast_group_may_become_as_slow_as_the_shortest_time_out_allows_under_one_leader():
    pacemaker = measured(1)
    pacemaker.follow(LEADER)
    lead(pacemaker, 50, times=64)
    assert pacemaker.timeout_ms() > 400


def test_a_group_that_has_become_slow_is_believed_leader_by_leader():
    pacemaker = measured(50)
    for leader in (3, 4, 5, 6):
        pacemaker.follow(MemberIndex(leader))
        lead(pacemaker, 5_000, times=64)
    assert pacemaker.timeout_ms() == LIMITS.timeout_ms_max


def test_a_leader_to_whom_the_connection_breaks_gets_only_a_moment():
    pacemaker = waiting_for(LEADER)
    pacemaker.lost(LEADER, 1_200)
    assert pacemaker.leader_is_lost
    assert pacemaker.due_ms() == 1_200 + LIMITS.timeout_ms_lost


def test_one_who_was_lost_before_gets_it_from_when_there_is_work():
    pacemaker = waiting_for(LEADER)
    pacemaker.lost(LEADER, 200)
    assert pacemaker.due_ms() == 1_000 + LIMITS.timeout_ms_lost


def test_a_loss_that_is_told_again_does_not_prolong_the_moment():
    pacemaker = waiting_for(LEADER)
    pacemaker.lost(LEADER, 1_200)
    pacemaker.lost(LEADER, 1_230)
    assert pacemaker.due_ms() == 1_200 + LIMITS.timeout_ms_lost


def test_who_is_heard_again_is_waited_for_like_anybody():
    pacemaker = waiting_for(LEADER)
    pacemaker.lost(LEADER, 1_200)
    pacemaker.heard(LEADER)
    assert pacemaker.due_ms() == 1_000 + 500


def test_the_loss_of_another_is_of_no_concern():
    pacemaker = waiting_for(LEADER)
    pacemaker.lost(OTHER, 1_200)
    assert not pacemaker.leader_is_lost
    assert pacemaker.due_ms() == 1_000 + 500


def test_a_loss_that_comes_late_does_not_put_the_time_out_off():
    pacemaker = waiting_for(LEADER)
    pacemaker.lost(LEADER, 1_490)
    assert pacemaker.due_ms() == 1_000 + 500


def test_the_moment_too_grows_with_each_failed_round():
    """Else a network that breaks all connections again and again would end every round."""
    pacemaker = waiting_for(LEADER)
    pacemaker.enter(by_tc=True, now_ms=2_000)
    pacemaker.enter(by_tc=True, now_ms=2_000)
    pacemaker.run(has_work=True, now_ms=2_000)
    pacemaker.lost(LEADER, 2_000)
    assert pacemaker.due_ms() == 2_000 + int(LIMITS.timeout_ms_lost * 2.25)


def test_without_work_nobody_is_waited_for_lost_or_not():
    pacemaker = waiting_for(LEADER)
    pacemaker.run(has_work=False, now_ms=1_100)
    pacemaker.lost(LEADER, 1_200)
    assert pacemaker.due_ms() is None
