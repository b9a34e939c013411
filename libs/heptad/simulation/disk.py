"""A replica's disk: what a completed `write` left, and nothing else, survives a crash.

`Store.write` promises one synced transaction, so the interesting disks are those that break between
two of them: the machine dies before the write or after it (see `machine`), or the write itself
fails. A failed write is the treacherous case: the transaction may be whole on the disk or not there
at all, and nobody can tell (fsync reports an error once, after that anything goes). Both happen
here, and so does a full disk, which fails every write until there is room again. The driver has to
die of each.

Two more faults break the port's promise, which LMDB on an honest disk keeps; they are drawn only
for members that count as faulty. A *torn* write leaves bytes that belong to nothing, and the member
must refuse to start from them. A disk that *loses* writes says "synced" and forgets all since then
when the power goes, so its member may say what it must not; a group bears f of those.

The disk also checks what it is asked to store: commits without a gap, nothing committed that it
does not hold.
"""

from bisect import bisect_left
from collections.abc import Sequence
from copy import copy
from enum import Enum
from random import Random
from typing import Final

from heptad.consensus.codec import encode_proof
from heptad.consensus.objects import Block, CommittedBlock
from heptad.consensus.ports import Restored, StoredCommit, StoredSnapshot
from heptad.consensus.ready import Persist
from heptad.model.ids import BatchDigest, BlockId, Height
from heptad.simulation.violations import Broken, ViolationError
from heptad.transparency.subtrees import Growth


class DiskFaultError(Exception):
    """The simulated disk failed in the middle of a write; `is_kept` if all of it is there."""

    def __init__(self, detail: str, *, is_kept: bool) -> None:
        super().__init__(detail)
        self.is_kept = is_kept


class WriteFault(Enum):
    """How the next write that fails leaves the disk."""

    NOTHING_KEPT = "nothing_kept"
    ALL_KEPT = "all_kept"
    FULL = "full"
    """Nothing is kept, of this write and of all that follow, until `Disk.mend`."""
    TORN = "torn"
    """Some of it is kept, in a way that a transaction excludes: what is there makes no sense."""


TOLERABLE: Final = (WriteFault.NOTHING_KEPT, WriteFault.ALL_KEPT, WriteFault.FULL)
"""Faults that honest members have to bear however often they come."""


_CONTENT: Final = (
    "record", "_state", "_evidence", "_uncommitted", "_blocks", "_batches", "_grown", "is_torn",
    "height", "chain",
)  # fmt: skip
"""All that stands on a disk, by the names of its attributes."""


