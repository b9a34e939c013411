"""One LMDB environment: its tables, its limits, and how its errors are told.

Why the whole address space from the start: LMDB's map may only be enlarged while no transaction is
open, and a sparse map costs nothing until pages are written. So the map is `map_bytes_max` large at
once and no reader ever has to be held up; if it is full, the setting is raised and the ledger
started again.

Why not WRITEMAP (faster commits): on a full disk a write through a map is a SIGBUS, a write through
a call is an error that can be told. Why memory is zeroed before use (`meminit`): pages on disk must
not carry what else was in this process's memory, such as keys.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from heptad.runtime.disk import sync_folder
from heptad_ledger.errors import StoreDamagedError, StoreError, StoreFullError, StoreInUseError

TABLES: Final = (
    "entries",
    "sealed",
    "tile",
    "by_subject",
    "by_request",
    "recent",
    "by_time",
    "by_service",
    "checkpoint",
    "subject",
    "duplicate",
    "erasure",
    "meta",
)
READERS_MAX: Final = 126
_OWNER_FILE: Final = "owner.lock"
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class Environment:
    """An open LMDB environment that no other process writes to."""

    def __init__(self, folder: Path, *, map_bytes_max: int, is_read_only: bool = False) -> None:
        """Open or create it; read-only, a table that is not there is an error.

        Raises: StoreInUseError; StoreFullError; StoreDamagedError.
        """
        if not is_read_only:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owner = _own(folder, is_read_only=is_read_only)
        self._folder = folder
        self._map_bytes_max = map_bytes_max
        try:
            self._lmdb = lmdb.open(
                str(folder),
                map_size=map_bytes_max,
                max_dbs=len(TABLES),
                max_readers=READERS_MAX,
                mode=0o600,
                readahead=False,
                meminit=True,
                readonly=is_read_only,
                create=not is_read_only,
                lock=not is_read_only,
            )
            self._tables = {
                name: self._lmdb.open_db(name.encode(), create=not is_read_only) for name in TABLES
            }
            if not is_read_only:
                # LMDB syncs what is in its file, not the file's name.
                sync_folder(folder)
                sync_folder(folder.parent)
        except lmdb.Error as error:
            _disown(self._owner)
            raise self._translated(error) from error

    def close(self) -> None:
        """Close it; every snapshot must have ended."""
        self._lmdb.close()
        _disown(self._owner)

    def table(self, name: str) -> "lmdb._Database":
        """The handle of one of `TABLES`."""
        return self._tables[name]

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction]:
        """A snapshot of all tables. Raises: StoreDamagedError."""
        try:
            with self._lmdb.begin() as transaction:
                yield transaction
        except lmdb.Error as error:
            raise self._translated(error) from error

    @contextmanager
    def writing(self) -> Iterator[lmdb.Transaction]:
        """A transaction that is durable when the block ends, and undone if the block raises.

        Begin and end it in one thread. Raises: StoreFullError; StoreDamagedError.
        """
        try:
            with self._lmdb.begin(write=True) as transaction:
                yield transaction
        except lmdb.Error as error:
            raise self._translated(error) from error

    def used_bytes(self) -> int:
        """Size of the data file: it never shrinks, freed pages are used again."""
        return int(self._lmdb.info()["last_pgno"] + 1) * int(self._lmdb.stat()["psize"])

    def _translated(self, error: lmdb.Error) -> StoreError:
        if isinstance(error, lmdb.MapFullError):
            return StoreFullError(
                f"{self._folder}: the map of {self._map_bytes_max} bytes is full; "
                "raise log_map_bytes_max and start again"
            )
        if self._is_out_of_space(error):
            return StoreFullError(f"{self._folder}: no space left on the device ({error})")
        return StoreDamagedError(f"{self._folder}: {error}")

    def _is_out_of_space(self, error: lmdb.Error) -> bool:
        """LMDB tells a write that was cut short as an I/O error, so the device is asked too."""
        text = str(error)
        if any(os.strerror(number) in text for number in _NO_SPACE):
            return True
        device = os.statvfs(self._folder)
        return device.f_bavail * device.f_frsize < 1 << 20


def seek_at_most(cursor: lmdb.Cursor, key: bytes) -> bool:
    """Go to the last row whose key is `key` or below it; tell whether there is one."""
    if not cursor.set_range(key):
        return cursor.last()
    return cursor.key() == key or cursor.prev()


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Keep every ledger process out of that folder meanwhile. Raises: StoreInUseError; OSError."""
    owner = _own(folder, is_read_only=True)
    try:
        yield
    finally:
        _disown(owner)


def _own(folder: Path, *, is_read_only: bool) -> int | None:
    """Take the lock that only one ledger process may hold; the kernel frees it when it dies.

    None where nothing is to be written and nothing can be, as in a backup on a read-only disk: no
    ledger works there.
    """
    try:
        descriptor = os.open(folder / _OWNER_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if is_read_only and error.errno in _NOT_WRITABLE:
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreInUseError(f"{folder} is in use by another process") from error
    return descriptor


def _disown(owner: int | None) -> None:
    if owner is not None:
        os.close(owner)
