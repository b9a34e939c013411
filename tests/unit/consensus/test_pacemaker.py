from heptad.consensus.limits import Limits
from heptad.consensus.pacemaker import Pacemaker

LIMITS = Limits()


def measured(took_ms, times=60):
    pacemaker = Pacemaker(LIMITS)
    for _ in range(times):
        pacemaker.run(has_work=True, now_ms=0)
        pacemaker.enter(by_tc=False, now_ms=took_ms)
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
