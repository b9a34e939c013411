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
