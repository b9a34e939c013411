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
                "evidence" → proofs of misbehaviour that wait for a block
    blocks      block id → header                                   committed or not
    open        block id → ""                                       headers not yet committed
    commits     u64be height → u64be first index ‖ u64be bytes of all that was stored up to here
                ‖ block id ‖ proof (may be empty)
    batches     digest → encoded batch
    numbers     u32be validator ‖ u64be incarnation ‖ u64be sequence → u64be height ‖ u64be first
                index ‖ digest                                       of committed batches
    subtrees    u64be log size after → u64be log size before ‖ hashes of what became whole
                (`heptad.transparency.subtrees`)

Committed blocks are pruned from the oldest up, each with its header, proof, batches and numbers at
once. Behind a jump there is a gap in `commits`, and the block that was jumped to has no batches.
The rows of `subtrees` outlive their blocks by far, for a member that has been away for long needs
them to see that the log it comes back to begins with the one it knew.
"""

import fcntl
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

import lmdb

from heptad.consensus.codec import decode_block, encode_proof
from heptad.consensus.objects import BatchId, CommittedBlock
from heptad.consensus.ports import Restored, StoredCommit, StoredSnapshot
from heptad.consensus.ready import Persist
from heptad.model.ids import BatchDigest, BlockId, Height
from heptad.runtime.disk import sync_folder
from heptad.transparency.merkle import split_hashes
from heptad.transparency.subtrees import Growth

_HEIGHT: Final = Struct(">Q")
_COMMIT: Final = Struct(">QQ32s")
_NUMBER: Final = Struct(">IQQ")
_PLACE: Final = Struct(">QQ32s")

MAP_BYTES: Final = 1 << 40
"""Address space, not disk: the file grows as it is used, so there is no resizing to get wrong."""

PRUNE_BLOCKS_MAX: Final = 256
"""So many blocks go in one call, to keep its transaction short."""

SUBTREES_BYTES_MAX: Final = 1 << 30
"""For `subtrees`, where nobody says otherwise."""

_SUBTREES_DROPPED: Final = 4
"""Old rows that go with each new one while there are too many bytes of them."""

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

    def __init__(
        self,
        folder: Path,
        *,
        map_bytes: int = MAP_BYTES,
        subtrees_bytes_max: int = SUBTREES_BYTES_MAX,
    ) -> None:
        """Open the environment in `folder`, which is made if it is absent.

        Raises: StoreInUseError; lmdb.Error when the file is damaged; OSError.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owner = _own(folder)
        self._env = lmdb.open(str(folder), map_size=map_bytes, max_dbs=8, mode=0o600)
        self._record = self._env.open_db(b"record")
        self._blocks = self._env.open_db(b"blocks")
        self._open = self._env.open_db(b"open")
        self._commits = self._env.open_db(b"commits")
        self._batches = self._env.open_db(b"batches")
        self._numbers = self._env.open_db(b"numbers")
        self._subtrees = self._env.open_db(b"subtrees")
        self._subtrees_bytes_max = subtrees_bytes_max
        self.on_written: Callable[[Persist], None] | None = None
        """Told of each write once it is durable."""
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
            state = txn.get(b"state", db=self._record)
            if record is None and state is None:
                return None
            headers = [self._header(txn, block_id) for block_id in _keys(txn, self._open)]
            digests = {ref.digest for header in headers for ref in decode_block(header).batches}
            found = (txn.get(digest, db=self._batches) for digest in sorted(digests))
            evidence = txn.get(b"evidence", db=self._record)
            return Restored(
                record=_bytes(record),
                state=_bytes(state),
                blocks=tuple(headers),
                batches=tuple(bytes(batch) for batch in found if batch is not None),
                evidence=b"" if evidence is None else bytes(evidence),
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
            if persist.evidence is not None:
                txn.put(b"evidence", persist.evidence, db=self._record)
            if persist.record is not None:
                txn.put(b"record", persist.record, db=self._record)
        if self.on_written is not None:
            self.on_written(persist)

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

    def snapshot(self) -> StoredSnapshot | None:
        """See `heptad.consensus.ports.Store`."""
        with self._env.begin() as txn:
            state = txn.get(b"state", db=self._record)
            row = txn.get(_HEIGHT.pack(self._number(txn, b"height")), db=self._commits)
            if state is None or row is None:
                return None
            return StoredSnapshot(bytes(state), bytes(row[_COMMIT.size :]))

    def growth(self, size: int) -> Growth | None:
        """See `heptad.consensus.ports.Store`."""
        with self._env.begin() as txn, txn.cursor(db=self._subtrees) as cursor:
            if not cursor.set_range(_HEIGHT.pack(size)):
                return None
            (end,), row = _HEIGHT.unpack(cursor.key()), bytes(cursor.value())
            (start,) = _HEIGHT.unpack_from(row)
            return Growth(start, end, tuple(split_hashes(row[_HEIGHT.size :])))

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

    def stored_bytes(self) -> int:
        """Bytes of all committed blocks that are here: headers, proofs and batches."""
        with self._env.begin() as txn, txn.cursor(db=self._commits) as cursor:
            if not cursor.last():
                return 0
            total = int(_COMMIT.unpack_from(cursor.value())[1])
            cursor.first()
            return total - int(_COMMIT.unpack_from(cursor.value())[1])

    def place(self, batch_id: BatchId) -> CommittedPlace | None:
        """Where a committed batch stands, or None where it is not committed."""
        with self._env.begin() as txn:
            row = txn.get(_NUMBER.pack(*batch_id), db=self._numbers)
            if row is None:
                return None
            height, first_index, digest = _PLACE.unpack(row)
            return CommittedPlace(Height(height), first_index, BatchDigest(digest))

    def next_height(self, height: Height) -> Height | None:
        """The lowest height from `height` on whose block is here; None if there is none."""
        with self._env.begin() as txn, txn.cursor(db=self._commits) as cursor:
            if not cursor.set_range(_HEIGHT.pack(height)):
                return None
            return Height(_HEIGHT.unpack(cursor.key())[0])

    def prune(
        self, *, height_max: Height, size_max: int, retention_bytes: int, drop_height: int = 0
    ) -> int:
        """Delete the oldest committed blocks with all that belongs to them; returns how many.

        A block goes when its height is at most `height_max`, the log after it is at most `size_max`
        long, and more than `retention_bytes` (headers, proofs and batches) of later blocks are
        kept; up to `drop_height` it goes whatever is kept. The last
        committed block stays, and what is not committed is not touched. At most
        `PRUNE_BLOCKS_MAX` go in one call.
        """
        with self._env.begin() as txn:
            heights = self._prunable(txn, height_max, size_max, retention_bytes, drop_height)
        if heights:
            with self._env.begin(write=True) as txn:
                for height in heights:
                    self._drop_block(txn, height)
        return len(heights)

    def _prunable(
        self,
        txn: lmdb.Transaction,
        height_max: Height,
        size_max: int,
        retention_bytes: int,
        drop_height: int,
    ) -> list[int]:
        """The oldest blocks that may go. The log after each is as long as that before the next."""
        last = self._number(txn, b"height")
        if not last:
            return []
        bytes_total = self._commit_row(txn, last)[1]
        heights: list[int] = []
        with txn.cursor(db=self._commits) as cursor:
            oldest = islice(cursor.iternext(), PRUNE_BLOCKS_MAX + 1)
            for (key, row), (_, following) in pairwise(oldest):
                (height,) = _HEIGHT.unpack(key)
                bytes_after = bytes_total - _COMMIT.unpack_from(row)[1]
                size_after = _COMMIT.unpack_from(following)[0]
                is_kept = bytes_after <= retention_bytes and height > drop_height
                if height > height_max or size_after > size_max or is_kept:
                    break
                heights.append(height)
        return heights

    def _drop_block(self, txn: lmdb.Transaction, height: int) -> None:
        _, _, block_id = self._commit_row(txn, height)
        for ref in decode_block(self._header(txn, block_id)).batches:
            txn.delete(ref.digest, db=self._batches)
            txn.delete(_NUMBER.pack(*ref.id), db=self._numbers)
        txn.delete(block_id, db=self._blocks)
        txn.delete(_HEIGHT.pack(height), db=self._commits)

    def _commit_row(self, txn: lmdb.Transaction, height: int) -> tuple[int, int, bytes]:
        """First index, bytes of all batches up to here, block id."""
        row = txn.get(_HEIGHT.pack(height), db=self._commits)
        assert row is not None, f"height {height} is below the last commit and has no row"
        first_index, bytes_total, block_id = _COMMIT.unpack_from(row)
        return first_index, bytes_total, block_id

    def _bytes_before(self, txn: lmdb.Transaction, height: int) -> int:
        """Bytes of all that was stored below this height; there may be a gap below it."""
        with txn.cursor(db=self._commits) as cursor:
            is_below = cursor.prev() if cursor.set_range(_HEIGHT.pack(height)) else cursor.last()
            return _COMMIT.unpack_from(cursor.value())[1] if is_below else 0

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
        stored_bytes = len(block.encoded) + len(proof)
        if not commit.is_jump:
            stored_bytes += sum(ref.size_bytes for ref in block.batches)
        bytes_total = self._bytes_before(txn, block.height) + stored_bytes
        row = _COMMIT.pack(commit.first_index, bytes_total, block.id) + proof
        txn.put(_HEIGHT.pack(block.height), row, db=self._commits)
        txn.put(block.id, block.encoded, db=self._blocks)
        txn.delete(block.id, db=self._open)
        for ref, first_index in commit.placed():
            place = _PLACE.pack(block.height, first_index, ref.digest)
            txn.put(_NUMBER.pack(*ref.id), place, db=self._numbers)
        self._put_subtrees(txn, commit)
        txn.put(b"height", _HEIGHT.pack(block.height), db=self._record)

    def _put_subtrees(self, txn: lmdb.Transaction, commit: CommittedBlock) -> None:
        """Keep how the log grew, and let the oldest rows go beyond the bound."""
        if not commit.grown:
            return
        for start, end, hashes in commit.grown:
            row = _HEIGHT.pack(start) + b"".join(hashes)
            txn.put(_HEIGHT.pack(end), row, db=self._subtrees)
        pages = txn.stat(self._subtrees)
        count = pages["leaf_pages"] + pages["branch_pages"] + pages["overflow_pages"]
        if count * pages["psize"] > self._subtrees_bytes_max:
            with txn.cursor(db=self._subtrees) as cursor:
                for _ in range(_SUBTREES_DROPPED):
                    if cursor.first():
                        cursor.delete()


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
