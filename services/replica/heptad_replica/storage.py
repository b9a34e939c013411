"""The replica's disk: one LMDB environment, one synced write transaction for each wave.

What a replica has promised must survive a power cut, so LMDB runs with all of its syncs on (never
NOSYNC, NOMETASYNC or MAPASYNC) and the directory is synced once after the file has been made: the
entry that names the file is data too. A write that fails raises, and nobody here catches it: the
process stops, and the last complete transaction is what the next one finds.

LMDB itself lets two processes open one file. Two replicas over one record would each vote by what
they remember, twice in one round: so the folder is locked, and the second one does not start.

Blocks and batches live in key spaces of their own, so that an answer to one can never be taken for
the other (known bug 31). What each database holds:

    record      "record" → safety record, "state" → committed state, "height" → last height,
                "pruned" → height up to which batches were dropped
    blocks      block id → header                                   committed or not
    open        block id → ""                                       headers not yet committed
    commits     u64be height → u64be first index ‖ u64be bytes of all batches up to here
                ‖ block id ‖ proof (may be empty)
    batches     digest → encoded batch
    numbers     u32be validator ‖ u64be incarnation ‖ u64be sequence → u64be height ‖ u64be first
                index ‖ digest                                       of committed batches
"""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

import lmdb

from heptad.consensus.codec import decode_block, encode_proof
from heptad.consensus.objects import BatchId, CommittedBlock
from heptad.consensus.ports import Restored, StoredCommit
from heptad.consensus.ready import Persist
from heptad.model.ids import BatchDigest, BlockId, Height
from heptad.runtime.disk import sync_folder

_HEIGHT: Final = Struct(">Q")
_COMMIT: Final = Struct(">QQ32s")
_NUMBER: Final = Struct(">IQQ")
_PLACE: Final = Struct(">QQ32s")

MAP_BYTES: Final = 1 << 40
"""Address space, not disk: the file grows as it is used, so there is no resizing to get wrong."""

PRUNE_BLOCKS_MAX: Final = 256
"""So many blocks lose their batches in one call, to keep its transaction short."""


_OWNER_FILE: Final = "owner.lock"


class StoreInUseError(Exception):
    """Another process has this store open."""


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A committed block as followers need it.

    `first_index` is the size of the log before it; `proof` is empty where a later block's proof
    covers it.
    """

    height: Height
    first_index: int
    block: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class CommittedPlace:
    """Where a committed batch stands: its block's height, its first log index, its digest."""

    height: Height
    first_index: int
    digest: BatchDigest


