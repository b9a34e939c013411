"""Whose turn it is to look at the log: one look at a time, and what scans gives way to the rest.

A look is short (less than 1 ms), but a call may take a hundred, and the interpreter that looks also
files entries: a thread that is ready to file waits 5 ms for a loop that never pauses, each time. So
the first looks of a call, which are all that most calls need, go ahead of those of *scans* (what
takes more), of which one at a time stands in line with them. While entries are being filed, scans
rest after each look, and the others once `AHEAD_OWED_S_MAX` is owed, so that all looks together get
no more than `LOOKING_SHARE` of one processor; while nothing is filed, they go on at once. And only
so many scans are under way.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Final

from heptad.model.problems import Problem

WAITING_MAX: Final = 256
"""Calls that wait for their turn to look; the next one is told `overloaded`."""

AHEAD_COST_MAX: Final = 2_500
"""Beyond so many entries read a call is a scan: a page of 1,000 by index needs fewer. One whose
filter takes reading is one with its second look."""

SCANS_MAX: Final = 16
"""Lists and counts under way that are scans; the next one is told `overloaded`."""

CALLER_SCANS_MAX: Final = 8
"""Of one caller, such as a gateway, so that none takes all places."""

LOOKING_SHARE: Final = 0.25
"""Of one processor, while entries are being filed."""

AHEAD_OWED_S_MAX: Final = 0.02
"""First looks go on until so much rest is owed."""

SCAN_OWED_S_MAX: Final = 0.001
"""Scans rest as soon as this is owed: timers are no finer."""


class Pace:
    """Tells scans how long to rest."""

    def __init__(
        self,
        is_filing: Callable[[], bool] = lambda: False,
        *,
        cpu_s: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`cpu_s` is the processor time that the thread which looks has had."""
        self._is_filing = is_filing
        self._cpu_s = cpu_s
        self._sleep = sleep
        self._owed_s = 0.0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Around a look: what it takes while entries are being filed is owed."""
        begun_s = self._cpu_s()
        try:
            yield
        finally:
            if self._is_filing():
                self._owed_s += (self._cpu_s() - begun_s) * (1 / LOOKING_SHARE - 1)

    async def rest(self, owed_s_max: float) -> None:
        """Before a look: leave the processor to filing, if more than that is owed."""
        if not self._is_filing():
            self._owed_s = 0.0
        elif self._owed_s > owed_s_max:
            owed_s, self._owed_s = self._owed_s, 0.0
            await self._sleep(owed_s)


class Turns:
    """Gives turns in the order in which they were asked for: first looks, then those of scans."""

    def __init__(self, waiting_max: int = WAITING_MAX, pace: Pace | None = None) -> None:
        self._waiting_max = waiting_max
        self._pace = Pace() if pace is None else pace
        self._waiting = 0
        self._looking = asyncio.Lock()
        self._scanning = asyncio.Lock()
        self._scans: Counter[str] = Counter()

    @property
    def scan_count(self) -> int:
        """Lists and counts under way that are scans."""
        return self._scans.total()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A turn ahead of scans; after it everything else that is due comes first.

        Raises: Problem `overloaded`.
        """
        with self._in_line():
            async with self._looking:
                await self._pace.rest(AHEAD_OWED_S_MAX)
                with self._pace.looking():
                    yield
                await asyncio.sleep(0)

    @asynccontextmanager
    async def scan(self) -> AsyncIterator[None]:
        """A turn of a scan, when it has rested. Raises: Problem `overloaded`."""
        with self._in_line():
            async with self._scanning:
                await self._pace.rest(SCAN_OWED_S_MAX)
                async with self._looking:
                    with self._pace.looking():
                        yield
                    await asyncio.sleep(0)

    @contextmanager
    def call(self, caller: str, *, is_dear: bool) -> Iterator["Looks"]:
        """The looks of one call; `caller` makes it, `is_dear` if its filter takes reading."""
        looks = Looks(self, caller, is_dear=is_dear)
        try:
            yield looks
        finally:
            looks.end()

    def take_place(self, caller: str) -> None:
        """Begin a scan. Raises: Problem `overloaded`."""
        if self._scans[caller] >= CALLER_SCANS_MAX or self.scan_count >= SCANS_MAX:
            detail = f"{self._scans[caller]} scans of {caller} are under way, and {self.scan_count}"
            raise Problem("overloaded", f"{detail} in all", retry_after_s=1)
        self._scans[caller] += 1

    def leave_place(self, caller: str) -> None:
        """End a scan."""
        self._scans[caller] -= 1
        if not self._scans[caller]:
            del self._scans[caller]

    @contextmanager
    def _in_line(self) -> Iterator[None]:
        if self._waiting >= self._waiting_max:
            detail = f"{self._waiting_max} calls wait for their turn to look at the log"
            raise Problem("overloaded", detail, retry_after_s=1)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


class Looks:
    """The looks of one call: from some cost on it is a scan."""

    def __init__(self, turns: Turns, caller: str, *, is_dear: bool) -> None:
        self._turns = turns
        self._caller = caller
        self._ahead_cost_max = 1 if is_dear else AHEAD_COST_MAX
        self._is_scan = False

    def turn(self, cost: int) -> AbstractAsyncContextManager[None]:
        """The next turn of a call that has cost so much. Raises: Problem `overloaded`."""
        if cost < self._ahead_cost_max:
            return self._turns.one()
        if not self._is_scan:
            self._turns.take_place(self._caller)
            self._is_scan = True
        return self._turns.scan()

    def end(self) -> None:
        """The call has ended."""
        if self._is_scan:
            self._turns.leave_place(self._caller)
