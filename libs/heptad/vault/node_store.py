"""The vault's database: encrypted nodes, the epoch, the next free slot, and what was erased when.

LMDB, always fully synchronous: a slot that was handed out must survive a power cut, and the root
key of the last epoch is destroyed the moment a commit has returned. A commit that fails has an
unknown outcome, so afterwards the store refuses everything until it is opened again and the disk
has been asked.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lmdb

from heptad.vault.errors import VaultCorruptError, VaultMissingError, VaultStorageError
from heptad.vault.nodes import NodeId

SCHEMA: Final = b"heptad vault 2"

_META: Final = b"meta"
_STATE: Final = b"state"
_SCHEMA_KEY: Final = b"schema"
_CHECK_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class VaultState:
    """Where the tree stands: `epoch` counts from 1; `slot_next` was never handed out yet."""

    epoch: int
    slot_next: int


@dataclass(frozen=True, slots=True)
class ErasedSlot:
    """A destroyed slot: the epoch that began with its destruction, and that epoch's root.

    `root_hash` is SHA-256 of the root node's blob as it was written then, 32 bytes.
    """

    slot: int
    epoch: int
    root_hash: bytes


class NodeStore:
    """One LMDB environment in a folder of its own."""

    def __init__(self, folder: Path, *, map_bytes: int, is_read_only: bool = False) -> None:
        """Open or make the database files; `map_bytes` bounds the file's size.

        Read-only, nobody else may have it open: no lock is taken.
        Raises: VaultStorageError.
        """
        self._poisoned = False
        makes = not is_read_only
        with _translated("open"):
            if makes:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._env = lmdb.open(
                str(folder),
                map_size=map_bytes,
                max_dbs=3,
                mode=0o600,
                sync=True,
                metasync=True,
                readonly=is_read_only,
                create=makes,
                lock=makes,
            )
            self._nodes = self._env.open_db(b"node", create=makes)
            self._erased = self._env.open_db(b"erased", create=makes)
            self._meta = self._env.open_db(_META, create=makes)
            # LMDB syncs the file's content, not its name: a lost name would lose every key.
            if makes:
                _sync_folder(folder)

    def state(self) -> VaultState:
        """Where the tree stands.

        Raises: VaultMissingError if no vault was made here; VaultCorruptError for another schema.
        """
        with self._reading() as txn:
            schema, packed = txn.get(_SCHEMA_KEY, db=self._meta), txn.get(_STATE, db=self._meta)
        if schema is None or packed is None:
            raise VaultMissingError("the database holds no vault")
        if schema != SCHEMA or len(packed) != 16:
            raise VaultCorruptError("the database is of another schema")
        return VaultState(int.from_bytes(packed[:8], "big"), int.from_bytes(packed[8:], "big"))

    def blob(self, node: NodeId) -> bytes | None:
        """A node's encrypted blob, or None if the node was never written."""
        with self._reading() as txn:
            blob = txn.get(node.to_bytes(), db=self._nodes)
        return None if blob is None else bytes(blob)

    def erased(self, slot: int) -> ErasedSlot | None:
        """When a slot was destroyed, or None if it was not. Raises: VaultCorruptError."""
        with self._reading() as txn:
            row = txn.get(slot.to_bytes(8, "big"), db=self._erased)
        if row is None:
            return None
        value, check = bytes(row[:-_CHECK_BYTES]), bytes(row[-_CHECK_BYTES:])
        if check != _check(slot, value):
            raise VaultCorruptError(f"what is kept of slot {slot}'s erasure was altered")
        return ErasedSlot(slot, int.from_bytes(value[:8], "big"), value[8:])

    def row_counts(self) -> tuple[int, int]:
        """How many nodes there are, and how many erased slots."""
        with self._reading() as txn:
            nodes, erased = txn.stat(self._nodes), txn.stat(self._erased)
        return nodes["entries"], erased["entries"]

    def commit(
        self, state: VaultState, blobs: Mapping[NodeId, bytes], erased: tuple[ErasedSlot, ...] = ()
    ) -> None:
        """Write all of it in one transaction, on the drive when this returns, or none of it.

        Raises: VaultStorageError.
        """
        self._check_usable()
        with _translated("write"):
            txn = self._env.begin(write=True)
        try:
            with _translated("write"):
                self._put_all(txn, state, blobs, erased)
        except BaseException:
            txn.abort()
            raise
        self._poisoned = True
        with _translated("commit"):
            txn.commit()
        self._poisoned = False

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _put_all(
        self,
        txn: lmdb.Transaction,
        state: VaultState,
        blobs: Mapping[NodeId, bytes],
        erased: tuple[ErasedSlot, ...],
    ) -> None:
        for node, blob in blobs.items():
            txn.put(node.to_bytes(), blob, db=self._nodes)
        for row in erased:
            value = row.epoch.to_bytes(8, "big") + row.root_hash
            checked = value + _check(row.slot, value)
            txn.put(row.slot.to_bytes(8, "big"), checked, db=self._erased)
        packed = state.epoch.to_bytes(8, "big") + state.slot_next.to_bytes(8, "big")
        txn.put(_STATE, packed, db=self._meta)
        txn.put(_SCHEMA_KEY, SCHEMA, db=self._meta)

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction]:
        self._check_usable()
        with _translated("read"), self._env.begin() as txn:
            yield txn

    def _check_usable(self) -> None:
        if self._poisoned:
            raise VaultStorageError("a commit failed with unknown outcome; open the vault again")


def _check(slot: int, value: bytes) -> bytes:
    """Nothing else vouches for these rows; a bit that a disk has changed must not be attested."""
    return hashlib.blake2b(
        slot.to_bytes(8, "big") + value, digest_size=_CHECK_BYTES, person=b"vault erased"
    ).digest()


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
    except (lmdb.Error, OSError) as error:
        raise VaultStorageError(f"cannot {verb} the vault's database: {error}") from error
