"""Simulated time."""

from hypothesis import given
from hypothesis import strategies as st

from heptad.simulation.clock import START_MS, LocalClock, Timeline

offsets = st.integers(-1_000, 1_000)
drifts = st.integers(-500, 500)


def test_what_is_due_first_happens_first_and_ties_keep_their_order():
    timeline, seen = Timeline(), []
    for at_us, name in ((30, "c"), (10, "a"), (30, "d"), (20, "b")):
        timeline.at(at_us, seen.append, name)

    assert timeline.run(100, count_max=10) == 4
    assert seen == ["a", "b", "c", "d"]
    assert timeline.now_us == 30
    assert timeline.is_empty


def test_nothing_due_later_happens():
    timeline, seen = Timeline(), []
    timeline.at(11, seen.append, "later")

    assert timeline.run(10, count_max=10) == 0
    assert seen == []
    assert not timeline.is_empty


def test_what_lies_in_the_past_happens_now():
    timeline, seen = Timeline(), []
    timeline.at(50, timeline.at, 10, seen.append, "late")

    timeline.run(50, count_max=10)

    assert (seen, timeline.now_us) == (["late"], 50)


def test_no_more_things_happen_than_were_asked_for_and_the_rest_happens_later():
    timeline, seen = Timeline(), []
    for name in ("a", "b", "c"):
        timeline.at(10, seen.append, name)

    assert timeline.run(50, count_max=2) == 2
    assert seen == ["a", "b"]
    assert timeline.run(50, count_max=2) == 1
    assert (seen, timeline.is_empty) == (["a", "b", "c"], True)


@given(offset=offsets, drift=drifts, times=st.lists(st.integers(0, 10**10), min_size=2))
def test_a_local_clock_never_runs_backwards(offset, drift, times):
    clock = LocalClock(offset, drift)
    shown = [clock.now_ms(at_us) for at_us in sorted(times)]

    assert shown == sorted(shown)


@given(offset=offsets, drift=drifts, elapsed_ms=st.integers(2_000, 10**7))
def test_when_is_the_first_moment_at_which_the_clock_shows_it(offset, drift, elapsed_ms):
    clock = LocalClock(offset, drift)
    due_ms = START_MS + elapsed_ms
    at_us = clock.when_us(due_ms)

    assert clock.now_ms(at_us) >= due_ms
    assert clock.now_ms(at_us - 1) < due_ms


def test_what_is_cancelled_does_not_happen():
    timeline, seen = Timeline(), []
    number = timeline.at(10, seen.append, "cancelled")
    timeline.at(20, seen.append, "kept")
    timeline.cancel(number)
    timeline.run(50, count_max=10)

    assert (seen, timeline.now_us, timeline.is_empty) == (["kept"], 20, True)


@given(
    by_ms=st.integers(-3_600_000, 3_600_000),
    drift=drifts,
    times=st.lists(st.integers(0, 10**10), min_size=2),
)
def test_a_clock_that_jumps_never_runs_backwards_in_a_process(by_ms, drift, times):
    at_us, *later = sorted(times)
    clock = LocalClock(0, 0)
    changed = clock.changed(at_us, by_ms=by_ms, drift_ppm=drift)
    shown = [clock.now_ms(at_us), *(changed.now_ms(each) for each in later)]

    assert shown == sorted(shown)
    assert changed.now_ms(at_us) == clock.now_ms(at_us) + max(by_ms, 0)
