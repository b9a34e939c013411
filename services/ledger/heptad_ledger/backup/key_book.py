"""Which backup keys there are, until when, and which of them are destroyed: the book of the keys.

An erasure is beyond use only when no backup opens any more that was taken before it. So whoever
attests one has to know every backup key that may still exist. The key's own file cannot say so: it
lies apart, where the ledger may not even reach it. Hence a book beside the ledger's data, with a
row for each key from before it exists until it is known to be gone.

Two rules make the book say too much rather than too little:

- A row is durable *before* the copy of the vault begins, with epoch 0, which counts for every
  erasure; only when the copy is made does it get the copy's epoch. An erasure that is attested in
  between either is in the copy already or sees the row. Crash in between: the row stays as it is.
- After a restore, epochs of the ledger that was lost mean nothing to the new one, so no row keeps
  an epoch above the restored one; and if the lost ledger's own book did not survive, one more row
  stands for all keys that it may have made since (`brought_back`).

A few hundred rows at most are open, so the book is one small file, written anew as a whole. A lock
keeps two commands from losing each other's rows.
"""

import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from heptad.runtime.disk import write_atomically
from heptad_ledger.errors import KeyBookError

BOOK_FILE: Final = "backup-keys.json"
LOCK_FILE: Final = "backup-keys.lock"
FORMAT: Final = "heptad-backup-keys/1"
ROWS_MAX: Final = 4_096
BOOK_BYTES_MAX: Final = 8 << 20
_NAMED_MAX: Final = 8
TERM_MS_DEFAULT: Final = 30 * 86_400_000
EPOCH_UNKNOWN: Final = 0


class KeyState(StrEnum):
    """What is known of a key. `live` and `effacing` count as there; the others as gone.

    A key that was `overwritten` was read back as zeros by this machine; of one that is `declared`
    destroyed somebody said so, and nothing else vouches for it.
    """

    LIVE = "live"
    EFFACING = "effacing"
    OVERWRITTEN = "overwritten"
    DECLARED = "declared"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One backup key. `epoch` is that of the vault's copy, 0 if it is not known.

    `path` is where its file was put, empty if nobody knows. `closed_ms` and `closed_by` say when it
    was destroyed and, of a declared one, who says so. Times are milliseconds since 1970.
    """

    id: str
    epoch: int
    created_ms: int
    expires_ms: int
    path: str
    state: KeyState = KeyState.LIVE
    closed_ms: int = 0
    closed_by: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the key may still be somewhere."""
        return self.state in (KeyState.LIVE, KeyState.EFFACING)

    def is_overdue(self, now_ms: int) -> bool:
        """Whether its day has come, and it was not destroyed."""
        return self.is_open and self.expires_ms <= now_ms


def beyond_use_ms(data: Path, *, erased_at_epoch: int, now_ms: int = 0) -> int:
    """Until when some backup key may still open what was erased at that epoch; 0 if none can.

    `erased_at_epoch` is the vault's epoch *after* the erasure; `data` the ledger's folder of data.
    With `now_ms` the time is one to come: a key that is overdue has no day any more.
    Raises: KeyBookError, also where such a key is overdue; then nothing may be attested.
    """
    openers = [row for row in read_book(data) if row.is_open and row.epoch < erased_at_epoch]
    late = [row.id for row in openers if row.is_overdue(now_ms)]
    if late:
        raise KeyBookError(
            f"backup keys {', '.join(late[:_NAMED_MAX])} should be destroyed by now and open what"
            " was erased since: efface them, or declare them destroyed"
        )
    return max((row.expires_ms for row in openers), default=0)


def overdue(data: Path, *, now_ms: int) -> tuple[KeyRow, ...]:
    """The keys that should be gone by now. Raises: KeyBookError."""
    return tuple(row for row in read_book(data) if row.is_overdue(now_ms))


def read_book(data: Path) -> tuple[KeyRow, ...]:
    """All rows, oldest first; none where no key was ever made. Raises: KeyBookError."""
    return _read(data / BOOK_FILE)


def enter(data: Path, row: KeyRow) -> None:
    """Note a key before it is made. Raises: KeyBookError, also if there are too many; OSError."""

    def entered(rows: tuple[KeyRow, ...]) -> Iterable[KeyRow]:
        if any(known.id == row.id for known in rows):
            raise KeyBookError(f"backup key {row.id} is in the book already")
        return (*_with_room(rows), row)

    _change(data, entered)


