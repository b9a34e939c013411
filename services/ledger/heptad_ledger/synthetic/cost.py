"""`python -m heptad_ledger.synthetic.cost HOME`: what an entry costs a ledger as its log grows.

At each size a stretch of entries is applied and measured, by itself: blocks are made before, and
only the ledger's own part is counted (frames checked, hashed, filed, written, synced). Then proofs
and receipts are made of entries at random. So each row of the table is about a log of that size,
and not about the average of a log that grew to it. The smallest log is over within a tenth of a
second, in which anything may happen on the machine: it is made several times, and the median told.
One JSON object goes to standard output.
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from heptad.runtime.config import load_cell
from heptad.runtime.config.files import CELL_FILE
from heptad_ledger.log_reads import LogReads
from heptad_ledger.parts import Parts
from heptad_ledger.synthetic.fill import Filling, new_home, open_home
from heptad_ledger.synthetic.records import FillPlan

SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
STRETCH: Final = 50_000
"""Entries that are measured at a size; half of it for the smallest."""
SMALL_LEDGERS: Final = 5
"""How many ledgers are made for the smallest size, if its stretch is a shorter one."""
READS: Final = 2_000
BLOCK_BATCHES: Final = 2
"""So a wave is 8,000 records, about what a busy ledger takes at a time; larger ones are cheaper."""


@dataclass(frozen=True, slots=True)
class CostRow:
    """A ledger whose log has `size` entries.

    `cpu_us` and `wall_us` are what applying one entry took, `per_s` how many entries it applied a
    second; `log_bytes` is the store's file, all tables, for each entry. `proof_*` are of inclusion
    proofs of random entries against the newest checkpoint, in ms of wall time, `proof_cpu_us` of
    CPU; `get_*` of reading an entry. `rss_bytes` is the process's, with the pages of the file.
    """

    size: int
    measured: int
    cpu_us: float
    wall_us: float
    per_s: float
    log_bytes: float
    proof_p50_ms: float
    proof_p99_ms: float
    proof_cpu_us: float
    get_p50_ms: float
    get_p99_ms: float
    rss_bytes: int


def measure(
    home: Path,
    sizes: Sequence[int],
    *,
    block_batches: int,
    batch_records: int,
    tell: Callable[[str], None],
) -> list[CostRow]:
    """Let the ledger of a new home grow, and measure at each size. Raises: StoreError, OSError."""

    def rows_of(folder: Path, sizes: Sequence[int]) -> list[CostRow]:
        if not (folder / CELL_FILE).exists():
            new_home(folder)
        plan = FillPlan(
            entries=max(sizes), block_batches=block_batches, batch_records=batch_records
        )
        return _rows(folder, sizes, plan, tell)

    smallest: list[CostRow] = []
    if sizes[0] // 2 < STRETCH:
        more = (home.with_name(f"{home.name}-{number}") for number in range(1, SMALL_LEDGERS))
        smallest = [row for folder in more for row in rows_of(folder, sizes[:1])]
    rows = rows_of(home, sizes)
    rows[0] = sorted([*smallest, rows[0]], key=lambda row: row.cpu_us)[len(smallest) // 2]
    return rows


def _rows(
    home: Path, sizes: Sequence[int], plan: FillPlan, tell: Callable[[str], None]
) -> list[CostRow]:
    cell = load_cell(home)
    parts = open_home(home, cell)
    try:
        filling = Filling(home, cell, parts, plan, tell)
        return [_measured(filling, parts, size, tell) for size in sizes]
    finally:
        parts.close()


def _measured(filling: Filling, parts: Parts, size: int, tell: Callable[[str], None]) -> CostRow:
    tell(f"growing to {size:,} entries")
    stretch = min(STRETCH, size // 2)
    filling.grow_to(size - stretch)
    figures = filling.grow_to(size)
    tell(f"{READS:,} proofs and reads at {size:,}")
    with parts.store.snapshot() as snapshot:
        latest = snapshot.latest_checkpoint()
    reads = LogReads(store=parts.store, latest=lambda: latest, index_key=parts.vault.index_key)
    indexes = random.Random(size).choices(range(size), k=READS)  # noqa: S311  to be the same again
    started_cpu_s = time.process_time()
    proofs = _timed(lambda index: reads.inclusion_proof(index, 0), indexes)
    proof_cpu_s = time.process_time() - started_cpu_s
    gets = _timed(reads.entry, indexes)
    return CostRow(
        size=figures.size,
        measured=figures.entries,
        cpu_us=figures.applying_cpu_s / figures.entries * 1e6,
        wall_us=figures.applying_s / figures.entries * 1e6,
        per_s=figures.entries / figures.applying_s,
        log_bytes=figures.log_bytes / figures.size,
        proof_p50_ms=_at(proofs, 0.50),
        proof_p99_ms=_at(proofs, 0.99),
        proof_cpu_us=proof_cpu_s / READS * 1e6,
        get_p50_ms=_at(gets, 0.50),
        get_p99_ms=_at(gets, 0.99),
        rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _timed(read: Callable[[int], object], indexes: Sequence[int]) -> list[float]:
    """How long each took, in ms, sorted."""
    took_ms: list[float] = []
    for index in indexes:
        started_s = time.perf_counter()
        read(index)
        took_ms.append((time.perf_counter() - started_s) * 1e3)
    return sorted(took_ms)


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def main() -> None:
    """Measure, and print the rows as JSON; what is being done goes to standard error."""
    parser = argparse.ArgumentParser(prog="heptad_ledger.synthetic.cost", description=main.__doc__)
    parser.add_argument("home", type=Path, help="folder for a new cell; others beside it")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--batch-records", type=int, default=FillPlan(0).batch_records)
    parser.add_argument("--block-batches", type=int, default=BLOCK_BATCHES)
    asked = parser.parse_args()
    rows = measure(
        asked.home,
        sorted(asked.sizes),
        block_batches=asked.block_batches,
        batch_records=asked.batch_records,
        tell=lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
    )
    print(json.dumps({"rows": [asdict(row) for row in rows]}))  # noqa: T201


if __name__ == "__main__":
    main()
