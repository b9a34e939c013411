"""`python -m heptad_ledger.synthetic.erasing_cost HOME`: erasures in a ledger of many subjects.

Of a home that `heptad_ledger.synthetic` has filled. Orders are put into the ledger's table as if
they had been found in the log, and what is measured is carrying them out: rows and ciphertexts
found and deleted in one durable transaction, then the keys of the whole group with one change of
the root key, then the cases written. The files are in the page cache, and the statements, the
leases and the network are left out.
One JSON object goes to standard output.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy
from heptad.runtime.config import load_cell
from heptad_ledger.parts import Parts
from heptad_ledger.privacy.eraser import GROUP_MAX, Eraser
from heptad_ledger.store.erasure_rows import ErasureCase, Progress
from heptad_ledger.synthetic.fill import open_home
from heptad_ledger.synthetic.pages import remember
from heptad_ledger.synthetic.vault_cost import (
    GROUPS,
    ErasureRow,
    Moment,
    Took,
    erasure_row,
    groups_of,
)


@dataclass(frozen=True, slots=True)
class ErasingFigures:
    """`rows_each` is how many rows and ciphertexts went with a subject, on the average."""

    subjects: int
    rows_each: float
    erasures: tuple[ErasureRow, ...]


def measure(home: Path, *, groups: Sequence[int], tell: Callable[[str], None]) -> ErasingFigures:
    """Erase subjects at random, who stay erased; a size for which there are too few is left out.

    Raises: StoreError, VaultFaultError, OSError.
    """
    tell("reading the files once")
    remember(home)
    parts = open_home(home, load_cell(home))
    try:
        subjects = parts.store.state.subjects
        erasing = _Erasing(parts, random.Random())  # noqa: S311  not for keys
        rows = []
        for group in groups:
            if count := min(groups_of(group), erasing.left // (2 * group)):
                tell(f"erasing in groups of {group:,}")
                rows.append(erasing.row(min(group, GROUP_MAX), count))
        return ErasingFigures(subjects, erasing.deleted / erasing.erased, tuple(rows))
    finally:
        parts.close()


class _Erasing:
    def __init__(self, parts: Parts, chance: random.Random) -> None:
        self.erased = self.deleted = 0
        self._parts = parts
        self._eraser = Eraser(
            store=parts.store, vault=parts.vault, filer=parts.filer, now_ms=_now_ms
        )
        self._slots = list(range(1, parts.vault.slot_next))
        chance.shuffle(self._slots)

    @property
    def left(self) -> int:
        """Slots that were not looked at yet."""
        return len(self._slots)

    def row(self, group: int, count: int) -> ErasureRow:
        took: list[Took] = []
        for _ in range(count):
            cases = self._ordered(self._there(group))
            began = Moment.now()
            done = self._eraser.execute(cases)
            took.append(began.until_now())
            assert all(case.progress is Progress.DESTROYED for case in done)
            self.erased += len(done)
            self.deleted += sum(case.ciphertexts + case.index_rows for case in done)
        return erasure_row(group, took)

    def _there(self, count: int) -> list[int]:
        """So many random slots that are somebody's and not erased, as far as there are any left."""
        found: list[int] = []
        while self._slots and len(found) < count:
            slot = self._slots.pop()
            if self._parts.filer.slot_key(slot) is not None:
                found.append(slot)
        return found

    def _ordered(self, slots: Sequence[int]) -> list[ErasureCase]:
        with self._parts.store.editing() as edit:
            number = edit.cases.number_next()
            cases = [
                ErasureCase(
                    number=number + place,
                    slot=slot,
                    state=ErasureState.ORDERED,
                    ordered_by=OrderedBy.OFFICER,
                    ground=ErasureGround.NO_LONGER_NEEDED,
                    received_ms=_now_ms(),
                    request_digest=os.urandom(32),
                )
                for place, slot in enumerate(slots)
            ]
            for case in cases:
                edit.cases.put(case)
        return cases


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    """Measure, and print the figures as JSON; what is being done goes to standard error."""
    parser = argparse.ArgumentParser(prog="heptad_ledger.synthetic.erasing_cost")
    parser.add_argument("home", type=Path, help="a home that heptad_ledger.synthetic has filled")
    parser.add_argument("--groups", type=int, nargs="+", default=GROUPS)
    asked = parser.parse_args()
    figures = measure(
        asked.home,
        groups=asked.groups,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
