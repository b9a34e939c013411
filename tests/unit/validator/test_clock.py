"""A wall clock is believed as long as the replicas' clocks bear it out."""

import asyncio
import json
import random

import pytest

from heptad.observability.logs import EventLog
from heptad_validator.clock import CheckedClock
from heptad_validator.dispatching.clock_watch import ClockWatch, agreed_on, clock_note

NOW_MS = 1_760_000_000_000
OFF_MS_MAX = 15_000
HOUR_MS = 3_600_000


class Own:
    """This machine's clocks; a test moves them."""

    def __init__(self):
        self.wall_ms = NOW_MS
        self.mono_s = 500.0

    def now_ms(self):
        return self.wall_ms

    def monotonic_s(self):
        return self.mono_s

    def pass_by(self, seconds):
        self.wall_ms += int(seconds * 1000)
        self.mono_s += seconds


class Replica:
    """A link whose replica's wall clock is off by `off_ms`; None: it does not answer."""

    def __init__(self, own, off_ms=0):
        self.own, self.off_ms = own, off_ms
        self.true_ms = lambda: NOW_MS + int((own.mono_s - 500.0) * 1000)

    async def time_ms(self, *, timeout_s):
        return None if self.off_ms is None else self.true_ms() + self.off_ms


class Watched:
    def __init__(self, *offs_ms, wall_off_ms=0):
        self.own = Own()
        self.own.wall_ms += wall_off_ms
        self.replicas = [Replica(self.own, off_ms) for off_ms in offs_ms]
        self.lines = []
        self.clock = CheckedClock(self.own, off_ms_max=OFF_MS_MAX)
        log = EventLog(bound={}, write=lambda line: self.lines.append(json.loads(line)))
        self.watch = ClockWatch(self.replicas, clock=self.clock, fault_count=2, log=log)

    def look(self):
        asyncio.run(self.watch.look())

    @property
    def off_by_ms(self):
        """By how much the time that counts is off the true one."""
        return self.clock.now_ms() - self.replicas[0].true_ms()


WELL = (0,) * 7


@pytest.mark.parametrize("off_ms", [-HOUR_MS, HOUR_MS, OFF_MS_MAX + 1])
def test_a_clock_that_is_wrong_from_the_start_is_not_gone_by(off_ms):
    seen = Watched(*WELL, wall_off_ms=off_ms)
    seen.look()
    assert (seen.clock.is_wrong, seen.clock.off_ms, seen.off_by_ms) == (True, off_ms, 0)


@pytest.mark.parametrize("off_ms", [-OFF_MS_MAX, 0, 900, OFF_MS_MAX])
def test_a_clock_that_is_right_enough_is_gone_by_as_it_is(off_ms):
    seen = Watched(*WELL, wall_off_ms=off_ms)
    seen.look()
    assert (seen.clock.is_wrong, seen.off_by_ms) == (False, off_ms)
    assert clock_note(seen.clock) == ""
    assert seen.lines == []


def test_a_jump_is_known_before_anybody_is_asked_again():
    seen = Watched(*WELL)
    seen.look()
    seen.own.pass_by(3.0)
    seen.own.wall_ms += HOUR_MS
    assert (seen.clock.is_wrong, seen.off_by_ms) == (True, 0)
    seen.own.wall_ms -= HOUR_MS
    assert (seen.clock.is_wrong, seen.off_by_ms) == (False, 0)


def test_a_wrong_clock_is_told_once_and_its_correction_too():
    seen = Watched(*WELL)
    for off_ms in (0, HOUR_MS, HOUR_MS, 0, 0):
        seen.own.wall_ms = seen.replicas[0].true_ms() + off_ms
        seen.look()
    assert [(line["level"], line["event"], line["off_ms"]) for line in seen.lines] == [
        ("warning", "clock_wrong", HOUR_MS),
        ("info", "clock_right", 0),
    ]


def test_people_are_told_which_way_it_is_wrong():
    seen = Watched(*WELL, wall_off_ms=-HOUR_MS)
    seen.look()
    assert clock_note(seen.clock) == (
        "clock wrong: 3600 s behind the replicas' clocks; it goes by theirs"
    )


@pytest.mark.parametrize("lie_ms", [HOUR_MS, -HOUR_MS, OFF_MS_MAX])
@pytest.mark.parametrize("silent", range(3))
def test_two_replicas_that_lie_alike_move_nobodys_clock(lie_ms, silent):
    honest = [random.Random(n).randrange(-200, 200) for n in range(5)]
    seen = Watched(lie_ms, lie_ms, *honest[silent:], *[None] * silent)
    seen.look()
    assert seen.clock.is_checked
    assert abs(seen.clock.off_ms) <= 200


def test_a_machine_whose_clock_steps_with_all_others_is_right():
    seen = Watched(*WELL)
    seen.look()
    for replica in seen.replicas:
        replica.off_ms = HOUR_MS
    seen.own.wall_ms += HOUR_MS
    seen.look()
    assert not seen.clock.is_wrong
    assert seen.lines == []


def test_fewer_than_agree_say_nothing():
    seen = Watched(0, 0, *[None] * 5, wall_off_ms=HOUR_MS)
    seen.look()
    assert not seen.clock.is_checked
    assert seen.clock.now_ms() == NOW_MS + HOUR_MS
    assert agreed_on([0, HOUR_MS, 2 * HOUR_MS], fault_count=2, apart_max=OFF_MS_MAX) is None
    assert agreed_on([0, 10, 40], fault_count=2, apart_max=OFF_MS_MAX) == 20
