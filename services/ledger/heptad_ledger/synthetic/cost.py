"""`python -m heptad_ledger.synthetic.cost FOLDER`: what an entry costs, by the size of the log.

A ledger for each size, each in a process of its own. When all have grown, they apply a stretch of
entries in turns, so that every size meets the same machine, whatever else it does meanwhile: the
median of the turns is told. Blocks are made before, and only the ledger's own part is counted
(frames checked, hashed, filed, written, synced). At last proofs and entries are read at random.
One JSON object goes to standard output.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from heptad_ledger.errors import StoreError
from heptad_ledger.synthetic.fill import FillFigures
from heptad_ledger.synthetic.grown import GrownLedger, ReadFigures
from heptad_ledger.synthetic.records import FillPlan

SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
TURNS: Final = 15
BLOCK_BATCHES: Final = 2
"""So a wave is 8,000 records, about what a busy ledger takes at a time; larger ones are cheaper."""


@dataclass(frozen=True, slots=True)
class CostRow:
    """A ledger whose log has `size` entries.

    `cpu_us` and `wall_us` are what applying one entry took, medians of the turns of `measured`
    entries each, `turns_cpu_us` all of them, `per_s` how many entries it applied a second;
    `log_bytes` is the store's file, all tables, for each entry. `proof_*` are of inclusion proofs
    of random entries against the newest checkpoint, in ms of wall time, `proof_cpu_us` of CPU;
    `get_*` of reading an entry. `rss_bytes` is the process's, with the pages of the file.
    """

    size: int
    measured: int
    cpu_us: float
    turns_cpu_us: tuple[float, ...]
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
    folder: Path,
    sizes: Sequence[int],
    *,
    turns: int = TURNS,
    block_batches: int,
    batch_records: int,
    tell: Callable[[str], None],
) -> list[CostRow]:
    """Make a ledger for each size in `folder`, and measure them in turns.

    Raises: StoreError if one of them fails.
    """
    with ExitStack() as stack:
        ledgers = [
            _Ledger(
                folder / str(size),
                size=size,
                turns=turns,
                block_batches=block_batches,
                batch_records=batch_records,
            )
            for size in sizes
        ]
        for ledger in ledgers:
            stack.enter_context(closing(ledger))
        tell(f"growing to {', '.join(f'{size:,}' for size in sizes)} entries")
        for ledger in ledgers:
            ledger.ask("grow")
        for ledger in ledgers:
            ledger.answer()
        taken: list[list[FillFigures]] = [[] for _ in sizes]
        for turn in range(turns):
            tell(f"turn {turn + 1} of {turns}")
            for ledger in ledgers:
                ledger.get("grow")
            for ledger, figures in zip(ledgers, taken, strict=True):
                figures.append(ledger.get("turn"))
        tell("proofs and reads")
        return [
            _row(figures, ledger.get("reads"))
            for ledger, figures in zip(ledgers, taken, strict=True)
        ]


class _Ledger:
    """A `GrownLedger` in a process of its own: one method's name goes there, its result comes."""

    def __init__(self, folder: Path, **plan: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, folder, plan), daemon=True)
        self._process.start()
        there.close()

    def close(self) -> None:
        """Hanging up ends the process."""
        self._here.close()
        self._process.join()

    def ask(self, method: str) -> None:
        """Say what to do next, without waiting for it."""
        self._here.send(method)

    def answer(self) -> Any:  # noqa: ANN401  whatever the method returns
        """What came of it. Raises: StoreError."""
        try:
            result = self._here.recv()
        except EOFError:
            raise StoreError("the process of a ledger has ended too early") from None
        if isinstance(result, StoreError):
            raise result
        return result

    def get(self, method: str) -> Any:  # noqa: ANN401  as above
        """Ask and wait. Raises: StoreError."""
        self.ask(method)
        return self.answer()


def _serve(pipe: Connection, folder: Path, plan: dict[str, int]) -> None:
    """In the ledger's own process, until the other side hangs up."""

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    size = plan.pop("size")
    with closing(GrownLedger(folder, size, tell=tell, **plan)) as ledger:
        while True:
            try:
                method = pipe.recv()
            except EOFError:
                return
            try:
                pipe.send(getattr(ledger, method)())
            except StoreError as error:
                pipe.send(error)


def _row(turns: Sequence[FillFigures], reads: ReadFigures) -> CostRow:
    cpu_us = [each.applying_cpu_s / each.entries * 1e6 for each in turns]
    wall_us = statistics.median(each.applying_s / each.entries * 1e6 for each in turns)
    last = turns[-1]
    return CostRow(
        size=last.size,
        measured=last.entries,
        cpu_us=statistics.median(cpu_us),
        turns_cpu_us=tuple(cpu_us),
        wall_us=wall_us,
        per_s=1e6 / wall_us,
        log_bytes=last.log_bytes / last.size,
        **asdict(reads),
    )


def main() -> None:
    """Measure, and print the rows as JSON; what is being done goes to standard error."""
    parser = argparse.ArgumentParser(prog="heptad_ledger.synthetic.cost", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder for the cells of the ledgers")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--batch-records", type=int, default=FillPlan(0).batch_records)
    parser.add_argument("--block-batches", type=int, default=BLOCK_BATCHES)
    asked = parser.parse_args()
    rows = measure(
        asked.folder,
        sorted(asked.sizes),
        turns=asked.turns,
        block_batches=asked.block_batches,
        batch_records=asked.batch_records,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps({"rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
