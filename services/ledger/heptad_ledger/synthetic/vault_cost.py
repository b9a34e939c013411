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
SYNCS: Final = 50
_BLOCK_BYTES: Final = 4_096
_DATA_FILE: Final = "data.mdb"
_GROUPS_OF_A_SIZE: Final = 10
_ERASED_AT_EACH_SIZE: Final = 300
"""At least so many slots for each size of group, and at least ten groups."""


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """`group` slots erased at once, `groups` times: slots a second, and ms for a group."""

    group: int
    groups: int
    per_s: float
    p50_ms: float
    p99_ms: float


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
    all of `erasures` is done. `memory_bytes` is what the process held beyond mapped files;
    `sync_ms` is the median of one small durable write on this disk.
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
    sync_ms: float


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
        sync_ms=_sync_ms(folder),
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
    took_ms = []
    for _ in range(groups_of(group)):
        slots = chance.sample(range(1, tree.slot_next), min(group, tree.slot_next - 1))
        started_s = time.perf_counter()
        tree.erase(slots)
        took_ms.append((time.perf_counter() - started_s) * 1e3)
    return erasure_row(group, took_ms)


def groups_of(size: int) -> int:
    """How many groups of that size are erased."""
    return max(_GROUPS_OF_A_SIZE, _ERASED_AT_EACH_SIZE // size)


def erasure_row(group: int, took_ms: Sequence[float]) -> ErasureRow:
    """The row of groups of one size, by how long each took."""
    ordered = sorted(took_ms)
    per_s = group * len(ordered) / sum(ordered) * 1e3
    return ErasureRow(group, len(ordered), per_s, _at(ordered, 0.5), _at(ordered, 0.99))


def _sync_ms(folder: Path) -> float:
    """What one small durable write costs on this disk, of which an erasure makes several."""
    path, took_ms = folder / "sync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            started_s = time.perf_counter()
            os.pwrite(file.fileno(), bytes(_BLOCK_BYTES), 0)
            os.fdatasync(file.fileno())
            took_ms.append((time.perf_counter() - started_s) * 1e3)
    path.unlink()
    return _at(sorted(took_ms), 0.5)


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
        tell=lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
    )
    print(json.dumps(asdict(figures)))  # noqa: T201


if __name__ == "__main__":
    main()
