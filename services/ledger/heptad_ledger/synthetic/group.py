"""The whole group in one pair of hands: certified blocks and cosigned checkpoints.

It holds the keys of every member of a home made on one machine, which no real operator does.
"""

from collections.abc import Sequence
from pathlib import Path

from heptad.consensus.codec import encode_proof, new_block, new_qc, vote_signing_bytes
from heptad.consensus.genesis import genesis_qc
from heptad.consensus.objects import QC, BatchRef, Block, CommitProof, LogHead
from heptad.crypto.keys import Ed25519Key, KeyRole, load_service_key
from heptad.model.batch import Batch, batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.model.ids import BlockId, Height, MemberIndex, Round, ValidatorNumber
from heptad.runtime.config import Cell
from heptad.runtime.config.cell import ReplicaMember
from heptad.runtime.group import agreed_cell, member_number
from heptad.runtime.vkeys import witness_vkey
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.wire.streams import BlockFrame
from heptad_ledger.store import AppliedState
from heptad_ledger.synthetic.records import Record

_VALIDATOR = "validator-1"


class Group:
    """Goes on with a chain from where a ledger stands. A block's round is its height."""

    def __init__(self, home: Path, cell: Cell, state: AppliedState) -> None:
        """Read all members' keys. Raises: heptad.crypto.errors.KeyFileError."""
        self._cell = cell
        self._agreed = agreed_cell(cell)
        self._votes = [_key(home, r.id, KeyRole.VOTE) for r in _in_order(cell)]
        self._cosigners = {r.id: _key(home, r.id, KeyRole.COSIGN) for r in cell.replicas}
        self._log_key = _key(home, cell.ledger.id, KeyRole.LOG)
        self._batch_key = _key(home, _VALIDATOR, KeyRole.BATCH)
        self._incarnation = state.time_ms + 1
        self._sequence = 0
        self._height, self._edge = state.height, state.edge
        self._last_id = BlockId(state.block_id)
        self._last_qc = genesis_qc(self._agreed)
        if self._height:
            self._last_qc = self._certify(self._last_id, self._height)

    @property
    def edge(self) -> CompactRange:
        """The log's right edge after the last block."""
        return self._edge

    def batch(self, records: Sequence[Record], *, time_ms: int) -> Batch:
        """The next batch of validator 1."""
        batch = unsigned_batch(
            validator=ValidatorNumber(1),
            incarnation=self._incarnation,
            sequence=self._sequence,
            created_ms=time_ms,
            records=records,
        )
        self._sequence += 1
        message = batch_signing_bytes(origin=self._cell.origin, digest=batch.digest)
        return signed(batch, self._batch_key.sign(message))

    def commit(self, batches: Sequence[Batch], *, time_ms: int) -> BlockFrame:
        """The next block, with the proof that it is final."""
        first_index = self._edge.size
        for batch in batches:
            self._edge = self._edge.extended(leaf_hashes(batch.entries()))
        encoded = tuple(encode_batch(batch) for batch in batches)
        refs = tuple(_ref(b, len(e)) for b, e in zip(batches, encoded, strict=True))
        block = self._block(self._last_qc, refs, time_ms)
        qc = self._certify(block.id, block.height)
        self._height, self._last_id, self._last_qc = block.height, block.id, qc
        child = self._block(qc, (), time_ms)
        proof = CommitProof(child, self._certify(child.id, child.height))
        return BlockFrame(
            height=block.height,
            first_index=first_index,
            block=block.encoded,
            proof=encode_proof(proof),
            batches=encoded,
        )

    def note(self, *, time_s: int) -> bytes:
        """A checkpoint of the log after the last block, cosigned by all."""
        checkpoint = Checkpoint(self._cell.origin, self._edge.size, self._edge.root())
        key = VerifierKey(self._cell.origin, SignatureType.LOG, self._log_key.public_key)
        log = sign_checkpoint(checkpoint, key=key, sign=self._log_key.sign)
        cosignatures = (
            cosign_checkpoint(
                checkpoint,
                key=witness_vkey(self._cell, replica),
                time_s=time_s,
                sign=self._cosigners[replica.id].sign,
            )
            for replica in self._cell.replicas
        )
        return Note(checkpoint.body(), (log, *cosignatures)).encode()

    def _block(self, justify: QC, refs: tuple[BatchRef, ...], time_ms: int) -> Block:
        height = self._height + 1
        return new_block(
            epoch=self._agreed.epoch,
            round_=Round(height),
            height=Height(height),
            proposer=MemberIndex(height % len(self._votes)),
            time_ms=time_ms,
            justify=justify,
            tc=None,
            batches=refs,
            control=(),
            head=LogHead(self._edge.size, self._edge.root()),
            state_hash=bytes(32),
        )

    def _certify(self, block_id: BlockId, height: int) -> QC:
        epoch, round_ = self._agreed.epoch, Round(height)
        message = vote_signing_bytes(
            origin=self._cell.origin, epoch=epoch, round_=round_, block_id=block_id
        )
        voters = enumerate(self._votes[: self._cell.quorum])
        votes = {MemberIndex(n): key.sign(message) for n, key in voters}
        return new_qc(epoch=epoch, round_=round_, block_id=block_id, votes=votes)


def _in_order(cell: Cell) -> list[ReplicaMember]:
    return sorted(cell.replicas, key=lambda replica: member_number(replica.id))


def _key(home: Path, member: str, role: KeyRole) -> Ed25519Key:
    return load_service_key(home / member / "keys" / role.file_name)


def _ref(batch: Batch, size_bytes: int) -> BatchRef:
    header = batch.header
    return BatchRef(
        header.validator,
        header.incarnation,
        header.sequence,
        batch.digest,
        header.count,
        size_bytes,
    )
