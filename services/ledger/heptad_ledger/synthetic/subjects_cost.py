"""`python -m heptad_ledger.synthetic.subjects_cost HOME`: a ledger of many subjects.

Of a home that `heptad_ledger.synthetic` has filled (one registration and some requests for each
subject): what starting it takes, what it holds in memory, what a subject's look-up costs with a
cold page cache, and where on the disk its bytes are. One JSON object goes to standard output.
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
from typing import Final

import lmdb

from heptad.crypto.sealing import open_stored
from heptad.runtime.config import Cell, LedgerConfig, load_cell
from heptad.runtime.config.files import load_node_config
from heptad.runtime.process_usage import anonymous_bytes_of
from heptad_ledger.parts import LOG_FOLDER, VAULT_FOLDER, Parts
from heptad_ledger.privacy.rows import entries_of
from heptad_ledger.store.environment import TABLES
from heptad_ledger.synthetic.fill import open_home
from heptad_ledger.synthetic.pages import forget

COLD_STARTS: Final = 10
_PRIVATE: Final = ("sealed", "by_subject", "by_request", "recent", "subject")


@dataclass(frozen=True, slots=True)
class SubjectFigures:
    """A ledger with `subjects` and a log of `entries`.

    A start is from the open of store and vault to the moment when records can be filed, without the
    network. `look_up` is from a subject's id to its key and the ids of its devices' keys, once
    after each cold start. `memory_bytes` is what the process holds beyond mapped files. `bytes_per_
    subject` is by table; `vault` is the vault's file.
    """

    subjects: int
    entries: int
    start_cold_ms: float
    start_warm_ms: float
    look_up_cold_p50_ms: float
    look_up_cold_max_ms: float
    look_up_warm_us: float
    memory_bytes: int
    bytes_per_subject: dict[str, float]


def measure(home: Path, *, tell: Callable[[str], None]) -> SubjectFigures:
    """Raises: StoreError, VaultFaultError, OSError."""
    cell = load_cell(home)
    config = load_node_config(LedgerConfig, home=home, name=cell.ledger.id)
    data = home / cell.ledger.id / config.node.data
    tell("starting, warm")
    parts, warm_ms = _opened(home, cell)
    subjects, entries = parts.store.state.subjects, parts.store.state.size
    chance = random.Random(subjects)  # noqa: S311  the same subjects each time
    names = [_some_subject(parts, chance) for _ in range(COLD_STARTS)]
    memory_bytes = anonymous_bytes_of(os.getpid())
    warm_us = _median([_look_up_ms(parts, name) * 1e3 for name in names])
    parts.close()
    tell("starting, cold")
    starts_ms, look_ups_ms = [], []
    for name in names:
        forget(data)
        parts, took_ms = _opened(home, cell)
        starts_ms.append(took_ms)
        look_ups_ms.append(_look_up_ms(parts, name))
        parts.close()
    return SubjectFigures(
        subjects=subjects,
        entries=entries,
        start_cold_ms=_median(starts_ms),
        start_warm_ms=warm_ms,
        look_up_cold_p50_ms=_median(look_ups_ms),
        look_up_cold_max_ms=max(look_ups_ms),
        look_up_warm_us=warm_us,
        memory_bytes=memory_bytes,
        bytes_per_subject={
            name: size / subjects for name, size in _table_bytes(data / LOG_FOLDER).items()
        }
        | {"vault": (data / VAULT_FOLDER / "data.mdb").stat().st_size / subjects},
    )


def _opened(home: Path, cell: Cell) -> tuple[Parts, float]:
    started_s = time.perf_counter()
    parts = open_home(home, cell)
    return parts, (time.perf_counter() - started_s) * 1e3


def _some_subject(parts: Parts, chance: random.Random) -> str:
    """The id of a random subject, out of its registration."""
    registry = parts.registry
    while True:
        slot = chance.randrange(1, parts.vault.slot_next)
        slot_key = parts.vault.lookup(slot)
        with parts.store.snapshot() as snapshot:
            index = next(entries_of(snapshot, slot_key=slot_key), None)
            stored = None if index is None else snapshot.sealed(index)
            if index is None or stored is None:
                continue  # the ledger's own slot, or one that was taken and never used
            entry = snapshot.entry(index)
        opened = open_stored(stored, entry=entry, entry_index=index, slot_key=slot_key)
        return registry.subject_of(opened)


def _look_up_ms(parts: Parts, name: str) -> float:
    started_s = time.perf_counter()
    with parts.store.snapshot() as snapshot:
        found = parts.registry.find(snapshot, name)
    took_ms = (time.perf_counter() - started_s) * 1e3
    assert found is not None, "a subject of this very ledger is not found"
    return took_ms


def _table_bytes(folder: Path) -> dict[str, int]:
    """What each private table takes up in whole pages, and all public ones together."""
    found = dict.fromkeys((*_PRIVATE, "public"), 0)
    environment = lmdb.open(
        str(folder), readonly=True, lock=False, max_dbs=len(TABLES), map_size=1 << 40
    )
    try:
        with environment.begin() as transaction:
            for name in TABLES:
                table = environment.open_db(name.encode(), transaction, create=False)
                told = transaction.stat(table)
                pages = told["branch_pages"] + told["leaf_pages"] + told["overflow_pages"]
                found[name if name in _PRIVATE else "public"] += pages * told["psize"]
    finally:
        environment.close()
    return found


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    """Measure, and print the figures as JSON; what is being done goes to standard error."""
    parser = argparse.ArgumentParser(prog="heptad_ledger.synthetic.subjects_cost")
    parser.add_argument("home", type=Path, help="a home that heptad_ledger.synthetic has filled")
    figures = measure(
        parser.parse_args().home,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
