"""Following the log: whoever watches gets the entries of each checkpoint once it is published.

A watch holds a position and nothing else: it reads the store at the pace at which its reader takes
what it sends, so a slow reader costs no memory, and one that takes nothing for a minute is cut off.
Every message says where to begin again. So a watch may end at any moment, and nothing is lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, LoggedEntry, Order, WatchedEntries
from heptad_ledger.queries.entry_queries import EntryQueries

WATCHES_MAX: Final = 128
WATCHES_PER_CALLER_MAX: Final = 64
ENTRIES_PER_MESSAGE_MAX: Final = 500
MESSAGE_BYTES_MAX: Final = 256 << 10
"""A message is ended by the entry that reaches it."""

HEARTBEAT_S: Final = 15.0
STALL_S_MAX: Final = 60.0
PROGRESS_COST: Final = 10_000
"""After so much looking without finding, the position is told, and what it has cost."""

Send = Callable[[WatchedEntries], Awaitable[None]]


class Watches:
    """All watches of this ledger."""

    def __init__(
        self,
        queries: EntryQueries,
        *,
        watches_max: int = WATCHES_MAX,
        heartbeat_s: float = HEARTBEAT_S,
        stall_s_max: float = STALL_S_MAX,
    ) -> None:
        self._queries = queries
        self._watches_max = watches_max
        self._heartbeat_s = heartbeat_s
        self._stall_s_max = stall_s_max
        self._news = asyncio.Event()
        self._is_closed = False
        self.count = 0
        """Watches that are open."""

    def has_news(self) -> None:
        """A checkpoint was published."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def close(self) -> None:
        """End all watches and take no new ones."""
        self._is_closed = True
        self.has_news()

    async def follow(self, wanted: EntryFilter, send: Send) -> None:
        """Send what is there, then what comes; return where the filter ends.

        The first message comes at once. Raises: Problem `overloaded`, `draining`, `watch_too_slow`,
        `checkpoint_pending`, `index_out_of_range`.
        """
        if self.count >= self._watches_max:
            detail = f"{self._watches_max} watches are open"
            raise Problem("overloaded", detail, retry_after_s=5)
        self.count += 1
        try:
            await self._follow(wanted, _Sender(send, self._stall_s_max))
        finally:
            self.count -= 1

    async def _follow(self, wanted: EntryFilter, sender: "_Sender") -> None:
        published = self._queries.published(wanted)
        position = wanted.start_index
        await sender.send((), position, published)
        while True:
            news = self._news
            published = self._queries.published(EntryFilter())
            position = await self._catch_up(wanted, position, published, sender)
            if self._is_over(wanted, position, published):
                if sender.next_index != position:
                    await sender.send((), position, published)
                return
            try:
                await asyncio.wait_for(news.wait(), self._heartbeat_s)
            except TimeoutError:
                await sender.send((), position, published)

    async def _catch_up(
        self, wanted: EntryFilter, position: int, published: int, sender: "_Sender"
    ) -> int:
        """Send all up to a checkpoint; return the position then. Raises: Problem."""
        plan = self._queries.plan(wanted, Order.ASCENDING, published)
        position = max(position, plan.start)
        while not plan.is_done(position):
            self._require_open()
            step = await self._queries.look(
                plan,
                position,
                turn=self._queries.turns.scan(),
                count_max=ENTRIES_PER_MESSAGE_MAX,
                bytes_max=MESSAGE_BYTES_MAX,
            )
            position = step.position
            sender.cost += step.cost
            if step.found or sender.cost >= PROGRESS_COST:
                await sender.send(step.found, position, published)
        self._require_open()
        return position

    def _is_over(self, wanted: EntryFilter, position: int, published: int) -> bool:
        """Whether nothing that is yet to come can be wanted."""
        if wanted.end_index and position >= wanted.end_index:
            return True
        if not wanted.until_ms:
            return False
        return self._queries.plan(wanted, Order.ASCENDING, published).end < published

    def _require_open(self) -> None:
        if self._is_closed:
            raise Problem("draining", "this ledger is about to stop", retry_after_s=1)


class _Sender:
    """Sends to one reader, who must not take for ever."""

    def __init__(self, send: Send, stall_s_max: float) -> None:
        self._send = send
        self._stall_s_max = stall_s_max
        self.next_index = -1
        """Of the last message."""
        self.cost = 0
        """What was looked at since then."""

    async def send(self, found: Sequence[LoggedEntry], next_index: int, published: int) -> None:
        """Raises: Problem `watch_too_slow`."""
        watched = WatchedEntries(tuple(found), next_index, published, self.cost)
        self.cost = 0
        try:
            async with asyncio.timeout(self._stall_s_max):
                await self._send(watched)
        except TimeoutError:
            detail = f"nothing was taken for {self._stall_s_max:g} s"
            raise Problem("watch_too_slow", detail, retry_after_s=1) from None
        self.next_index = next_index