def revise(data: Path, key_id: str, change: Callable[[KeyRow], KeyRow]) -> KeyRow:
    """Change one row; the new one is durable when this returns. Raises: KeyBookError; OSError."""

    def revised(rows: tuple[KeyRow, ...]) -> Iterable[KeyRow]:
        row_of(rows, key_id)
        return (change(row) if row.id == key_id else row for row in rows)

    return row_of(_change(data, revised), key_id)


def withdraw(data: Path, key_id: str) -> None:
    """Take the row of a key out that was never written anywhere. Raises: KeyBookError; OSError."""
    _change(data, lambda rows: (row for row in rows if row.id != key_id))


def row_of(rows: Iterable[KeyRow], key_id: str) -> KeyRow:
    """The row of that key. Raises: KeyBookError."""
    for row in rows:
        if row.id == key_id:
            return row
    raise KeyBookError(f"the book holds no backup key {key_id!r}")


def bring_back(data: Path, source: Path, own: KeyRow | None, *, epoch: int, now_ms: int) -> None:
    """After a restore: the book of the backup in `source`, and what is left of the lost one.

    `own` is the row of the backup's own key, if it has one; `epoch` that of the restored vault.
    Raises: KeyBookError; OSError.
    """

    def merged(left: tuple[KeyRow, ...]) -> Iterable[KeyRow]:
        brought = _read(source / BOOK_FILE)
        if own is not None and all(row.id != own.id for row in brought):
            brought = (*brought, own)
        is_left = (data / BOOK_FILE).exists()
        return brought_back(brought, left if is_left else None, epoch=epoch, now_ms=now_ms)

    _change(data, merged)


def brought_back(
    brought: tuple[KeyRow, ...],
    left: tuple[KeyRow, ...] | None,
    *,
    epoch: int,
    now_ms: int,
) -> tuple[KeyRow, ...]:
    """The rows of a restored ledger, from the backup's book and the one that was `left`, if any.

    Where both have a row, the one that was left knows more. If it is missing, or lacks rows that
    the backup has, keys may have been made that no book knows: a row without a place stands for
    them, for as long as the longest term that was ever used here.
    """
    kept = {row.id: row for row in (*brought, *(left or ()))}
    if left is None or {row.id for row in brought} - {row.id for row in left}:
        terms = [row.expires_ms - row.created_ms for row in kept.values()]
        expires_ms = now_ms + max([TERM_MS_DEFAULT, *terms])
        name = f"lost-{now_ms}"
        kept[name] = KeyRow(name, EPOCH_UNKNOWN, now_ms, expires_ms, path="")
    clamped = (replace(row, epoch=min(row.epoch, epoch)) for row in kept.values())
    return tuple(sorted(clamped, key=lambda row: (row.created_ms, row.id)))


# Within.


def _with_room(rows: tuple[KeyRow, ...]) -> tuple[KeyRow, ...]:
    """The rows, without the oldest closed ones if there is no room for one more."""
    surplus = len(rows) + 1 - ROWS_MAX
    if surplus <= 0:
        return rows
    closed = [row.id for row in rows if not row.is_open][:surplus]
    if len(closed) < surplus:
        raise KeyBookError(f"{len(rows)} backup keys are not destroyed; destroy some first")
    return tuple(row for row in rows if row.id not in set(closed))


def _change(
    data: Path, change: Callable[[tuple[KeyRow, ...]], Iterable[KeyRow]]
) -> tuple[KeyRow, ...]:
    with _locked(data):
        rows = tuple(change(_read(data / BOOK_FILE)))
        write_atomically(data / BOOK_FILE, _encode(rows), mode=0o600)
    return rows


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    descriptor = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _encode(rows: Iterable[KeyRow]) -> bytes:
    listed = [dataclasses.asdict(row) for row in rows]
    book = {"format": FORMAT, "check": _check(listed), "rows": listed}
    return json.dumps(book, indent=1).encode() + b"\n"


def _read(path: Path) -> tuple[KeyRow, ...]:
    try:
        with path.open("rb") as file:
            book = json.loads(file.read(BOOK_BYTES_MAX))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise KeyBookError(f"{path}: cannot be read ({error})") from error
    try:
        if book["format"] != FORMAT or book["check"] != _check(book["rows"]):
            raise ValueError("its check differs")
        return tuple(KeyRow(**{**row, "state": KeyState(row["state"])}) for row in book["rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise KeyBookError(
            f"{path}: is no book of backup keys, or was altered ({error})"
        ) from error


def _check(rows: list[dict[str, Any]]) -> str:
    """Nothing else vouches for a date that goes into a certificate."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
