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

    while timeline.advance(100):
        pass

    assert seen == ["a", "b", "c", "d"]
    assert timeline.now_us == 30
    assert timeline.is_empty


def test_nothing_due_later_happens():
    timeline, seen = Timeline(), []
    timeline.at(11, seen.append, "later")

    assert not timeline.advance(10)
    assert seen == []
    assert not timeline.is_empty


def test_what_lies_in_the_past_happens_now():
    timeline, seen = Timeline(), []
    timeline.at(50, timeline.at, 10, seen.append, "late")

    while timeline.advance(50):
        pass

    assert (seen, timeline.now_us) == (["late"], 50)


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
