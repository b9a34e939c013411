"""A replica's time: it never jumps, and yet a machine that has slept finds the group's again."""

import pytest

from heptad.consensus import facts
from heptad.consensus.ready import Fact
from heptad_replica import clock as clock_module
from heptad_replica.clock import Clock, GroupTime

START_MS = 1_700_000_000_000


class Machine:
    """A machine's two clocks, in ms; `time` of the module under test."""

    def __init__(self) -> None:
        self.wall_ms, self.monotonic_ms = START_MS, 5_000

    def time_ns(self) -> int:
        return self.wall_ms * 1_000_000

    def monotonic_ns(self) -> int:
        return self.monotonic_ms * 1_000_000


class Log:
    def __init__(self) -> None:
        self.lines = []

    def warning(self, event, **fields) -> None:
        self.lines.append((event, fields))


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(clock_module, "time", machine)
    return machine


def behind(time_ms, ahead_ms=9):
    return Fact(facts.CLOCK_BEHIND, (("time_ms", time_ms), ("ahead_ms", ahead_ms)))


def test_the_time_never_jumps_with_the_wall_clock(machine):
    clock = Clock()
    for wall_ms in (0, START_MS + 3_600_000):
        machine.wall_ms = wall_ms
        machine.monotonic_ms += 10
    assert clock.now_ms() == START_MS + 20


def test_after_a_sleep_the_time_follows_what_the_group_has_certified(machine):
    """The monotonic clock has stood still for an hour; the wall clock was set right."""
    clock, log = Clock(), Log()
    machine.wall_ms += 3_600_000
    GroupTime(clock, log).observed([behind(START_MS + 3_599_900)])
    assert clock.now_ms() == START_MS + 3_599_900
    assert log.lines == [("clock_moved_on", {"by_ms": 3_599_900})]


def test_a_block_that_is_dated_ahead_moves_nothing_beyond_the_wall_clock(machine):
    clock, log = Clock(), Log()
    machine.wall_ms += 20
    GroupTime(clock, log).observed([behind(START_MS + 400)])
    assert clock.now_ms() == START_MS + 20


def test_a_wall_clock_that_runs_ahead_moves_nothing_beyond_the_groups_time(machine):
    clock, log = Clock(), Log()
    machine.wall_ms += 3_600_000
    GroupTime(clock, log).observed([behind(START_MS + 400)])
    assert clock.now_ms() == START_MS + 400


def test_a_wall_clock_that_is_behind_too_is_told_of_once(machine):
    clock, log = Clock(), Log()
    machine.wall_ms -= 3_600_000
    group = GroupTime(clock, log)
    for _ in range(3):
        group.observed([behind(START_MS + 400, ahead_ms=400), Fact(facts.ROUND_ENTERED, ())])
    assert clock.now_ms() == START_MS
    assert log.lines == [("clock_behind", {"ahead_ms": 400})]
