"""Pages and counts of entries, and of checkpoints: what one call does, and no more than that.

The ledger's event loop also publishes checkpoints and answers validators. So looks at the log are
short, one at a time whoever asks, and the loop has its turn between them; and a call that has
looked at its share of the log answers with what it has and a token for the rest.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.model.queries import (
    CheckpointSizes,
    EntryCount,
    EntryFilter,
    EntryPage,
    EntryQuery,
    LoggedEntry,
    LogTotals,
    Order,
)
from heptad_ledger.queries.scan import Look, ScanPlan, look, plan_of, tally
from heptad_ledger.queries.tokens import decode_token, encode_token, listing_digest
from heptad_ledger.queries.turns import Pace, Turns
from heptad_ledger.store import LogStore

PAGE_SIZE_DEFAULT: Final = 100
PAGE_BYTES_MAX: Final = 3 << 20
"""A page is cut short there, so that it fits a message: the last entry adds at most 64 KiB."""

LOOK_COST_MAX: Final = 500
"""Of one look, in entries read: less than 1 ms. An answer to somebody else takes a few turns of the
event loop, and each of them may have to wait for a look."""

CALL_COST_MAX: Final = 50_000
"""Of all looks of one call: 100 ms or less."""


class EntryQueries:
    """Answers questions about published entries. `latest` gives the latest checkpoint."""

    def __init__(
        self,
        *,
        store: LogStore,
        latest: Callable[[], PublishedCheckpoint | None],
        page_size_max: int,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._latest = latest
        self._page_size_max = page_size_max
        self.turns = Turns(pace=pace)
        self.cost_total = 0
        """What all looks together have cost, in entries read."""

    async def page(self, query: EntryQuery, caller: str = "") -> EntryPage:
        """A page of entries; `caller` is who asks, for the bounds.

        Raises: Problem `checkpoint_pending`, `index_out_of_range`, `parameter_invalid`,
        `page_token_invalid`, `overloaded`.
        """
        size = self._page_size(query.page_size)
        published = self.published(query.filter)
        digest = listing_digest("entries", query.filter, query.order)
        plan, position = self._begin(query.filter, query.order, query.page_token, digest, published)
        found: list[LoggedEntry] = []
        cost = size_bytes = 0
        with self.turns.call(caller, is_dear=query.filter.scans) as looks:
            while not plan.is_done(position) and len(found) < size:
                step = await self.look(
                    plan, position, turn=looks.turn(cost), count_max=size - len(found)
                )
                found += step.found
                position, cost = step.position, cost + step.cost
                size_bytes += sum(len(entry.data) + 16 for entry in step.found)
                if cost >= CALL_COST_MAX or size_bytes >= PAGE_BYTES_MAX // 2:
                    break
        is_last = plan.is_done(position)
        goes_on = not is_last and query.order is Order.ASCENDING
        return EntryPage(
            entries=tuple(found),
            next_page_token="" if is_last else encode_token(position, digest),
            next_index=position if goes_on else 0,
            checkpoint_size=published,
            cost=cost,
        )

    async def count(self, wanted: EntryFilter, page_token: str, caller: str = "") -> EntryCount:
        """How many entries the next part of the log has. Raises: as `page`."""
        published = self.published(wanted)
        digest = listing_digest("count", wanted, Order.ASCENDING)
        plan, position = self._begin(wanted, Order.ASCENDING, page_token, digest, published)
        count = cost = 0
        with self.turns.call(caller, is_dear=wanted.scans) as looks:
            while not plan.is_done(position) and cost < CALL_COST_MAX:
                async with looks.turn(cost):
                    with self._store.snapshot() as snapshot:
                        found, position, step_cost = tally(
                            snapshot, plan, position, cost_max=LOOK_COST_MAX
                        )
                count, cost = count + found, cost + step_cost
                self.cost_total += step_cost
        token = "" if plan.is_done(position) else encode_token(position, digest)
        return EntryCount(count, token, published, cost)

    def checkpoint_sizes(self, page_size: int, order: Order, page_token: str) -> CheckpointSizes:
        """Sizes of published checkpoints.

        Raises: Problem `parameter_invalid`, `page_token_invalid`.
        """
        count_max = self._page_size(page_size)
        digest = listing_digest("checkpoints", EntryFilter(), order)
        position = decode_token(page_token, digest) if page_token else None
        with self._store.snapshot() as snapshot:
            sizes = snapshot.checkpoint_sizes(
                count_max=count_max + 1,
                from_size=position,
                newest_first=order is Order.DESCENDING,
            )
        token = encode_token(sizes[count_max], digest) if len(sizes) > count_max else ""
        return CheckpointSizes(tuple(sizes[:count_max]), token)

    def totals(self) -> LogTotals:
        """The counters, of all that is applied."""
        size, totals, service_count = self._store.totals()
        return LogTotals(size, totals.kinds, totals.services, service_count)

    def published(self, wanted: EntryFilter) -> int:
        """How many entries are published.

        Raises: Problem `checkpoint_pending`; `index_out_of_range` if the filter begins behind them.
        """
        latest = self._latest()
        if latest is None:
            raise Problem("checkpoint_pending", "nothing is published yet", retry_after_s=1)
        if wanted.start_index > latest.size:
            raise Problem(
                "index_out_of_range",
                f"index {wanted.start_index}, published are {latest.size}",
                field="start_index",
            )
        return latest.size

    def plan(self, wanted: EntryFilter, order: Order, published: int) -> ScanPlan:
        """How to look for what a filter wants in the first `published` entries."""
        with self._store.snapshot() as snapshot:
            return plan_of(wanted, order, snapshot, published=published)

    async def look(
        self,
        plan: ScanPlan,
        position: int,
        *,
        turn: AbstractAsyncContextManager[None],
        count_max: int,
        bytes_max: int | None = None,
    ) -> Look:
        """One look, when its turn has come. Raises: Problem `overloaded`; StoreDamagedError."""
        async with turn:
            with self._store.snapshot() as snapshot:
                found = look(
                    snapshot,
                    plan,
                    position,
                    count_max=count_max,
                    bytes_max=bytes_max or PAGE_BYTES_MAX // 2,
                    cost_max=LOOK_COST_MAX,
                )
                snapshot.require_whole((entry.index, entry.data) for entry in found.found)
                self.cost_total += found.cost
                return found

    def _begin(
        self, wanted: EntryFilter, order: Order, token: str, digest: bytes, published: int
    ) -> tuple[ScanPlan, int]:
        """The plan, and where to begin; a position beyond it is where it ends."""
        position = decode_token(token, digest) if token else None
        plan = self.plan(wanted, order, published)
        return plan, plan.clipped(plan.first_position if position is None else position)

    def _page_size(self, asked: int) -> int:
        if asked > self._page_size_max:
            detail = f"page_size {asked} is over {self._page_size_max}"
            raise Problem("parameter_invalid", detail, field="page_size")
        return asked or PAGE_SIZE_DEFAULT
