"""Many requests under way to all validators at once: placing, failing over, giving up in time.

A request goes to the validator that rendezvous hashing of its `iss` puts first, and to the next one
only if that stream is down or fails, or its validator cannot have anything recorded. So a retry,
also one through another gateway or client, meets the validator that remembers the first try.
Nothing here is a task per request: a ticket is placed by one call and settled by one callback.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Final, Self, TypeAlias

import grpc

from heptad.client.validator_stream import PATIENCE_S, Ticket, ValidatorStream
from heptad.model.answers import Recorded, Wait
from heptad.model.problems import Problem
from heptad.model.routing import ranked

Spawn: TypeAlias = Callable[[str, Coroutine[object, object, None]], "asyncio.Task[None]"]

SILENCE_S: Final = 7.0
"""Two more than a validator may take over an answer."""

_SWEEP_S: Final = 0.25
_OTHERS_S: Final = 1.0
"""How long the first validator that was reached waits for the others."""

_RETRY_AFTER_S: Final = 1


class Submitter:
    """Places signed requests on the streams of a cell's validators; use it in `async with`."""

    def __init__(
        self,
        channels: Mapping[int, grpc.aio.Channel],
        *,
        coalesce_s: float,
        deadline_s: float,
        in_flight_max: int,
        silence_s: float = SILENCE_S,
        patience_s: float = PATIENCE_S,
        spawn: Spawn | None = None,
    ) -> None:
        """`channels` by validator number; `deadline_s` counts from the submission.

        A validator that owes answers and says nothing for `silence_s` counts as gone; one that has
        refused for want of a quorum for `patience_s` as cut off.

        `spawn(name, work)` starts a task, so that a service may watch over it.
        """
        self._spawn = spawn or _spawn_unwatched
        self._opened = asyncio.Event()
        self._one_more = asyncio.Event()
        self._streams = {
            number: ValidatorStream(
                channel=channel,
                coalesce_s=coalesce_s,
                patience_s=patience_s,
                lost=self._place_again,
                settled=self._close,
                opened=self._stream_opened,
            )
            for number, channel in channels.items()
        }
        self._numbers = tuple(sorted(channels))
        self._deadline_s = deadline_s
        self._silence_s = silence_s
        self._in_flight_max = in_flight_max
        self._ids = count(1)
        self._open: dict[int, Ticket] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin to connect; `wait_ready` waits for the first stream."""
        self._tasks = [
            self._spawn(f"validator-{number}", stream.run())
            for number, stream in self._streams.items()
        ]
        self._tasks.append(self._spawn("deadlines", self._sweep()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop the streams; what is still under way is answered with `draining`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for ticket in self._open.values():
            ticket.settle(Problem("draining", "the connection was closed first"))
        self._open.clear()

    @property
    def in_flight(self) -> int:
        """Requests submitted and not answered."""
        return len(self._open)

    @property
    def ready(self) -> bool:
        """Whether at least one validator can be reached."""
        return any(stream.connected for stream in self._streams.values())

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until a first validator has been reached, and a moment for the others.

        What goes to another than its subject's own validator is dearer, for a minute and a half:
        both then look that subject's requests up (docs/spec/mesh.md, "Replay").
        Raises: Problem `validator_unavailable`, with what is known about the reasons.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._opened.wait()
        except TimeoutError:
            reasons = "; ".join(f"validator-{n}: {why}" for n, why in self.troubles().items())
            raise Problem(
                "validator_unavailable", f"nobody answers: {reasons}", retry_after_s=_RETRY_AFTER_S
            ) from None
        with suppress(TimeoutError):
            async with asyncio.timeout(_OTHERS_S):
                while self.troubles():
                    self._one_more.clear()
                    await self._one_more.wait()

    def _stream_opened(self) -> None:
        self._opened.set()
        self._one_more.set()

    def troubles(self) -> dict[int, str]:
        """For each validator that cannot be reached: why, for people."""
        return {
            number: stream.trouble.detail if stream.trouble else "not connected yet"
            for number, stream in self._streams.items()
            if not stream.connected
        }

    def submit(
        self, jws: bytes, *, iss: str, wait: Wait = Wait.COMMITTED, trace: bytes = b""
    ) -> "asyncio.Future[Recorded | Problem]":
        """Put a request on its way; the future gets what was recorded, or the refusal as a value.

        `iss` decides only which validator is asked first; `trace` is the packed context of a
        sampled trace, empty where it is not traced. A refusal of the code `draining`,
        `validator_unavailable` or `deadline_exceeded` does not say that nothing was recorded.
        Raises: Problem `overloaded`, when `in_flight_max` requests are under way.
        """
        self.require_room(1)
        loop = asyncio.get_running_loop()
        ranking = ranked(iss, self._numbers)
        ranking.reverse()
        ticket = Ticket(
            id=next(self._ids),
            jws=jws,
            wait=wait,
            ranking=ranking,
            answer=loop.create_future(),
            deadline_s=loop.time() + self._deadline_s,
            trace=trace,
        )
        self._open[ticket.id] = ticket
        self._place(ticket)
        return ticket.answer

    def require_room(self, requests: int) -> None:
        """Refuse to have so many more requests under way. Raises: Problem `overloaded`."""
        if len(self._open) + requests > self._in_flight_max:
            raise Problem(
                "overloaded",
                f"{len(self._open)} requests are under way, at most {self._in_flight_max} may be",
                retry_after_s=_RETRY_AFTER_S,
            )

    def _place(self, ticket: Ticket) -> None:
        now_s = asyncio.get_running_loop().time()
        while ticket.ranking:
            stream = self._streams[ticket.ranking.pop()]
            # Where the whole group is short, its validators need not be asked about each other's.
            is_vain = ticket.refusal is not None and stream.is_vain(now_s)
            if stream.connected and not is_vain:
                ticket.placed_s = now_s
                stream.submit(ticket)
                return
        ticket.settle(
            ticket.broken
            or ticket.refusal
            or Problem(
                "validator_unavailable",
                f"none of {len(self._numbers)} validators answers",
                retry_after_s=_RETRY_AFTER_S,
            )
        )
        self._close(ticket)

    def _place_again(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            self._place(ticket)

    def _close(self, ticket: Ticket) -> None:
        self._open.pop(ticket.id, None)

    async def _sweep(self) -> None:
        """Give up on what is overdue. One sweep for all costs less than a timer for each."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.expire(loop.time())

    def expire(self, now_s: float) -> None:
        """Answer every request whose deadline is not after `now_s` (the event loop's time).

        And give up streams that have fallen silent: what they carry may go elsewhere.
        """
        for stream in self._streams.values():
            stream.cut_if_silent(now_s, silence_s=self._silence_s)
        overdue = [ticket for ticket in self._open.values() if ticket.deadline_s <= now_s]
        for ticket in overdue:
            for stream in self._streams.values():
                stream.forget(ticket)
            ticket.settle(
                Problem(
                    "deadline_exceeded",
                    f"no validator answered within {self._deadline_s:g} s",
                    retry_after_s=_RETRY_AFTER_S,
                )
            )
            self._close(ticket)


def _spawn_unwatched(name: str, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
    return asyncio.get_running_loop().create_task(work, name=name)
