"""A ledger kept near one size, so that what an entry costs can be measured there many times."""

import random
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from heptad.runtime.config import load_cell
from heptad_ledger.log_reads import LogReads
from heptad_ledger.parts import Parts
from heptad_ledger.synthetic.fill import FillFigures, Filling, new_home, open_home
from heptad_ledger.synthetic.records import FillPlan

STRETCH: Final = 24_000
"""Entries that are measured at a time; half of the log, where that is less."""
READS: Final = 2_000


@dataclass(frozen=True, slots=True)
class ReadFigures:
    """Ledgers answer fast enough that these are of wall time in ms; `proof_cpu_us` is CPU time."""

    proof_p50_ms: float
    proof_p99_ms: float
    proof_cpu_us: float
    get_p50_ms: float
    get_p99_ms: float
    rss_bytes: int


class GrownLedger:
    """A ledger whose log has between `size / 2` and `size` entries when it is measured.

    One that is full gives way to a new one, in a folder of its own beside the last: with a small
    log after each stretch or two, with a large one never. Nothing is made before it is asked for.
    """

    def __init__(
        self,
        folder: Path,
        size: int,
        *,
        turns: int,
        block_batches: int,
        batch_records: int,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._folders = (folder / str(number) for number in count())
        self._size = size
        self._stretch = min(STRETCH, size // 2)
        self._turns_left = turns
        self._plan = FillPlan(
            entries=size, block_batches=block_batches, batch_records=batch_records
        )
        self._tell = tell
        self._parts: Parts | None = None
        self._filling: Filling | None = None
        self._reached = size

    def grow(self) -> None:
        """Let the log grow to where the next stretches fit. Raises: StoreError, OSError."""
        if self._reached + self._stretch <= self._size:
            return
        self.close()
        home = next(self._folders)
        home.parent.mkdir(exist_ok=True)
        cell = new_home(home)
        self._parts = open_home(home, load_cell(home))
        self._filling = Filling(home, cell, self._parts, self._plan, self._tell)
        fitting = min(self._turns_left, self._size // 2 // self._stretch)
        self._reached = self._filling.grow_to(self._size - fitting * self._stretch).size

    def turn(self) -> FillFigures:
        """Apply one more stretch of entries, and measure that. Raises: StoreError, OSError."""
        self.grow()
        assert self._filling is not None
        figures = self._filling.grow_to(self._reached + self._stretch)
        self._reached = figures.size
        self._turns_left -= 1
        return figures

    def reads(self) -> ReadFigures:
        """Inclusion proofs of random entries under the newest checkpoint, and the entries."""
        parts = self._parts
        assert parts is not None, "a ledger is read after it has grown"
        with parts.store.snapshot() as snapshot:
            latest = snapshot.latest_checkpoint()
        reads = LogReads(store=parts.store, latest=lambda: latest, index_key=parts.vault.index_key)
        chance = random.Random(self._reached)  # noqa: S311  to be the same again
        indexes = chance.choices(range(self._reached), k=READS)
        started_cpu_s = time.process_time()
        proofs = _timed(lambda index: reads.inclusion_proof(index, 0), indexes)
        proof_cpu_s = time.process_time() - started_cpu_s
        gets = _timed(reads.entry, indexes)
        return ReadFigures(
            proof_p50_ms=_at(proofs, 0.50),
            proof_p99_ms=_at(proofs, 0.99),
            proof_cpu_us=proof_cpu_s / READS * 1e6,
            get_p50_ms=_at(gets, 0.50),
            get_p99_ms=_at(gets, 0.99),
            rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )

    def close(self) -> None:
        """Close the store; the files stay."""
        if self._parts is not None:
            self._parts.close()
        self._parts = self._filling = None


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