class Disk:
    """The `Store` of one machine; it outlives the machine's processes."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.writes = 0
        self._fault: WriteFault | None = None
        self._writes_before_fault = 0
        self._before_losses: dict[str, object] | None = None
        self._erase()

    def _erase(self) -> None:
        self.record: bytes | None = None
        self._state: bytes | None = None
        self._evidence = b""
        self._uncommitted: dict[BlockId, Block] = {}
        self._blocks: dict[BlockId, Block] = {}
        self._batches: dict[BatchDigest, bytes] = {}
        self._grown: list[Growth] = []
        self.is_torn = False
        self.height = Height(0)
        self.chain: dict[Height, CommittedBlock] = {}

    def wipe(self) -> None:
        """Lose everything, as a replaced disk does."""
        self._erase()

    def break_down(self, fault: WriteFault, *, after: int = 0) -> None:
        """Fail the `after`-th write from now on, counted from 0."""
        self._fault, self._writes_before_fault = fault, after

    def mend(self) -> None:
        """No write fails any more; what was lost or torn stays so."""
        self._fault = None

    def lose_writes(self) -> None:
        """From now on what is written stands in a cache only, until the power goes."""
        self._before_losses = {name: copy(getattr(self, name)) for name in _CONTENT}

    def lose_power(self) -> None:
        """The machine has died; forget what was never really written."""
        if self._before_losses is not None:
            for name, value in self._before_losses.items():
                setattr(self, name, copy(value))

    def load(self) -> Restored | None:
        """See `Store.load`; blocks come in any order, for that is what the port allows."""
        if self.record is None:
            return None
        record, state = self.record, self._state
        if self.is_torn and state is not None and self._rng.random() < 0.5:
            state = _torn(state, self._rng)
        elif self.is_torn:
            record = _torn(record, self._rng)
        headers = list(self._uncommitted.values())
        self._rng.shuffle(headers)
        digests = sorted({ref.digest for header in headers for ref in header.batches})
        return Restored(
            record=record,
            state=state,
            blocks=tuple(header.encoded for header in headers),
            batches=tuple(self._batches[digest] for digest in digests if digest in self._batches),
            evidence=self._evidence,
        )

    def write(self, persist: Persist) -> None:
        """See `Store.write`. Raises: DiskFaultError if a fault is due; then the machine is dead."""
        fault = self._due()
        if fault is WriteFault.NOTHING_KEPT:
            raise DiskFaultError("a failed write that left nothing", is_kept=False)
        if fault is WriteFault.FULL:
            raise DiskFaultError("a full disk", is_kept=False)
        if fault is WriteFault.TORN:
            self.is_torn = True
            raise DiskFaultError("a torn write", is_kept=False)
        self.writes += 1
        self._apply(persist)
        if fault is WriteFault.ALL_KEPT:
            raise DiskFaultError("a failed write that left everything", is_kept=True)

    def _due(self) -> WriteFault | None:
        """The fault that this write meets."""
        fault = self._fault
        if fault is None:
            return None
        if self._writes_before_fault:
            self._writes_before_fault -= 1
            return None
        if fault is not WriteFault.FULL:
            self._fault = None
        return fault

    def block(self, block_id: BlockId) -> bytes | None:
        """See `Store.block`."""
        block = self._blocks.get(block_id)
        return None if block is None else block.encoded

    def batch(self, digest: BatchDigest) -> bytes | None:
        """See `Store.batch`."""
        return self._batches.get(digest)

    def committed(self, height: Height) -> StoredCommit | None:
        """See `Store.committed`."""
        commit = self.chain.get(height)
        if commit is None:
            return None
        proof = b"" if commit.proof is None else encode_proof(commit.proof)
        return StoredCommit(commit.block.encoded, proof)

    def snapshot(self) -> StoredSnapshot | None:
        """See `Store.snapshot`."""
        last = self.chain.get(self.height)
        if last is None or last.proof is None or self._state is None:
            return None
        return StoredSnapshot(self._state, encode_proof(last.proof))

    def growth(self, size: int) -> Growth | None:
        """See `Store.growth`."""
        at = bisect_left(self._grown, size, key=lambda growth: growth.end)
        return self._grown[at] if at < len(self._grown) else None

    def prune(self, keep: int) -> None:
        """Let go of all committed blocks but the last `keep`, and of their batches."""
        for height in [each for each in self.chain if each <= self.height - max(keep, 1)]:
            block = self.chain.pop(height).block
            del self._blocks[block.id]
            for ref in block.batches:
                self._batches.pop(ref.digest, None)

    def header(self, block_id: BlockId) -> Block | None:
        """For the checkers: the block itself."""
        return self._blocks.get(block_id)

    def holds(self, block: Block) -> bool:
        """For the checkers: True if the header and all its batches are here."""
        return block.id in self._blocks and all(
            ref.digest in self._batches for ref in block.batches
        )

    def _apply(self, persist: Persist) -> None:
        for digest, encoded in persist.batches:
            self._batches[digest] = encoded
        for block in persist.blocks:
            self._blocks[block.id] = block
            self._uncommitted[block.id] = block
        self._commit(persist.commits)
        for block_id in persist.blocks_dropped:
            if self._uncommitted.pop(block_id, None) is not None:
                del self._blocks[block_id]
        for digest in persist.batches_dropped:
            self._batches.pop(digest, None)
        self.record = self.record if persist.record is None else persist.record
        self._state = self._state if persist.state is None else persist.state
        self._evidence = self._evidence if persist.evidence is None else persist.evidence

    def _commit(self, commits: Sequence[CommittedBlock]) -> None:
        for commit in commits:
            block = commit.block
            if block.height <= self.height:
                held = self.chain.get(block.height)
                if held is not None and held.block.id != block.id:
                    raise ViolationError(Broken.FORK, f"height {block.height} is overwritten")
                continue
            if block.height != self.height + 1 and not commit.is_jump:
                raise ViolationError(
                    Broken.STORE, f"height {block.height} behind height {self.height}"
                )
            if not commit.is_jump and not self.holds(block):
                raise ViolationError(
                    Broken.STORE, f"height {block.height} lacks its header or a batch"
                )
            self._blocks[block.id] = block
            self._uncommitted.pop(block.id, None)
            self.chain[block.height] = commit
            self._grown += commit.grown
            self.height = block.height


def _torn(value: bytes, rng: Random) -> bytes:
    """The value with one byte wrong."""
    at = rng.randrange(len(value))
    return value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :]
