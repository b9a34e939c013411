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

    __slots__ = ("_agenda", "_cancelled", "_planned", "now_us")

    def __init__(self) -> None:
        self.now_us = 0
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._cancelled: set[int] = set()
        self._planned = 0

    def at(self, at_us: int, act: Callable[..., None], *arguments: object) -> int:
        """Plan `act(*arguments)`; what lies in the past happens now, after what is due now.

        Returns the number by which it can be cancelled.
        """
        self._planned += 1
        heappush(self._agenda, (max(at_us, self.now_us), self._planned, act, arguments))
        return self._planned

    def cancel(self, number: int) -> None:
        """What was planned under this number, and has not happened yet, does not happen."""
        self._cancelled.add(number)

    def run(self, until_us: int, *, count_max: int) -> int:
        """Let happen what is due until `until_us`, one after the other; return how many things.

        After `count_max` of them it stops.
        """
        agenda, cancelled, count = self._agenda, self._cancelled, 0
        while agenda and agenda[0][0] <= until_us and count < count_max:
            at_us, number, act, arguments = heappop(agenda)
            count += 1
            if number in cancelled:
                cancelled.remove(number)
            else:
                self.now_us = at_us
                act(*arguments)
        return count

    @property
    def is_empty(self) -> bool:
        """True if nothing will ever happen again."""
        return len(self._agenda) == len(self._cancelled)


@dataclass(frozen=True, slots=True)
class LocalClock:
    """A machine's clock: `offset_ms` off, and `drift_ppm` millionths too fast (or slow).

    It never shows less than `floor_ms` (Unix time): while a process lives no clock runs backwards.
    """

    offset_ms: int
    drift_ppm: int
    floor_ms: int = 0

    def now_ms(self, at_us: int) -> int:
        """What this clock shows, Unix time in milliseconds, at `at_us` of the timeline."""
        elapsed_ms = at_us * (1_000_000 + self.drift_ppm) // 1_000_000_000
        return max(START_MS + self.offset_ms + elapsed_ms, self.floor_ms)

    def changed(self, at_us: int, *, by_ms: int, drift_ppm: int) -> "LocalClock":
        """This clock, moved by `by_ms` at `at_us`, and drifting so from then on."""
        shown_ms = self.now_ms(at_us)
        elapsed_ms = at_us * (1_000_000 + drift_ppm) // 1_000_000_000
        offset_ms = shown_ms + by_ms - START_MS - elapsed_ms
        return LocalClock(offset_ms, drift_ppm, floor_ms=shown_ms)

    def when_us(self, local_ms: int) -> int:
        """The first moment of the timeline at which this clock shows `local_ms` or more."""
        elapsed = (local_ms - START_MS - self.offset_ms) * 1_000_000_000
        return max(0, -(-elapsed // (1_000_000 + self.drift_ppm)))
