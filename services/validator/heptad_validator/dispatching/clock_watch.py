"""Compares this machine's wall clock with those of the replicas, and says so when they part.

Each replica tells the wall clock of its machine. Of f + 1 clocks that agree one at least is an
honest replica's, whatever the others say; of those that agree, the f + 1 nearest to each other are
taken.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from heptad.observability.logs import EventLog
from heptad_validator.clock import CheckedClock

LOOK_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.1
"""While the clocks are not known, or ours has just begun to be wrong."""

ANSWER_S_MAX: Final = 1.0

CLOCK_WRONG: Final = "clock_wrong"
"""A log event at level warning. Fields: off_ms (above 0: this machine is ahead)."""

CLOCK_RIGHT: Final = "clock_right"
"""A log event: it is right again."""


class Timed(Protocol):
    """What the watch needs of a `ReplicaLink`."""

    async def time_ms(self, *, timeout_s: float) -> int | None:
        """The replica's wall clock; None if it does not say."""


class ClockWatch:
    """Looks every few seconds until cancelled."""

    def __init__(
        self, links: Sequence[Timed], *, clock: CheckedClock, fault_count: int, log: EventLog
    ) -> None:
        """Of `links`, one to each replica, `fault_count` may lie."""
        self._links = links
        self._clock = clock
        self._fault_count = fault_count
        self._log = log
        self._was_wrong = False

    async def checked(self) -> None:
        """Return once enough replicas' clocks have been heard."""
        while not self._clock.is_checked:
            await self.look()
            if not self._clock.is_checked:
                await asyncio.sleep(LOOK_AGAIN_S)

    async def run(self) -> None:
        """Look until cancelled; at once when the clock seems to have jumped."""
        while True:
            await self.look()
            waited_s = 0.0
            while waited_s < LOOK_S and self._clock.is_wrong == self._was_wrong:
                await asyncio.sleep(LOOK_AGAIN_S)
                waited_s += LOOK_AGAIN_S

    async def look(self) -> None:
        """Ask all replicas once."""
        distances = await asyncio.gather(*map(self._distance_ms, self._links))
        heard = [distance for distance in distances if distance is not None]
        agreed = agreed_on(heard, fault_count=self._fault_count, apart_max=self._clock.off_ms_max)
        if agreed is not None:
            self._clock.heard(agreed)
        if self._clock.is_wrong is not self._was_wrong:
            self._was_wrong = self._clock.is_wrong
            write = self._log.warning if self._was_wrong else self._log.info
            write(CLOCK_WRONG if self._was_wrong else CLOCK_RIGHT, off_ms=self._clock.off_ms)

    async def _distance_ms(self, link: Timed) -> int | None:
        """By how much one replica's wall clock is ahead of our monotonic one."""
        asked_s = self._clock.monotonic_s()
        time_ms = await link.time_ms(timeout_s=ANSWER_S_MAX)
        heard_s = self._clock.monotonic_s()
        return None if time_ms is None else time_ms - int((asked_s + heard_s) * 500)


def agreed_on(values: Sequence[int], *, fault_count: int, apart_max: int) -> int | None:
    """The middle of those `fault_count` + 1 values that are nearest to each other.

    None where they are more than `apart_max` apart.
    """
    ordered = sorted(values)
    windows = list(zip(ordered, ordered[fault_count:], strict=False))
    if not windows:
        return None
    low, high = min(windows, key=lambda window: window[1] - window[0])
    return (low + high) // 2 if high - low <= apart_max else None


def clock_note(clock: CheckedClock) -> str:
    """What is to be known of a clock that is wrong, for people; nothing of one that is right."""
    if not clock.is_wrong:
        return ""
    off_s = round(clock.off_ms / 1000)
    way = "ahead of" if off_s > 0 else "behind"
    return f"clock wrong: {abs(off_s)} s {way} the replicas' clocks; it goes by theirs"
