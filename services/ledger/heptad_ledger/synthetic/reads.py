"""`python -m heptad_ledger.synthetic.reads HOME`: what questions to a filled ledger cost.

The questions go to the ledger's own parts in one process, without network, so that what is seen is
the log and its indexes. Prints one JSON object: milliseconds for calls, entries a second for scans.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from heptad.model.entry import Kind, Outcome
from heptad.model.queries import EntryFilter, EntryQuery, Order, WatchedEntries
from heptad.runtime.config import load_cell
from heptad_ledger.log_reads import LogReads
from heptad_ledger.parts import Parts
from heptad_ledger.queries.entry_queries import EntryQueries
from heptad_ledger.queries.watching import Watches
from heptad_ledger.synthetic.fill import open_home

SAMPLES: Final = 1_000
RARE_SAMPLES: Final = 20
WATCHED_MAX: Final = 1_000_000


class ReadBench:
    """Asks one filled ledger."""

    def __init__(self, parts: Parts) -> None:
        with parts.store.snapshot() as snapshot:
            latest = snapshot.latest_checkpoint()
        assert latest is not None, "a filled ledger has a checkpoint"
        self._size = latest.size
        self._last_ms = parts.store.state.time_ms
        self._store = parts.store
        self._reads = LogReads(
            store=parts.store, latest=lambda: latest, index_key=parts.vault.index_key
        )
        self._queries = EntryQueries(store=parts.store, latest=lambda: latest, page_size_max=1_000)
        self._rng = random.Random(1)  # noqa: S311  the same questions each time
        with parts.store.snapshot() as snapshot:
            self._first_ms = next(snapshot.spans(from_ms=0, until_ms=2**63 - 1)).time_ms

    async def run(self) -> dict[str, object]:
        """All figures."""
        figures: dict[str, object] = {"entries": self._size}
        figures["entry_ms"] = _quantiles([self._get() for _ in range(SAMPLES)])
        for name, make in self._pages().items():
            samples = RARE_SAMPLES if "rare" in name else SAMPLES
            figures[f"{name}_ms"] = _quantiles([await self._page(make()) for _ in range(samples)])
        for name, wanted in self._counts().items():
            figures[name] = await self._count(wanted)
        figures["watch"] = await self._watch(EntryFilter())
        figures["watch_of_a_service"] = await self._watch(EntryFilter(service="health-records"))
        return figures

    def _pages(self) -> dict[str, Callable[[], EntryQuery]]:
        def of(order: Order = Order.ASCENDING, **wanted: object) -> EntryQuery:
            everything = replace(EntryFilter(), **wanted)  # type: ignore[arg-type]
            return EntryQuery(everything, order, 100)

        newest = Order.DESCENDING
        return {
            "page_by_index": lambda: of(start_index=self._index()),
            "page_newest_first": lambda: of(newest, end_index=self._index()),
            "page_by_time": lambda: of(from_ms=self._time()),
            "page_by_service": lambda: of(start_index=self._index(), service="health-records"),
            "page_by_seldom_service": lambda: of(
                start_index=self._index(), service="land-register"
            ),
            "page_by_seldom_service_newest_first": lambda: of(
                newest, end_index=self._index(), service="land-register"
            ),
            "page_by_service_and_time": lambda: of(from_ms=self._time(), service="tax-portal"),
            "page_by_outcome": lambda: of(start_index=self._index(), outcome=Outcome.DENIED),
            "call_that_finds_nothing_rare": lambda: of(
                start_index=self._index(), kinds=(Kind.RECOVERY,)
            ),
        }

    def _counts(self) -> dict[str, EntryFilter]:
        ten_minutes = self._first_ms + 600_000
        return {
            "count_all": EntryFilter(),
            "count_of_ten_minutes": EntryFilter(from_ms=self._first_ms, until_ms=ten_minutes),
            "count_of_a_service": EntryFilter(service="tax-portal"),
            "count_by_outcome": EntryFilter(outcome=Outcome.DENIED),
            "count_by_action": EntryFilter(action="consent.withdraw"),
            "count_of_a_kind_that_is_not_there": EntryFilter(kinds=(Kind.RECOVERY,)),
        }

    def _get(self) -> float:
        index, started_s = self._index(), time.perf_counter()
        self._reads.entry(index)
        return time.perf_counter() - started_s

    async def _page(self, query: EntryQuery) -> float:
        started_s = time.perf_counter()
        await self._queries.page(query)
        return time.perf_counter() - started_s

    async def _count(self, wanted: EntryFilter) -> dict[str, object]:
        """All parts of a count."""
        started_s, count, calls, token = time.perf_counter(), 0, 0, ""
        while calls == 0 or token:
            part = await self._queries.count(wanted, token)
            count, calls, token = count + part.count, calls + 1, part.next_page_token
        seconds = time.perf_counter() - started_s
        return {"count": count, "calls": calls, "seconds": round(seconds, 4)}

    async def _watch(self, wanted: EntryFilter) -> dict[str, object]:
        """How fast who begins at 0 catches up."""
        seen = 0

        async def send(watched: WatchedEntries) -> None:
            nonlocal seen
            seen += len(watched.entries)

        until = replace(wanted, end_index=min(self._size, WATCHED_MAX))
        started_s = time.perf_counter()
        await Watches(self._queries).follow(until, send)
        seconds = time.perf_counter() - started_s
        return {
            "sent": seen,
            "sent_per_s": round(seen / seconds),
            "log_entries_per_s": round(until.end_index / seconds),
        }

    def _index(self) -> int:
        return self._rng.randrange(1_000, self._size)

    def _time(self) -> int:
        return self._rng.randrange(self._first_ms, self._last_ms)


def _quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        name: round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


async def _ask(home: Path) -> dict[str, object]:
    parts = open_home(home, load_cell(home))
    try:
        return await ReadBench(parts).run()
    finally:
        parts.close()


def main() -> None:
    """Ask the ledger of a filled home."""
    parser = argparse.ArgumentParser(prog="heptad_ledger.synthetic.reads", description=__doc__)
    parser.add_argument("home", type=Path, help="folder of the cell")
    print(json.dumps(asyncio.run(_ask(parser.parse_args().home)), indent=1))


if __name__ == "__main__":
    main()
