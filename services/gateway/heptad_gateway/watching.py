"""Following the log over HTTP, for browsers and simple programs: `GET /v1/entries:watch`.

Each watch is one stream from the ledger, passed on event by event. The ledger's first message is
waited for before the answer begins, so that what is refused is refused with a status. An event's id
is the index to go on from, so an `EventSource` that loses its connection misses nothing.

What the ledger reads for a watch is charged to its client (`budget`). While that is in debt the
watch is slowed and not ended: its stream from the ledger is closed, and opened again afterwards.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final, Literal

from aiohttp import web

from heptad.client import Terms
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, WatchedEntries
from heptad_gateway.budget import WATCH_COST, ReadBudget
from heptad_gateway.calls import terms_of
from heptad_gateway.entry_json import entry_members
from heptad_gateway.event_stream import EventStream, event, last_event, opening
from heptad_gateway.limits import client_of
from heptad_gateway.ports import Ledger
from heptad_gateway.problems import problem_details
from heptad_gateway.queries import FILTER, filter_of, number_of, require_known
from heptad_gateway.routing import Parameters, Route

LAST_EVENT_ID: Final = "Last-Event-ID"
FIRST_MESSAGE_S_MAX: Final = 10.0


class WatchingApi:
    """All watches of this gateway."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        budget: ReadBudget,
        deadline_s: float,
        watches_max: int,
        client_watches_max: int,
    ) -> None:
        """`client_watches_max` is of one address, so that nobody takes all places."""
        self._ledger = ledger
        self._budget = budget
        self._deadline_s = deadline_s
        self._watches_max = watches_max
        self._client_watches_max = client_watches_max
        self._of_client: Counter[str] = Counter()
        self._closing = asyncio.Event()
        self.count = 0
        """Watches that are open."""

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [Route("GET", "/v1/entries:watch", self.watch)]

    def set_closed(self, closed: bool) -> None:
        """End all watches and take no new ones, or take them again."""
        if closed:
            self._closing.set()
        elif self._closing.is_set():
            self._closing = asyncio.Event()

    async def watch(self, request: web.BaseRequest, _parameters: Parameters) -> web.StreamResponse:
        """Entries as they are published, until the client goes or the filter ends."""
        require_known(request, FILTER)
        wanted = filter_of(request)
        if _is_over(request, wanted):
            return web.Response(status=204)
        terms = terms_of(request, self._deadline_s)
        wanted = await self._from_the_right_index(request, wanted, terms)
        address = request.remote or ""
        self._budget.require(address, is_dear=True)
        client = client_of(address)
        self._take_place(client)
        self._budget.charge(address, WATCH_COST)
        stream = self._paid(wanted, address, terms)

        async def end() -> None:
            self._leave_place(client)
            await stream.aclose()

        try:
            first = await _first(stream)
        except BaseException:
            await end()
            raise
        has_body = request.method != "HEAD"
        return EventStream(self._events(stream, first), end, has_body=has_body)

    async def _paid(
        self, wanted: EntryFilter, address: str, terms: Terms
    ) -> AsyncGenerator[WatchedEntries, None]:
        """The ledger's messages, charged to the client; while that owes, no stream is open."""
        while True:
            async with aclosing(self._ledger.watch(wanted, terms=terms)) as stream:
                async for watched in stream:
                    self._budget.charge(address, watched.cost)
                    owed_s = self._budget.owed_s(address)
                    wanted = replace(wanted, start_index=watched.next_index)
                    yield watched
                    if owed_s:
                        break
                else:
                    return
            await asyncio.sleep(owed_s)

    async def _from_the_right_index(
        self, request: web.BaseRequest, wanted: EntryFilter, terms: Terms
    ) -> EntryFilter:
        """Where the client was, else where it wants to begin, else what is new from now on."""
        last = request.headers.get(LAST_EVENT_ID)
        if last:
            return replace(wanted, start_index=number_of(LAST_EVENT_ID, last))
        if "start_index" in request.query:
            return wanted
        published = await self._ledger.checkpoint(terms=terms)
        # Where the wanted end is past already nothing will ever come, and the watch ends there.
        start = min(published.size, wanted.end_index or published.size)
        return replace(wanted, start_index=start)

    def _take_place(self, client: str) -> None:
        if self._closing.is_set():
            raise Problem("draining", "this gateway is about to stop", retry_after_s=1)
        if self.count >= self._watches_max:
            raise Problem("overloaded", f"{self._watches_max} watches are open", retry_after_s=5)
        if self._of_client[client] >= self._client_watches_max:
            detail = f"{self._client_watches_max} watches of this address are open"
            raise Problem("overloaded", detail, retry_after_s=5)
        self.count += 1
        self._of_client[client] += 1

    def _leave_place(self, client: str) -> None:
        self.count -= 1
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]

    async def _events(
        self, stream: AsyncGenerator[WatchedEntries, None], first: WatchedEntries | None
    ) -> AsyncGenerator[bytes, None]:
        """The stream as events. A refusal is the last one; then the client comes back by itself."""
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            yield opening()
            watched = first
            while watched is not None:
                yield _encoded(watched)
                watched = await _next(stream, closing)
        except Problem as problem:
            yield last_event("problem", problem_details(problem))
        finally:
            closing.cancel()


def _is_over(request: web.BaseRequest, wanted: EntryFilter) -> bool:
    """Whether a client comes back that has all that it wanted.

    An `EventSource` comes back after each end, for ever, unless it is told by 204 not to.
    """
    last = request.headers.get(LAST_EVENT_ID)
    return bool(last) and 0 < wanted.end_index <= number_of(LAST_EVENT_ID, last or "")


async def _first(stream: AsyncGenerator[WatchedEntries, None]) -> WatchedEntries | None:
    """The first message. Raises: Problem."""
    try:
        async with asyncio.timeout(FIRST_MESSAGE_S_MAX):
            return await anext(stream, None)
    except TimeoutError:
        raise Problem("ledger_unavailable", "the ledger has not begun to answer") from None


async def _next(
    stream: AsyncGenerator[WatchedEntries, None], closing: "asyncio.Future[Literal[True]]"
) -> WatchedEntries | None:
    """The next message; None at the end. Raises: Problem, `draining` when this gateway stops."""
    message = asyncio.ensure_future(anext(stream, None))
    try:
        await asyncio.wait((message, closing), return_when=asyncio.FIRST_COMPLETED)
        if message.done():
            return message.result()
        raise Problem("draining", "this gateway is about to stop", retry_after_s=1)
    finally:
        if not message.done():
            message.cancel()
            await asyncio.wait((message,))


def _encoded(watched: WatchedEntries) -> bytes:
    """The entries of one message, and the position behind them: that alone is the heartbeat."""
    size = watched.checkpoint_size
    events = [
        event("entry", entry_members(entry.index, entry.data), event_id=entry.index + 1)
        for entry in watched.entries
    ]
    position = {"next_index": watched.next_index, "checkpoint_size": size}
    return b"".join((*events, event("position", position, event_id=watched.next_index)))
