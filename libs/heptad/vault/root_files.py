"""The default root key store: two small files, overwritten in place.

    magic 8 | epoch u64be | key 32 | SHA-256 over these 48 bytes | zeros up to 4,096

Epoch e lives in file e mod 2. Two files, each one disk block, because a torn write must never hit
the key in use while its successor is written. An effaced file is all zeros; anything else that does
not check is a torn key, which counts as no key but is overwritten like one.

What this cannot do: a flash drive may have moved the block and kept the old one, and a file system
that copies on write (btrfs, ZFS) or journals data does not only overwrite. The certificate says so,
and names the file system (`heptad.vault.overwriting`).
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from heptad.vault.errors import RootKeyStoreError
from heptad.vault.overwriting import caveat_of, file_system_of
from heptad.vault.root_keys import ROOT_KEY_BYTES, RootKey, refuse_to_keep_nothing

BLOCK_BYTES: Final = 4_096

_MAGIC: Final = b"HEPTROOT"
_BODY_BYTES: Final = len(_MAGIC) + 8 + ROOT_KEY_BYTES
_EFFACED: Final = bytes(BLOCK_BYTES)


class FileRootKeyStore:
    """Root keys in the files `root-0.key` and `root-1.key` of one folder, mode 0600."""

    backend: Final = "two-slot file"

    def __init__(self, folder: Path, *, is_read_only: bool = False) -> None:
        """The store in `folder`; missing files are made, effaced, or if read-only taken for that.

        Raises: RootKeyStoreError.
        """
        self._paths = (folder / "root-0.key", folder / "root-1.key")
        self._is_read_only = is_read_only
        if not is_read_only:
            with _translated("make"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                for path in self._paths:
                    _make_if_missing(path)
                _sync_folder(folder)
        self.caveat: Final = caveat_of(file_system_of(folder))

    def read(self) -> Sequence[RootKey]:
        """As the port says."""
        found = [_parse(self._block(slot)) for slot in (0, 1)]
        return sorted((key for key in found if key), key=lambda key: key.epoch)

    def stage(self, key: RootKey) -> None:
        """As the port says."""
        slot = key.epoch % 2
        if self._block(slot) != _EFFACED:
            raise RootKeyStoreError(f"{self._paths[slot]} is not effaced; epoch {key.epoch} waits")
        self._overwrite(slot, _format(key))

    def efface_all_but(self, epoch: int) -> None:
        """As the port says."""
        refuse_to_keep_nothing(self.read(), epoch)
        for slot in (0, 1):
            block = self._block(slot)
            key = _parse(block)
            if block != _EFFACED and (key is None or key.epoch != epoch):
                self._overwrite(slot, _EFFACED)

    def _block(self, slot: int) -> bytes:
        if self._is_read_only and not self._paths[slot].exists():
            return _EFFACED
        with _translated("read"), self._paths[slot].open("rb") as file:
            return file.read(BLOCK_BYTES)

    def _overwrite(self, slot: int, block: bytes) -> None:
        """Write one block over the old one, force it to the drive, and read it back from there."""
        with _translated("overwrite"), self._paths[slot].open("r+b", buffering=0) as file:
            descriptor = file.fileno()
            written = os.pwrite(descriptor, block, 0)
            os.fdatasync(descriptor)
            # Without this, the page cache would answer, and prove nothing about the drive.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            read_back = os.pread(descriptor, BLOCK_BYTES + 1, 0)
        if written != BLOCK_BYTES or read_back != block:
            raise RootKeyStoreError(f"{self._paths[slot]} does not read back as it was written")


def _format(key: RootKey) -> bytes:
    body = _MAGIC + key.epoch.to_bytes(8, "big") + key.key
    return (body + hashlib.sha256(body).digest()).ljust(BLOCK_BYTES, b"\0")


def _parse(block: bytes) -> RootKey | None:
    """The key in a block, or None if the block is effaced or torn."""
    body, checksum = block[:_BODY_BYTES], block[_BODY_BYTES : _BODY_BYTES + 32]
    if not body.startswith(_MAGIC) or hashlib.sha256(body).digest() != checksum:
        return None
    return RootKey(int.from_bytes(body[8:16], "big"), body[16:])


def _make_if_missing(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return
    try:
        os.pwrite(descriptor, _EFFACED, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RootKeyStoreError(f"cannot {verb} the root key files: {error}") from error