class LmdbStore:
    """The `Store` port of `heptad.consensus.ports` on LMDB, and what the shell reads besides."""

    def __init__(self, folder: Path, *, map_bytes: int = MAP_BYTES) -> None:
        """Open the environment in `folder`, which is made if it is absent.

        Raises: StoreInUseError; lmdb.Error when the file is damaged; OSError.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owner = _own(folder)
        self._env = lmdb.open(str(folder), map_size=map_bytes, max_dbs=6, mode=0o600)
        self._record = self._env.open_db(b"record")
        self._blocks = self._env.open_db(b"blocks")
        self._open = self._env.open_db(b"open")
        self._commits = self._env.open_db(b"commits")
        self._batches = self._env.open_db(b"batches")
        self._numbers = self._env.open_db(b"numbers")
        sync_folder(folder)
        sync_folder(folder.parent)

    def close(self) -> None:
        """Close the environment; nothing may be called afterwards."""
        self._env.close()
        self._owner.close()

    # The port of the core.

    def load(self) -> Restored | None:
        """See `heptad.consensus.ports.Store`."""
        with self._env.begin() as txn:
            record = txn.get(b"record", db=self._record)
            if record is None:
                return None
            headers = [self._header(txn, block_id) for block_id in _keys(txn, self._open)]
            digests = {ref.digest for header in headers for ref in decode_block(header).batches}
            found = (txn.get(digest, db=self._batches) for digest in sorted(digests))
            state = txn.get(b"state", db=self._record)
            return Restored(
                record=bytes(record),
                state=None if state is None else bytes(state),
                blocks=tuple(headers),
                batches=tuple(bytes(batch) for batch in found if batch is not None),
            )

    def write(self, persist: Persist) -> None:
        """See `heptad.consensus.ports.Store`. Raises: lmdb.Error; then nothing was written."""
        with self._env.begin(write=True) as txn:
            self._put_batches(txn, persist)
            for block in persist.blocks:
                # A header that is here already may be committed: it must not become open again.
                if txn.put(block.id, block.encoded, db=self._blocks, overwrite=False):
                    txn.put(block.id, b"", db=self._open)
            for commit in persist.commits:
                self._put_commit(txn, commit)
            for block_id in persist.blocks_dropped:
                if txn.delete(block_id, db=self._open):
                    txn.delete(block_id, db=self._blocks)
            for digest in persist.batches_dropped:
                txn.delete(digest, db=self._batches)
            if persist.state is not None:
                txn.put(b"state", persist.state, db=self._record)
            if persist.record is not None:
                txn.put(b"record", persist.record, db=self._record)

    def block(self, block_id: BlockId) -> bytes | None:
        """A header's bytes, committed or not."""
        with self._env.begin() as txn:
            return _bytes(txn.get(block_id, db=self._blocks))

    def batch(self, digest: BatchDigest) -> bytes | None:
        """An encoded batch."""
        with self._env.begin() as txn:
            return _bytes(txn.get(digest, db=self._batches))

    def committed(self, height: Height) -> StoredCommit | None:
        """The committed block of this height."""
        stored = self.stored_block(height)
        return None if stored is None else StoredCommit(block=stored.block, proof=stored.proof)

    # What the shell's doors read besides.

    def height(self) -> Height:
        """Height of the last committed block; 0 before the first."""
        with self._env.begin() as txn:
            return Height(self._number(txn, b"height"))

    def stored_block(self, height: Height) -> StoredBlock | None:
        """The committed block of this height, with its place in the log."""
        with self._env.begin() as txn:
            row = txn.get(_HEIGHT.pack(height), db=self._commits)
            if row is None:
                return None
            first_index, _, block_id = _COMMIT.unpack_from(row)
            block = self._header(txn, block_id)
            return StoredBlock(height, first_index, block, bytes(row[_COMMIT.size :]))

    def place(self, batch_id: BatchId) -> CommittedPlace | None:
        """Where a committed batch stands, or None where it is not committed."""
        with self._env.begin() as txn:
            row = txn.get(_NUMBER.pack(*batch_id), db=self._numbers)
            if row is None:
                return None
            height, first_index, digest = _PLACE.unpack(row)
            return CommittedPlace(Height(height), first_index, BatchDigest(digest))

    def last_place(self, validator: int) -> BatchId | None:
        """The greatest committed number of this validator, or None."""
        with self._env.begin() as txn, txn.cursor(db=self._numbers) as cursor:
            after = _NUMBER.pack(validator + 1, 0, 0)
            found = cursor.prev() if cursor.set_range(after) else cursor.last()
            if not found:
                return None
            number = BatchId(*_NUMBER.unpack(cursor.key()))
            return number if number.validator == validator else None

    def prune(self, *, height_max: Height, size_max: int, retention_bytes: int) -> int:
        """Delete batches of the oldest committed blocks; returns how many batches went.

        A block's batches go when its height is at most `height_max`, the log after it is at most
        `size_max` long, and more than `retention_bytes` of later batches are kept. Headers, proofs
        and numbers stay: the chain can still be checked, and a validator still learns where its
        batch stands. Only committed blocks are touched, at most `PRUNE_BLOCKS_MAX` in one call.
        """
        with self._env.begin() as txn:
            pruned = self._number(txn, b"pruned")
            last = self._number(txn, b"height")
            height_to = min(height_max, last - 1, pruned + PRUNE_BLOCKS_MAX)
            blocks: list[bytes] = []
            for height in range(pruned + 1, height_to + 1):
                _, bytes_here, block_id = self._commit_row(txn, height)
                size_after, _, _ = self._commit_row(txn, height + 1)
                bytes_after = self._commit_row(txn, last)[1] - bytes_here
                if size_after > size_max or bytes_after <= retention_bytes:
                    break
                blocks.append(block_id)
        return self._drop_batches(blocks, pruned=pruned + len(blocks)) if blocks else 0

    def _drop_batches(self, block_ids: list[bytes], *, pruned: int) -> int:
        with self._env.begin(write=True) as txn:
            gone = 0
            for block_id in block_ids:
                refs = decode_block(self._header(txn, block_id)).batches
                gone += sum(txn.delete(ref.digest, db=self._batches) for ref in refs)
            txn.put(b"pruned", _HEIGHT.pack(pruned), db=self._record)
            return gone

    def _commit_row(self, txn: lmdb.Transaction, height: int) -> tuple[int, int, bytes]:
        """First index, bytes of all batches up to here, block id."""
        row = txn.get(_HEIGHT.pack(height), db=self._commits)
        assert row is not None, f"height {height} is below the last commit and has no row"
        first_index, bytes_total, block_id = _COMMIT.unpack_from(row)
        return first_index, bytes_total, block_id

    def _number(self, txn: lmdb.Transaction, key: bytes) -> int:
        held = txn.get(key, db=self._record)
        return 0 if held is None else int(_HEIGHT.unpack(held)[0])

    def _header(self, txn: lmdb.Transaction, block_id: bytes) -> bytes:
        header = txn.get(block_id, db=self._blocks)
        assert header is not None, f"block {block_id.hex()} is listed and its header is gone"
        return bytes(header)

    def _put_batches(self, txn: lmdb.Transaction, persist: Persist) -> None:
        for digest, encoded in persist.batches:
            txn.put(digest, encoded, db=self._batches)

    def _put_commit(self, txn: lmdb.Transaction, commit: CommittedBlock) -> None:
        block = commit.block
        proof = b"" if commit.proof is None else encode_proof(commit.proof)
        before = self._commit_row(txn, block.height - 1)[1] if block.height > 1 else 0
        bytes_total = before + sum(ref.size_bytes for ref in block.batches)
        row = _COMMIT.pack(commit.first_index, bytes_total, block.id) + proof
        txn.put(_HEIGHT.pack(block.height), row, db=self._commits)
        txn.put(block.id, block.encoded, db=self._blocks)
        txn.delete(block.id, db=self._open)
        for ref, first_index in commit.placed():
            place = _PLACE.pack(block.height, first_index, ref.digest)
            txn.put(_NUMBER.pack(*ref.id), place, db=self._numbers)
        txn.put(b"height", _HEIGHT.pack(block.height), db=self._record)


def _own(folder: Path) -> BinaryIO:
    """Take the lock that one process may hold; the kernel frees it however that process ends."""
    descriptor = os.open(folder / _OWNER_FILE, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    lock = os.fdopen(descriptor, "rb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreInUseError(f"{folder} is in use by another process") from error
    return lock


def _bytes(value: bytes | None) -> bytes | None:
    return None if value is None else bytes(value)


def _keys(txn: lmdb.Transaction, db: lmdb._Database) -> Sequence[bytes]:
    with txn.cursor(db=db) as cursor:
        return [bytes(key) for key in cursor.iternext(keys=True, values=False)]
