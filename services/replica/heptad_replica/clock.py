"""A replica's time: the wall clock once, then the monotonic one, so that no jump is ever seen.

But a machine that slept, or a virtual one that was paused, comes back with a monotonic clock that
has stood still: what was right at the start is late by that long, and the replica would refuse each
proposal as one from its future until somebody restarted it. So where a quorum has certified a block
whose time is ahead of the time here, and the wall clock says by now that it is later, too, the time
here moves on, as far as both agree. Neither alone moves it: not a wall clock that jumps, not a
leader that dates its blocks ahead.
"""

import time
from collections.abc import Sequence

from heptad.consensus.facts import CLOCK_BEHIND
from heptad.consensus.ready import Fact
from heptad.observability.logs import EventLog


class Clock:
    """Unix time in ms that never goes backwards."""

    def __init__(self) -> None:
        self._offset_ms = _wall_ms() - time.monotonic_ns() // 1_000_000

    def now_ms(self) -> int:
        """Now."""
        return time.monotonic_ns() // 1_000_000 + self._offset_ms

    def follow(self, time_ms: int) -> int:
        """Move on towards a later time, as far as the wall clock bears it out; returns by how much.

        0 if the wall clock is no later than the time here.
        """
        moved_ms = max(0, min(time_ms, _wall_ms()) - self.now_ms())
        self._offset_ms += moved_ms
        return moved_ms


class GroupTime:
    """Has the clock follow what the group has certified, and says so."""

    def __init__(self, clock: Clock, log: EventLog) -> None:
        self._clock = clock
        self._log = log
        self._is_reported = False

    def observed(self, facts: Sequence[Fact]) -> None:
        """Facts of the core; most are about something else."""
        for fact in facts:
            if fact.name == CLOCK_BEHIND:
                fields = dict(fact.fields)
                self._behind(int(fields["time_ms"]), int(fields["ahead_ms"]))

    def _behind(self, time_ms: int, ahead_ms: int) -> None:
        """A block of `time_ms` was certified, `ahead_ms` ahead of the time here."""
        moved_ms = self._clock.follow(time_ms)
        if moved_ms:
            self._log.warning("clock_moved_on", by_ms=moved_ms)
            self._is_reported = False
        elif not self._is_reported:
            # Once: the wall clock is behind as well, and somebody has to set it right.
            self._log.warning("clock_behind", ahead_ms=ahead_ms)
            self._is_reported = True


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
