"""The ledger's log and attestation keys: named by date, then alone by date.

The log's keys overlap. From the ledger's next start on both sign every checkpoint, so whoever
judges by the old policy and whoever judges by the new one are both content; the old one ceases only
when people say that every auditor has the new policy. An attestation is signed by one key at a
time, so its overlap is only that everybody knows the next one before it signs.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from heptad.crypto.keys import KeyRole, load_service_key
from heptad.runtime.config.cell import Cell
from heptad.runtime.config.dated_keys import LaterKey
from heptad.runtime.config.files import load_cell
from heptad.runtime.errors import HomeRefusedError
from heptad.runtime.keyring.cell_file import revise, with_ledger
from heptad.runtime.keyring.private_files import begin_next, next_key, take_over
from heptad.runtime.keyring.steps import Step

_OUT_OF_BAND: Final = (
    "every auditor gets the new policy file before --finish, from people and not from this cell: "
    "checkpoints carry both signatures until then"
)


def start(home: Path, duty: KeyRole, *, since: str) -> Step:
    """Make the next key of the ledger's duty and name it; `since` is now, as a date.

    Raises: HomeRefusedError if its keys are not in this home, KeyFileError, ConfigInvalidError.
    """
    keys = _keys(home, duty)
    if _has_taken_over(home, keys, duty):
        return Step(
            facts=(f"the next {duty} key is in its place: --finish",), restart=(), is_news=False
        )
    key, is_new = begin_next(keys, duty)

    def named(cell: Cell) -> Cell:
        later = _later(cell, duty)
        if key.public_key in [each.key for each in later]:
            return cell
        return _with_later(cell, duty, (*later, LaterKey(key.public_key, since)))

    is_written = revise(home, named)
    cell = load_cell(home)
    validators = tuple(validator.id for validator in cell.validators)
    return Step(
        facts=(f"{cell.ledger.id}: the next {duty} key is named",),
        restart=(*validators, cell.ledger.id),
        by_hand=(_OUT_OF_BAND,) if duty is KeyRole.LOG else (),
        is_news=is_new or is_written,
    )


def finish(home: Path, duty: KeyRole, *, at: str) -> Step:
    """Let the next key take over; `at` is now, as a date.

    If we crash between the two files, the new key signs and the old one is not yet said to be
    over; the same order once more says it.
    Raises: as `start`; HomeRefusedError if none is named.
    """
    keys = _keys(home, duty)
    later = _later(load_cell(home), duty)
    key = next_key(keys, duty)
    if key is not None and key.public_key not in [each.key for each in later]:
        raise HomeRefusedError(f"the next {duty} key is not named yet; --start does that")
    if key is not None:
        take_over(keys, duty)
    if load_service_key(keys / duty.file_name).public_key not in [each.key for each in later[-1:]]:
        raise HomeRefusedError(f"no next {duty} key was begun; --start does that")

    def alone(cell: Cell) -> Cell:
        *former, last = _later(cell, duty)
        if last.alone_since:
            return cell
        return _with_later(cell, duty, (*former, replace(last, alone_since=at)))

    is_written = revise(home, alone)
    cell = load_cell(home)
    validators = tuple(validator.id for validator in cell.validators)
    return Step(
        facts=(f"{cell.ledger.id}: the new {duty} key signs alone, the old one is gone",),
        restart=(cell.ledger.id, *validators),
        is_news=key is not None or is_written,
    )


def _has_taken_over(home: Path, keys: Path, duty: KeyRole) -> bool:
    """Whether `finish` was cut off between its two files; no new key is begun before it is done.

    Raises: HomeRefusedError if a rotation was begun whose key is not here.
    """
    last = _later(load_cell(home), duty)[-1:]
    if not last or last[0].alone_since:
        return False
    following = next_key(keys, duty)
    if following is not None and following.public_key == last[0].key:
        return False
    if load_service_key(keys / duty.file_name).public_key == last[0].key:
        return True
    raise HomeRefusedError(
        f"the last rotation of the {duty} key is not finished, and its next key is not here"
    )


def _keys(home: Path, duty: KeyRole) -> Path:
    keys = home / load_cell(home).ledger.id / "keys"
    if not (keys / duty.file_name).is_file():
        raise HomeRefusedError(f"{keys} holds no {duty} key: run this where the ledger is kept")
    return keys


def _later(cell: Cell, duty: KeyRole) -> tuple[LaterKey, ...]:
    ledger = cell.ledger
    return ledger.later_log_keys if duty is KeyRole.LOG else ledger.later_attestation_keys


def _with_later(cell: Cell, duty: KeyRole, later: tuple[LaterKey, ...]) -> Cell:
    if duty is KeyRole.LOG:
        return with_ledger(cell, replace(cell.ledger, later_log_keys=later))
    return with_ledger(cell, replace(cell.ledger, later_attestation_keys=later))
