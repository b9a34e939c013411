"""When a crashed service is started again: a table of times in, a table of waits out."""

from hypothesis import given
from hypothesis import strategies as st

from heptad.runtime.restarts import RestartPolicy


def waits(crashed_at_s: list[float]) -> list[float | None]:
    policy = RestartPolicy()
    return [policy.crashed(now_s=now_s) for now_s in crashed_at_s]


def test_each_crash_within_a_minute_doubles_the_wait_up_to_eight_seconds() -> None:
    assert waits([0, 1, 2, 3, 4]) == [0.5, 1, 2, 4, 8]


def test_the_sixth_crash_within_a_minute_is_the_end() -> None:
    assert waits([0, 1, 2, 3, 4, 59.9])[-1] is None


def test_a_crash_is_forgotten_after_a_minute() -> None:
    assert waits([0, 1, 2, 3, 4, 60])[-1] == 8
    assert waits([0, 1, 2, 3, 4, 64])[-1] == 0.5


@given(st.lists(st.floats(0, 300), max_size=30).map(sorted))
def test_it_gives_up_exactly_when_six_crashes_lie_within_a_minute(times: list[float]) -> None:
    for place, wait in enumerate(waits(times)):
        recent = [t for t in times[: place + 1] if times[place] - t < 60]
        assert (wait is None) == (len(recent) > 5)
        assert wait is None or 0.5 <= wait <= 8
