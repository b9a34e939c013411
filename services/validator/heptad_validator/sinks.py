"""Sinks: how the answers of tickets reach one caller, or everybody on one stream."""

import asyncio
from typing import Final

from heptad.model.answers import Recorded
from heptad.model.problems import Problem
from heptad.wire.convert.validator import OutcomeWriter
from heptad_validator.tickets import Ticket

ANSWERS_PER_MESSAGE_MAX: Final = 1_000


class OneAnswer:
    """The sink of a single call."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()

    def recorded(self, number: int, ticket: Ticket, *, replayed: bool) -> None:
        """See `tickets.Sink`."""
        if not self._future.done():
            self._future.set_result(ticket.as_recorded(replayed=replayed))

    def refused(self, number: int, problem: Problem) -> None:
        """See `tickets.Sink`."""
        if not self._future.done():
            self._future.set_exception(problem)

    async def answer(self, *, timeout_s: float) -> Recorded | None:
        """The answer, or None if there is none in time. Raises: Problem, the refusal."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._future), timeout_s)
        except TimeoutError:
            return None


async def wait_for_commit(ticket: Ticket, *, timeout_s: float) -> None:
    """Return once the ticket is settled, or after `timeout_s`."""
    sink = OneAnswer()
    ticket.wait(sink, 0, replayed=False)
    await sink.answer(timeout_s=timeout_s)


class ManyAnswers:
    """The sink of a stream: answers are gathered until its writer takes them.

    `in_flight` counts the items that were announced and whose answers were not taken. A caller that
    never reads its answers fills it and is read from no more, so what a stream holds is bounded.
    """

    def __init__(self, *, in_flight_max: int) -> None:
        self._in_flight_max = in_flight_max
        self._writer = OutcomeWriter()
        self._full: list[bytes] = []
        self._untaken = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._is_closing = False
        self.in_flight = 0

    def announce(self, count: int) -> None:
        """So many items will be answered."""
        self.in_flight += count

    def recorded(self, number: int, ticket: Ticket, *, replayed: bool) -> None:
        """See `tickets.Sink`."""
        self._writer.add_recorded(
            number,
            request_id=ticket.request_id,
            state=ticket.state,
            index=ticket.index,
            outcome=ticket.outcome,
            denied_code=ticket.denied_code,
            time_ms=ticket.time_ms,
            replayed=replayed,
        )
        self._added()

    def refused(self, number: int, problem: Problem) -> None:
        """See `tickets.Sink`."""
        self._writer.add_refusal(number, problem)
        self._added()

    async def room(self) -> None:
        """Wait until fewer items than the limit are in flight."""
        while self.in_flight >= self._in_flight_max:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Nothing more will be announced: `take` ends after the last answer."""
        self._is_closing = True
        self._news.set()

    async def take(self) -> list[bytes]:
        """Messages with all answers since the last call, at least one; none after the last."""
        while not self._untaken:
            if self._is_closing and not self.in_flight:
                return []
            self._news.clear()
            await self._news.wait()
        if self._writer.count:
            self._full.append(self._writer.take())
        messages, self._full = self._full, []
        self.in_flight -= self._untaken
        self._untaken = 0
        self._room.set()
        return messages

    def _added(self) -> None:
        self._untaken += 1
        if self._untaken == 1:
            self._news.set()
        if self._writer.count >= ANSWERS_PER_MESSAGE_MAX:
            self._full.append(self._writer.take())
