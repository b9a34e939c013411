"""Places for what may be under way a few at a time, and a line of those who wait for one.

Who has a place could take it again in the moment in which it is free, and a line that is full would
keep out whoever comes seldom. So a client with fewer in the line comes before one with more, then
who was served longest ago, and in a full line it takes the place of the last by that order.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from heptad.model.problems import Problem

CLIENTS_MAX: Final = 4_096
"""Clients of whom it is remembered when they were served; the others count as new."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """One in the line. `rank`: how many its client had there, when it was served, when it came."""

    rank: tuple[int, int, int]
    turn: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


class Places:
    """So many places, of which one client has at most `client_max`, in the line or under way."""

    def __init__(self, *, places_max: int, waiting_max: int, client_max: int) -> None:
        self._places_max = places_max
        self._waiting_max = waiting_max
        self._client_max = client_max
        self._of_client: Counter[str] = Counter()
        self._taken = 0
        self._line: list[_Waiting] = []
        self._served: dict[str, int] = {}
        self._clock = 0

    @property
    def count(self) -> int:
        """Taken places, and those who wait."""
        return self._of_client.total()

    @asynccontextmanager
    async def one(self, client: str) -> AsyncIterator[None]:
        """A place, when it is this client's turn. Raises: Problem `overloaded`."""
        if self._of_client[client] >= self._client_max:
            raise _overloaded(f"{self._client_max} scans of this address are under way")
        waiting = self._stand_in_line(client)
        self._of_client[client] += 1
        try:
            await self._turn(waiting)
            self._remember(client)
            try:
                yield
            finally:
                self._pass_on()
        finally:
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]

    def _stand_in_line(self, client: str) -> _Waiting:
        """Raises: Problem `overloaded`, for the last in a full line."""
        self._clock += 1
        rank = (self._of_client[client], self._served.get(client, 0), self._clock)
        waiting = _Waiting(rank)
        if self._taken < self._places_max:
            self._taken += 1
            waiting.turn.set_result(None)
            return waiting
        self._line.append(waiting)
        if len(self._line) > self._waiting_max:
            last = max(self._line, key=lambda each: each.rank)
            self._line.remove(last)
            refusal = _overloaded(f"{self._places_max} scans are under way, others wait")
            if last is waiting:
                raise refusal
            last.turn.set_exception(refusal)
        return waiting

    async def _turn(self, waiting: _Waiting) -> None:
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting in self._line:
                self._line.remove(waiting)
            elif not waiting.turn.cancelled() and waiting.turn.exception() is None:
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """A place is free."""
        if not self._line:
            self._taken -= 1
            return
        first = min(self._line, key=lambda each: each.rank)
        self._line.remove(first)
        first.turn.set_result(None)

    def _remember(self, client: str) -> None:
        self._served.pop(client, None)
        self._served[client] = self._clock
        if len(self._served) > CLIENTS_MAX:
            del self._served[next(iter(self._served))]


def _overloaded(detail: str) -> Problem:
    return Problem("overloaded", detail, retry_after_s=1)
