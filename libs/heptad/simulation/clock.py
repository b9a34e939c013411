"""Simulated time: one timeline for the world, and for each machine a clock that is not quite right.

The timeline is the only scheduler of a history. It counts microseconds from 0; what is due at one
moment happens in the order in which it was planned, so a history has one order and no ties.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

START_MS: Final = 1_700_000_000_000
"""Unix time, in milliseconds, at which every history begins."""

US_PER_MS: Final = 1_000


class Timeline:
    """What happens when. Callbacks plan further ones; nothing else moves the time."""

    __slots__ = ("_agenda", "_planned", "now_us")

    def __init__(self) -> None:
        self.now_us = 0
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._planned = 0

    def at(self, at_us: int, act: Callable[..., None], *arguments: object) -> None:
        """Plan `act(*arguments)`; what lies in the past happens now, after what is due now."""
        self._planned += 1
        heappush(self._agenda, (max(at_us, self.now_us), self._planned, act, arguments))

    def advance(self, until_us: int) -> bool:
        """Let the next thing happen, unless it is due after `until_us`: then False."""
        if not self._agenda or self._agenda[0][0] > until_us:
            return False
        self.now_us, _, act, arguments = heappop(self._agenda)
        act(*arguments)
        return True

    @property
    def is_empty(self) -> bool:
        """True if nothing will ever happen again."""
        return not self._agenda


@dataclass(frozen=True, slots=True)
class LocalClock:
    """A machine's clock: `offset_ms` off, and `drift_ppm` millionths too fast (or slow).

    It never runs backwards while a process lives; a new offset comes with a new process only.
    """

    offset_ms: int
    drift_ppm: int

    def now_ms(self, at_us: int) -> int:
        """What this clock shows, Unix time in milliseconds, at `at_us` of the timeline."""
        return START_MS + self.offset_ms + at_us * (1_000_000 + self.drift_ppm) // 1_000_000_000

    def when_us(self, local_ms: int) -> int:
        """The first moment of the timeline at which this clock shows `local_ms` or more."""
        elapsed = (local_ms - START_MS - self.offset_ms) * 1_000_000_000
        return max(0, -(-elapsed // (1_000_000 + self.drift_ppm)))
