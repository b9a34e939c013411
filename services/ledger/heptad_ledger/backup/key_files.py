"""Backup keys as files: written once, destroyed by overwriting, and the book told of both.

A key's file is made under its own name at once. A temporary one beside it would leave a second copy
of the key in blocks that nobody overwrites when it goes.

Effacing goes in this order: the book says `effacing`; the file is overwritten with zeros, forced to
the drive and read back from there; the book says `overwritten`; the file goes. Crash in between:
`effacing` lets the same command go on with a file that is half overwritten, and a file of zeros
after `overwritten` is only a file of zeros. What was not written here is never overwritten: the
file has to be the key that the book means.

What overwriting cannot do is what `heptad.vault.root_files` says of its own file.
"""

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Final

from heptad.runtime.disk import sync_folder
from heptad_ledger.backup.key_book import KeyRow, KeyState, read_book, revise, row_of
from heptad_ledger.backup.manifest import BackupKey, read_key
from heptad_ledger.errors import BackupError, KeyBookError

KEY_BYTES_MAX: Final = 4_096
DECLARER_CHARS_MAX: Final = 200


def write_key(path: Path, key: BackupKey) -> None:
    """Make the key's file, 0600, durable when this returns. Raises: OSError; then it is gone."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        # A whole block, for a file of some bytes may lie among a file system's own data.
        content = key.encode().ljust(KEY_BYTES_MAX)
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
        sync_folder(path.parent)
    except BaseException:
        _overwrite(descriptor, path)
        path.unlink()
        raise
    finally:
        os.close(descriptor)


def destroy_file(path: Path) -> None:
    """Overwrite a key's file in place, read it back, and take it away.

    Raises: BackupError if it is no such file or does not read back as zeros; OSError.
    """
    _overwrite_at(path)
    _take_away(path)


def efface(data: Path, key_id: str, *, now_ms: int) -> KeyRow:
    """Destroy a key whose file is where the book says; doing it twice is the same as once.

    Raises: KeyBookError; BackupError if the file is not there or is another one; OSError.
    """
    row = row_of(read_book(data), key_id)
    if not row.is_open:
        return row
    path = _place_of(row)
    if row.state is KeyState.LIVE:
        _require_is(row, path)
        revise(data, key_id, lambda row: replace(row, state=KeyState.EFFACING))
    _overwrite_at(path)
    closed = revise(
        data, key_id, lambda row: replace(row, state=KeyState.OVERWRITTEN, closed_ms=now_ms)
    )
    _take_away(path)
    return closed


def declare_destroyed(data: Path, key_id: str, *, by: str, at_ms: int) -> KeyRow:
    """Note that somebody says this key is destroyed, who, and since when.

    For keys that were moved to where this machine cannot reach them. Raises: KeyBookError, also if
    the file is still where it was put: then it can be effaced, and that proves more; OSError.
    """
    row = row_of(read_book(data), key_id)
    if not by.strip() or len(by) > DECLARER_CHARS_MAX or not by.isprintable():
        raise KeyBookError(f"who declares it: 1 to {DECLARER_CHARS_MAX} printable characters")
    if not row.is_open:
        raise KeyBookError(f"backup key {key_id} is {row.state} already")
    if at_ms < row.created_ms:
        raise KeyBookError(f"backup key {key_id} was made later than that: at {row.created_ms} ms")
    if row.path and os.path.lexists(row.path):
        raise KeyBookError(f"{row.path} is still there: efface it instead")
    return revise(
        data,
        key_id,
        lambda row: replace(row, state=KeyState.DECLARED, closed_ms=at_ms, closed_by=by.strip()),
    )


def _place_of(row: KeyRow) -> Path:
    if not row.path or not os.path.lexists(row.path):
        where = row.path or "nowhere that the book knows"
        raise BackupError(
            f"backup key {row.id}: is not at {where}; bring it back there, or declare by whom and"
            " when it was destroyed"
        )
    return Path(row.path)


def _require_is(row: KeyRow, path: Path) -> None:
    """Never overwrite what is not the key that the row means."""
    key = read_key(path)
    # A row's epoch may be lower than the key's (`key_book`), so the time says which key it is.
    times = (key.created_ms, key.expires_ms)
    if times != (row.created_ms, row.expires_ms) or key.root.epoch < row.epoch:
        raise BackupError(f"{path}: is another backup's key, not {row.id}")


def _overwrite_at(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BackupError(f"{path}: cannot be overwritten ({error.strerror})") from error
    try:
        _overwrite(descriptor, path)
    finally:
        os.close(descriptor)


def _overwrite(descriptor: int, path: Path) -> None:
    """Write zeros over all of it, force them to the drive, and read them back from there."""
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > KEY_BYTES_MAX:
        raise BackupError(f"{path}: is no key's file")
    zeros = bytes(facts.st_size)
    written = os.pwrite(descriptor, zeros, 0)
    os.fdatasync(descriptor)
    # Without this, the page cache would answer, and prove nothing about the drive.
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    if written != len(zeros) or os.pread(descriptor, len(zeros) + 1, 0) != zeros:
        raise BackupError(f"{path}: does not read back as zeros")


def _take_away(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_folder(path.parent)
