"""From a replica's frames to blocks that a quorum has committed, with batches that fit them.

The replica that sends bytes is believed in nothing. A block is taken only behind its parent (by
hash), only with exactly the batches that it refers to (by digest, number, count and size, each with
its validator's signature), and only once a commit proof shows that it or a descendant is final. The
proof of the last block of a wave proves all before it; until it has come, blocks wait here, in a
bounded amount. Honest replicas may have more to send than that (round after round timed out, or two
leaders meant it so): then only the blocks' ids wait, and once the proof has made those final, the
same blocks are fetched again and each counts as proven when it comes.

If anything is wrong the whole wave is refused and the chain stands where it stood: the next replica
is asked for the same blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from heptad.consensus.certificates import Certificates
from heptad.consensus.codec import decode_block, decode_proof
from heptad.consensus.committee import Cell
from heptad.consensus.control import control_entries
from heptad.consensus.errors import RefusedError
from heptad.consensus.objects import BatchRef, Block, LogHead
from heptad.model.batch import Batch, batch_signing_bytes, decode_batch
from heptad.model.canonical import MalformedError
from heptad.model.problems import Problem
from heptad.wire.streams import BlockFrame
from heptad_ledger.errors import FetchAgainError, FollowRefusedError

UNPROVEN_BYTES_MAX: Final = 64 << 20
"""Blocks and batches that may wait for the proof behind them; beyond it batches are let go."""

UNPROVEN_BLOCKS_MAX: Final = 4_096
"""Blocks that may wait, with or without batches: more than replicas ever hold uncommitted."""


class SignatureVerifier(Protocol):
    """Ed25519; the module `heptad.crypto.signatures` is one."""

    def verify(self, *, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Return if the signature holds. Raises: heptad.model.problems.Problem if not."""
        ...


@dataclass(frozen=True, slots=True)
class Tip:
    """The last block that was taken: its height and id, and the log's size after it."""

    height: int
    block_id: bytes
    size: int


@dataclass(frozen=True, slots=True)
class CheckedBlock:
    """A committed block with its batches and, behind them in the log, its control entries.

    What is not checked yet is `head`: that takes the hashing of every entry, and is the applier's.
    """

    height: int
    block_id: bytes
    time_ms: int
    head: LogHead
    batches: tuple[Batch, ...]
    control: tuple[bytes, ...] = ()

    @property
    def tip(self) -> Tip:
        """The chain's tip after this block."""
        return Tip(self.height, self.block_id, self.head.size)


