"""Changing `cell.toml`: one writer at a time, the whole file at once, and what is derived from it.

The policy file follows from the file and is written before it: a policy that lists a key which
nobody signs with yet harms nobody, and one that lacks a key that signs would.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from heptad.runtime.config.cell import Cell, LedgerMember
from heptad.runtime.config.files import CELL_FILE, load_cell, write_config
from heptad.runtime.disk import write_atomically
from heptad.runtime.errors import ConfigInvalidError, HomeRefusedError
from heptad.runtime.genesis import CELL_HEAD, POLICY_FILE
from heptad.runtime.vkeys import cell_policy

LOCK_FILE: Final = "keys.lock"


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Keep other commands from changing the home's keys meanwhile.

    Raises: HomeRefusedError if one does just now.
    """
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeRefusedError(f"another command is changing the keys of {home}") from None
        yield
    finally:
        os.close(descriptor)


def revise(home: Path, change: Callable[[Cell], Cell]) -> bool:
    """Write what `change` makes of the cell; tell whether that is another one.

    Raises: ConfigInvalidError, with every rule that the new one would break; then nothing changes.
    """
    cell = load_cell(home)
    changed = change(cell)
    if mistakes := tuple(f"{CELL_FILE}: {key}: {why}" for key, why in changed.mistakes()):
        raise ConfigInvalidError(mistakes)
    policy = cell_policy(changed).format()
    for path in policy_files(home):
        if not path.exists() or path.read_bytes() != policy:
            write_atomically(path, policy, mode=0o644)
    if changed == cell:
        return False
    write_config(changed, home / CELL_FILE, head=CELL_HEAD)
    return True


def policy_files(home: Path) -> list[Path]:
    """The home's policy, and the copies that its clients judge by."""
    return [home / POLICY_FILE, *sorted((home / "clients").glob(f"*/{POLICY_FILE}"))]


def with_ledger(cell: Cell, ledger: LedgerMember) -> Cell:
    """The cell with this ledger in the place of its own."""
    return replace(cell, ledgers=(ledger,))
