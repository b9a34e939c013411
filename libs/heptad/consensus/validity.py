"""Is a block right, given its parent and its batches? And the making of one that is.

All checks here are functions of the block's own ancestor chain, so every honest replica comes to
the same answer about the same block; what depends on the moment (is it too far in the future, may
I still vote) is not decided here. The log head and the state hash are recomputed from the leaves
and must be equal: a replica that computes another head does not vote. Control entries are proofs of
misbehaviour; each is verified here as a whole, by everybody who votes for its block.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from heptad.consensus.codec import new_block
from heptad.consensus.committee import Cell
from heptad.consensus.control import entries_of
from heptad.consensus.errors import RefusedError
from heptad.consensus.evidence import Charge
from heptad.consensus.judging import Judge
from heptad.consensus.leaders import Schedule
from heptad.consensus.objects import BatchRef, Block
from heptad.consensus.pool import PooledBatch
from heptad.consensus.state import ChainState
from heptad.consensus.tree import Node
from heptad.consensus.verified import (
    SEAL,
    VerifiedBlock,
    VerifiedCommit,
    VerifiedEntry,
    VerifiedHead,
    VerifiedQC,
    VerifiedSnapshot,
    VerifiedTC,
)
from heptad.model.ids import Height, MemberIndex, Round
from heptad.transparency.errors import ProofInvalidError
from heptad.transparency.merkle import leaf_hashes
from heptad.transparency.subtrees import grown_by_cover

BLOCK_BATCH_BYTES_MAX: Final = 32 << 20
"""Bytes of batches that any block may refer to. A leader's own limit is far lower; this one is the
same in all replicas, whatever their configuration, because they must agree on it. A block with all
its batches must fit one message to a ledger (64 MiB), or no ledger could ever go on behind it."""

CONTROL_ENTRIES_MAX: Final = 4
"""Proofs of misbehaviour that one block may carry; more of them wait for the next. Like the limit
above a rule of the protocol: a header stays small, and what a voter has to verify does too."""


@dataclass(frozen=True, slots=True)
class Validity:
    """The rules of one cell and epoch."""

    cell: Cell
    membership_hash: bytes
    schedule: Schedule
    judge: Judge

    def check(
        self, block: Block, entry: VerifiedEntry, *, parent: Node, batches: Sequence[PooledBatch]
    ) -> VerifiedBlock:
        """Check a block against its parent; `batches[i]` must be what `block.batches[i]` names.

        Raises: RefusedError, naming the field that is wrong.
        """
        self._require_follows(block, parent.block)
        require_batches(block.batches, batches)
        state = self._state_after(
            parent,
            round_=block.round,
            proposer=block.proposer,
            batches=batches,
            refs=block.batches,
            charges=self._charges(block.control, time_ms=block.time_ms),
        )
        self._require_bound(block, state)
        return VerifiedBlock(block, entry, state, SEAL)

    def snapshot(
        self,
        block: Block,
        state: ChainState,
        commit: VerifiedCommit,
        *,
        root: Node,
        hashes: Sequence[bytes],
    ) -> VerifiedSnapshot:
        """Check a committed block's state from afar; `root` is the last block committed here.

        `hashes` cover the log from the root's size on: with them the root's own edge must become
        that of `state`, so nobody can show a log that does not begin with the one known here.
        Raises: RefusedError.
        """
        if commit.proof.block_id != block.id:
            raise RefusedError("a snapshot with the proof of another block")
        if block.height <= root.block.height:
            raise RefusedError(f"a snapshot of height {block.height} behind {root.block.height}")
        self._require_bound(block, state)
        try:
            edge, growth = grown_by_cover(root.state.edge, hashes, size=block.head.size)
        except ProofInvalidError as error:
            raise RefusedError(f"a snapshot of height {block.height}: {error}") from error
        if edge != state.edge:
            raise RefusedError(
                f"the log of a snapshot of height {block.height} does not begin with the log of "
                f"size {growth.start} that is known here"
            )
        grown = (growth,) if growth.hashes else ()
        return VerifiedSnapshot(block, replace(state, grown=grown), commit, SEAL)

    def build(
        self,
        *,
        round_: Round,
        proposer: MemberIndex,
        time_ms: int,
        parent: Node,
        justify: VerifiedQC,
        tc: VerifiedTC | None,
        batches: Sequence[PooledBatch],
        control: tuple[bytes, ...] = (),
    ) -> VerifiedBlock:
        """Make the block that extends `parent` by `batches` and `control`."""
        refs = tuple(batch.ref for batch in batches)
        time_ms = max(time_ms, parent.block.time_ms)
        state = self._state_after(
            parent,
            round_=round_,
            proposer=proposer,
            batches=batches,
            refs=refs,
            charges=self._charges(control, time_ms=time_ms),
        )
        block = new_block(
            epoch=self.cell.epoch,
            round_=round_,
            height=Height(parent.block.height + 1),
            proposer=proposer,
            time_ms=time_ms,
            justify=justify.qc,
            tc=tc.tc if tc is not None else None,
            batches=refs,
            control=control,
            head=state.head(),
            state_hash=self._state_hash(state),
        )
        self._require_follows(block, parent.block)
        return VerifiedBlock(block, VerifiedEntry(block.id, justify, tc, SEAL), state, SEAL)

    def _require_follows(self, block: Block, parent: Block) -> None:
        if block.parent_id != parent.id or block.justify.round != parent.round:
            raise RefusedError(
                f"justify of round {block.justify.round} is not of the parent, round {parent.round}"
            )
        if block.height != parent.height + 1:
            raise RefusedError(f"height {block.height} on a parent of height {parent.height}")
        if block.time_ms < parent.time_ms:
            raise RefusedError(f"time {block.time_ms} before the parent's {parent.time_ms}")
        if len(block.control) > CONTROL_ENTRIES_MAX:
            raise RefusedError(
                f"{len(block.control)} control entries, at most {CONTROL_ENTRIES_MAX}"
            )
        require_sizes(block)

    def _require_bound(self, block: Block, state: ChainState) -> None:
        """Refuse a state that is not the one which the header names."""
        if state.head() != block.head:
            raise RefusedError(
                f"round {block.round}: head {block.head.size} {block.head.root.hex()}, "
                f"recomputed {state.head().size} {state.head().root.hex()}"
            )
        if self._state_hash(state) != block.state_hash:
            raise RefusedError(f"round {block.round}: state hash {block.state_hash.hex()} is wrong")

    def _state_after(
        self,
        parent: Node,
        *,
        round_: Round,
        proposer: MemberIndex,
        batches: Sequence[PooledBatch],
        refs: Sequence[BatchRef],
        charges: Sequence[tuple[Charge, bytes]],
    ) -> ChainState:
        record = self.schedule.record_after(
            parent.state.leader_record, parent=parent.block, round_=round_, proposer=proposer
        )
        leaves = [batch.leaves for batch in batches]
        return parent.state.extended(refs, leaves, record, charges)

    def _charges(
        self, control: tuple[bytes, ...], *, time_ms: int
    ) -> Sequence[tuple[Charge, bytes]]:
        """What control entries prove, each with its leaf. Raises: RefusedError if one fails."""
        if not control:
            return ()
        charges = [self.judge.read(each).charge for each in control]
        return list(zip(charges, leaf_hashes(entries_of(control, time_ms=time_ms)), strict=True))

    def _state_hash(self, state: ChainState) -> bytes:
        return state.hash(epoch=self.cell.epoch, membership_hash=self.membership_hash)


def require_sizes(block: Block) -> None:
    """Refuse a block whose batches are said to be larger than any may refer to.

    Raises: RefusedError.
    """
    size = sum(ref.size_bytes for ref in block.batches)
    if size > BLOCK_BATCH_BYTES_MAX:
        raise RefusedError(f"batches of {size} bytes, at most {BLOCK_BATCH_BYTES_MAX}")


def require_batches(refs: Sequence[BatchRef], batches: Sequence[PooledBatch]) -> None:
    """Refuse references whose numbers, counts or sizes are not those of the batches they name.

    A batch that was pruned at the peer it came from has lost its size; everything else still holds.
    Raises: RefusedError.
    """
    for ref, batch in zip(refs, batches, strict=True):
        held = batch.ref
        same_size = batch.is_pruned or ref.size_bytes == held.size_bytes
        if ref.digest != held.digest or ref.id != held.id or ref.count != held.count:
            raise RefusedError(
                f"reference {ref.id} of {ref.count} is not {held.id} of {held.count}"
            )
        if not same_size:
            raise RefusedError(f"reference to {ref.size_bytes} bytes, it has {held.size_bytes}")


def committed_head(node: Node) -> VerifiedHead:
    """The head after a block that `BlockTree.commit` has returned as final, for cosigning."""
    return VerifiedHead(node.block.head, SEAL)