class Chain:
    """Follows one chain of frames from a tip on. For one thread."""

    def __init__(self, cell: Cell, *, verifier: SignatureVerifier, tip: Tip) -> None:
        self._origin = cell.origin
        self._validators = {validator.number: validator for validator in cell.validators}
        self._verifier = verifier
        self._certificates = Certificates(cell, verifier)
        self._proven = tip
        self._unproven: list[CheckedBlock] = []
        self._unproven_bytes = 0
        self._has_let_go = False
        """Whether what is in `_unproven` lacks its batches, since they had become too many."""
        self._known_final: dict[int, bytes] = {}
        """Ids by height of blocks that were proven after their batches had been let go."""

    def restart(self, tip: Tip) -> None:
        """Forget what is not proven and go on behind `tip`."""
        self._proven = tip
        self._unproven = []
        self._unproven_bytes = 0
        self._has_let_go = False
        for height in [height for height in self._known_final if height <= tip.height]:
            del self._known_final[height]

    def take(self, frame: BlockFrame) -> Sequence[CheckedBlock]:
        """Take the next block; return the blocks that are proven now, oldest first.

        Raises: FollowRefusedError, also FetchAgainError; then `restart` before the next frame.
        """
        try:
            block = decode_block(frame.block)
            self._require_place(frame, block)
            batches = () if self._has_let_go else self._batches(frame, block)
            self._unproven.append(
                CheckedBlock(
                    height=block.height,
                    block_id=block.id,
                    time_ms=block.time_ms,
                    head=block.head,
                    batches=batches,
                    control=control_entries(block),
                )
            )
            self._unproven_bytes += len(frame.block) + sum(map(len, frame.batches))
            if self._known_final.get(block.height) == block.id:
                return self._all_proven()
            if not frame.proof:
                return self._waiting()
            self._require_proof(frame.proof, block.id)
            return self._all_proven()
        except (MalformedError, RefusedError) as error:
            raise FollowRefusedError(f"block of height {frame.height}: {error}") from error

    def prove_height(self, frame: BlockFrame) -> int:
        """The height of a block that its own proof shows to be committed, wherever it stands.

        So a replica's claim to be ahead can be judged without its batches.
        Raises: FollowRefusedError.
        """
        try:
            block = decode_block(frame.block)
            self._require_proof(frame.proof, block.id)
        except (MalformedError, RefusedError) as error:
            raise FollowRefusedError(f"claimed height {frame.height}: {error}") from error
        return block.height

    def _require_place(self, frame: BlockFrame, block: Block) -> None:
        tip = self._unproven[-1].tip if self._unproven else self._proven
        if block.height != tip.height + 1 or frame.height != block.height:
            raise FollowRefusedError(
                f"frame of height {frame.height} with a block of height {block.height}, "
                f"{tip.height + 1} is next"
            )
        if block.parent_id != tip.block_id:
            raise FollowRefusedError(
                f"block of height {block.height} has parent {block.parent_id.hex()}, "
                f"not {tip.block_id.hex()}"
            )
        if frame.first_index != tip.size:
            raise FollowRefusedError(f"first index {frame.first_index}, the log has {tip.size}")
        if block.head.size != tip.size + block.entry_count:
            raise FollowRefusedError(
                f"head of size {block.head.size} after {block.entry_count} entries "
                f"behind {tip.size}"
            )

    def _batches(self, frame: BlockFrame, block: Block) -> tuple[Batch, ...]:
        if len(frame.batches) != len(block.batches):
            raise FollowRefusedError(
                f"block of height {block.height} refers to {len(block.batches)} batches, "
                f"{len(frame.batches)} came with it"
            )
        pairs = zip(block.batches, frame.batches, strict=True)
        return tuple(self._batch(ref, encoded) for ref, encoded in pairs)

    def _batch(self, ref: BatchRef, encoded: bytes) -> Batch:
        batch = decode_batch(encoded)
        header = batch.header
        found = (header.validator, header.incarnation, header.sequence, header.count)
        if found != (ref.validator, ref.incarnation, ref.sequence, ref.count):
            raise FollowRefusedError(f"batch {found} in the place of {ref.id}, {ref.count} records")
        if batch.digest != ref.digest:
            raise FollowRefusedError(f"batch {ref.id} has digest {batch.digest.hex()}")
        if batch.sealed is None:
            raise FollowRefusedError(f"batch {ref.id} came without its private halves")
        if len(encoded) != ref.size_bytes:
            raise FollowRefusedError(f"batch {ref.id} has {len(encoded)} bytes")
        validator = self._validators.get(ref.validator)
        if validator is None:
            raise FollowRefusedError(f"validator {ref.validator} is not of this cell")
        message = batch_signing_bytes(origin=self._origin, digest=batch.digest)
        try:
            self._verifier.verify(
                public_key=validator.batch_key_for(ref.incarnation),
                message=message,
                signature=batch.signature,
            )
        except Problem as problem:
            raise FollowRefusedError(f"batch {ref.id}: {problem.detail}") from problem
        return batch

    def _all_proven(self) -> Sequence[CheckedBlock]:
        proven = self._unproven
        if self._has_let_go:
            self._known_final = {block.height: block.block_id for block in proven}
            raise FetchAgainError(f"{len(proven)} blocks are proven and their batches let go")
        self.restart(proven[-1].tip)
        return proven

    def _require_proof(self, encoded_proof: bytes, block_id: bytes) -> None:
        proof = decode_proof(encoded_proof)
        if proof.block_id != block_id:
            raise FollowRefusedError(f"the proof is of block {proof.block_id.hex()}")
        self._certificates.commit(proof)

    def _waiting(self) -> Sequence[CheckedBlock]:
        if len(self._unproven) > UNPROVEN_BLOCKS_MAX:
            raise FollowRefusedError(f"{len(self._unproven)} blocks without a proof")
        if self._unproven_bytes > UNPROVEN_BYTES_MAX and not self._has_let_go:
            self._has_let_go = True
            self._unproven = [replace(block, batches=()) for block in self._unproven]
        return ()
