"""`python -m heptad_ledger.synthetic.vault_cost FOLDER`: what a vault of many subjects costs.

A vault of its own, on the disk of `FOLDER`, with the default root key files: so an erasure here has
all of its syncs. Erasures are of slots at random, in groups with one change of the root key each.
One JSON object goes to standard output.
"""

import argparse
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from heptad.runtime.process_usage import anonymous_bytes_of
from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.tree import ALLOCATION_MAX, KeyTree
from heptad_ledger.synthetic.pages import forget, resident_part

SUBJECTS: Final = 1_000_000
GROUPS: Final = (1, 10, 100, 1_000)
LOOK_UPS: Final = 1_000
COLD_STARTS: Final = 50
_DATA_FILE: Final = "data.mdb"
_GROUPS_OF_A_SIZE: Final = 10
_ERASED_AT_EACH_SIZE: Final = 300
"""At least so many slots for each size of group, and at least ten groups."""


@dataclass(frozen=True, slots=True)
class Took:
    """What something took."""

    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Moment:
    """When something began."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> "Moment":
        """This very moment."""
        return cls(time.perf_counter(), time.process_time())

    def until_now(self) -> Took:
        """What has passed since."""
        now = Moment.now()
        return Took((now.wall_s - self.wall_s) * 1e3, (now.cpu_s - self.cpu_s) * 1e3)


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """`group` slots erased at once, `groups` times: slots a second, and ms for a group.

    `cpu_ms` is the mean of a group's CPU time; the rest is waiting, nearly all of it for the disk.
    """

    group: int
    groups: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class ColdStarts:
    """The vault opened and one random slot looked up, each time with the page cache emptied before.

    `resident_max` is the part of the database that was in the page cache at the most when an
    opening began; `reads_p50` how many reads of the drive a look-up waited for (major faults).
    """

    count: int
    open_p50_ms: float
    look_up_p50_us: float
    look_up_max_us: float
    resident_max: float
    reads_p50: int


@dataclass(frozen=True, slots=True)
class WarmLookUps:
    """Look-ups of random slots of one open vault, nearly each in another leaf."""

    count: int
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class VaultFigures:
    """`fill_s` is what it took to allocate, `open_warm_ms` from `KeyTree.open` to its return.

    `bytes_per_subject` is of the database's file before anything is erased, `after_erasures` when
    all of `erasures` is done. `memory_bytes` is what the process held beyond mapped files.
    """

    subjects: int
    fill_s: float
    bytes_per_subject: float
    bytes_per_subject_after_erasures: float
    open_warm_ms: float
    cold: ColdStarts
    warm: WarmLookUps
    erasures: tuple[ErasureRow, ...]
    memory_bytes: int


def measure(
    folder: Path, *, subjects: int, groups: Sequence[int], tell: Callable[[str], None]
) -> VaultFigures:
    """Fill a new vault and measure. Raises: VaultFaultError, OSError."""
    chance = random.Random(subjects)  # noqa: S311  the same slots each time
    vault, roots = folder / "vault", FileRootKeyStore(folder / "root")
    tell(f"giving out {subjects:,} slots")
    started_s = time.perf_counter()
    _fill(vault, roots, subjects)
    fill_s = time.perf_counter() - started_s
    data = vault / _DATA_FILE
    bytes_before = data.stat().st_size
    tell("starting and looking up, cold and warm")
    cold = _cold(vault, roots, chance, subjects)
    started_s = time.perf_counter()
    tree = KeyTree.open(vault, roots)
    open_warm_ms = (time.perf_counter() - started_s) * 1e3
    warm = _warm(tree, chance)
    rows = []
    for group in groups:
        tell(f"erasing in groups of {group:,}")
        rows.append(_erased(tree, group, chance))
    memory_bytes = anonymous_bytes_of(os.getpid())
    tree.close()
    return VaultFigures(
        subjects=subjects,
        fill_s=fill_s,
        bytes_per_subject=bytes_before / subjects,
        bytes_per_subject_after_erasures=data.stat().st_size / subjects,
        open_warm_ms=open_warm_ms,
        cold=cold,
        warm=warm,
        erasures=tuple(rows),
        memory_bytes=memory_bytes,
    )


def _fill(vault: Path, roots: FileRootKeyStore, subjects: int) -> None:
    tree = KeyTree.create(vault, roots, now_ms=time.time_ns() // 1_000_000)
    try:
        while (left := subjects - tree.slot_next) > 0:
            tree.allocate(min(left, ALLOCATION_MAX))
    finally:
        tree.close()


def _cold(vault: Path, roots: FileRootKeyStore, chance: random.Random, subjects: int) -> ColdStarts:
    opens_ms, look_ups_us, reads, resident = [], [], [], []
    for _ in range(COLD_STARTS):
        forget(vault)
        resident.append(resident_part(vault / _DATA_FILE))
        slot = chance.randrange(1, subjects)
        began_s = time.perf_counter()
        tree = KeyTree.open(vault, roots)
        opened_s, faults = time.perf_counter(), _major_faults()
        tree.lookup(slot)
        look_ups_us.append((time.perf_counter() - opened_s) * 1e6)
        reads.append(_major_faults() - faults)
        opens_ms.append((opened_s - began_s) * 1e3)
        tree.close()
    opens_ms.sort()
    look_ups_us.sort()
    return ColdStarts(
        count=COLD_STARTS,
        open_p50_ms=_at(opens_ms, 0.5),
        look_up_p50_us=_at(look_ups_us, 0.5),
        look_up_max_us=look_ups_us[-1],
        resident_max=max(resident),
        reads_p50=sorted(reads)[len(reads) // 2],
    )


def _warm(tree: KeyTree, chance: random.Random) -> WarmLookUps:
    slots = chance.choices(range(1, tree.slot_next), k=LOOK_UPS)
    took_us = []
    for slot in slots:
        started_s = time.perf_counter()
        tree.lookup(slot)
        took_us.append((time.perf_counter() - started_s) * 1e6)
    took_us.sort()
    return WarmLookUps(len(slots), _at(took_us, 0.5), _at(took_us, 0.99))


def _major_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def _erased(tree: KeyTree, group: int, chance: random.Random) -> ErasureRow:
    took: list[Took] = []
    for _ in range(groups_of(group)):
        slots = chance.sample(range(1, tree.slot_next), min(group, tree.slot_next - 1))
        began = Moment.now()
        tree.erase(slots)
        took.append(began.until_now())
    return erasure_row(group, took)


def groups_of(size: int) -> int:
    """How many groups of that size are erased."""
    return max(_GROUPS_OF_A_SIZE, _ERASED_AT_EACH_SIZE // size)


def erasure_row(group: int, took: Sequence[Took]) -> ErasureRow:
    """The row of groups of one size, by what each took."""
    ordered = sorted(each.wall_ms for each in took)
    return ErasureRow(
        group=group,
        groups=len(took),
        per_s=group * len(took) / sum(ordered) * 1e3,
        p50_ms=_at(ordered, 0.5),
        p99_ms=_at(ordered, 0.99),
        cpu_ms=sum(each.cpu_ms for each in took) / len(took),
    )


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def main() -> None:
    """Measure, and print the figures as JSON; what is being done goes to standard error."""
    parser = argparse.ArgumentParser(prog="heptad_ledger.synthetic.vault_cost")
    parser.add_argument("folder", type=Path, help="folder for a new vault")
    parser.add_argument("--subjects", type=int, default=SUBJECTS)
    parser.add_argument("--groups", type=int, nargs="+", default=GROUPS)
    asked = parser.parse_args()
    figures = measure(
        asked.folder,
        subjects=asked.subjects,
        groups=asked.groups,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
