"""A validator's batch key: named from an incarnation on, then exchanged between two lives.

`--start` names the new key from an incarnation that lies beyond what the validator has used, so
nothing changes for anybody until it begins such a life: it does that with the new key only. So the
order of restarts is free until `--finish`, and whoever crashes in between goes on with the old key.
By `--finish` all replicas and the ledger must go by the new file, or they refuse the new batches.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from heptad.crypto.keys import KeyRole, load_service_key
from heptad.runtime.config.cell import Cell, ValidatorMember
from heptad.runtime.config.dated_keys import LaterBatchKey
from heptad.runtime.config.files import load_cell, load_node_config
from heptad.runtime.config.validator import ValidatorConfig
from heptad.runtime.errors import HomeRefusedError
from heptad.runtime.keyring.cell_file import revise
from heptad.runtime.keyring.private_files import begin_next, next_key, take_over
from heptad.runtime.keyring.steps import Step

LIVES_LEFT_MIN: Final = 1_000
"""How many lives a validator whose clock is behind may still begin with its old key."""

_INCARNATION_FILE: Final = "incarnation"


def start(home: Path, name: str, *, now_ms: int, since: str) -> Step:
    """Make the next key of validator `name` and name it; `since` is now, as a date.

    Raises: HomeRefusedError if its keys are not in this home, KeyFileError, ConfigInvalidError.
    """
    keys = _keys(home, name)
    key, is_new = begin_next(keys, KeyRole.BATCH)
    last = _last_incarnation(home, name)

    def named(cell: Cell) -> Cell:
        member = cell.validator(name)
        later = member.later_batch_keys
        if key.public_key in [each.key for each in later]:
            return cell
        bound = max(last + LIVES_LEFT_MIN, *(each.from_incarnation + 1 for each in later), 0)
        added = LaterBatchKey(key.public_key, max(now_ms, bound), since)
        return _with_validator(cell, replace(member, later_batch_keys=(*later, added)))

    is_written = revise(home, named)
    cell = load_cell(home)
    first = cell.validator(name).later_batch_keys[-1].from_incarnation
    return Step(
        facts=(f"{name}: the next batch key is named, from incarnation {first} on",),
        restart=(*(replica.id for replica in cell.replicas), cell.ledger.id),
        elsewhere=("every replica and the ledger go by the new cell.toml before --finish",),
        is_news=is_new or is_written,
    )


def finish(home: Path, name: str) -> Step:
    """Let the next key take over. Raises: as `start`; HomeRefusedError if none is named."""
    keys = _keys(home, name)
    named = [each.key for each in load_cell(home).validator(name).later_batch_keys]
    key = next_key(keys, KeyRole.BATCH)
    if key is not None and key.public_key not in named:
        raise HomeRefusedError(f"{name}: the next batch key is not named yet; --start does that")
    if key is not None:
        take_over(keys, KeyRole.BATCH)
    own = load_service_key(keys / KeyRole.BATCH.file_name).public_key
    if own not in named[-1:]:
        raise HomeRefusedError(f"{name}: no next batch key was begun; --start does that")
    return Step(
        facts=(f"{name}: the new batch key is in its place, the old one is gone",),
        restart=(name,),
        is_news=key is not None,
    )


def _keys(home: Path, name: str) -> Path:
    keys = home / name / "keys"
    if not (keys / KeyRole.BATCH.file_name).is_file():
        raise HomeRefusedError(f"{keys} holds no batch key: run this where {name} is kept")
    return keys


def _with_validator(cell: Cell, changed: ValidatorMember) -> Cell:
    members = (changed if each.id == changed.id else each for each in cell.validators)
    return replace(cell, validators=tuple(members))


def _last_incarnation(home: Path, name: str) -> int:
    """The validator's last one, 0 if it never lived. Raises: HomeRefusedError for no number."""
    node = load_node_config(ValidatorConfig, home=home, name=name).node
    path = home / name / node.data / _INCARNATION_FILE
    if not path.exists():
        return 0
    text = path.read_text("ascii", errors="replace").strip()
    if not text.isdecimal():
        raise HomeRefusedError(f"{path} holds no incarnation")
    return int(text)
