"""The two clocks of a validator, passed in so that tests can hold them.

Freshness and entries go by the wall clock, which may jump. Leases, ages and limits go by a clock
that never does, and that also runs while the machine sleeps: a suspended validator must not wake up
with keys that the vault has long counted as returned.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a validator takes its times from."""

    def now_ms(self) -> int:
        """Unix time in ms."""

    def monotonic_s(self) -> float:
        """Seconds from some point in the past; never goes backwards."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Unix time in ms."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since the machine was started, time asleep included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class CheckedClock:
    """A machine's clocks, of which the wall clock is believed while the replicas' bear it out.

    A wrong clock would refuse good requests for good, as too old or from the future, and let old
    ones in. The replicas' clocks, of which a minority at most lies, say how far it is off at any
    moment, also right after a jump, because what is kept of them is their distance to the clock
    that never jumps. Where it is off by too much, their time is this validator's time.
    """

    def __init__(self, own: Clock, *, off_ms_max: int) -> None:
        """`off_ms_max` is by how much the wall clock may be off."""
        self._own = own
        self.off_ms_max = off_ms_max
        self._distance_ms: int | None = None

    def heard(self, distance_ms: int) -> None:
        """By how much the replicas' wall clocks are ahead of our monotonic one."""
        self._distance_ms = distance_ms

    @property
    def is_checked(self) -> bool:
        """Whether the replicas' clocks are known."""
        return self._distance_ms is not None

    @property
    def off_ms(self) -> int:
        """By how much our wall clock is ahead of the replicas'; 0 while they are not known."""
        if self._distance_ms is None:
            return 0
        return self._own.now_ms() - self._group_ms(self._distance_ms)

    @property
    def is_wrong(self) -> bool:
        """Whether it is off by more than it may be, and theirs is in force."""
        return abs(self.off_ms) > self.off_ms_max

    def now_ms(self) -> int:
        """Unix time in ms."""
        own_ms = self._own.now_ms()
        if self._distance_ms is None:
            return own_ms
        group_ms = self._group_ms(self._distance_ms)
        return group_ms if abs(own_ms - group_ms) > self.off_ms_max else own_ms

    def monotonic_s(self) -> float:
        """Seconds from some point in the past; never goes backwards."""
        return self._own.monotonic_s()

    def _group_ms(self, distance_ms: int) -> int:
        return distance_ms + int(self._own.monotonic_s() * 1000)
