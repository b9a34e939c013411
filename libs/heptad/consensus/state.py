"""The state that a block binds: the log's right edge, each validator's last batch, failed leaders.

It is derived from the parent's state and the block alone, never from local commit state, so two
replicas that hold the same block hold the same state. It stays flat: O(log n) hashes, one position
a validator and one row a member, however long the log grows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from heptad.consensus.errors import RefusedError
from heptad.consensus.leader_record import NOBODY_FAILED, LeaderRecord
from heptad.consensus.objects import BatchRef, LogHead
from heptad.model.canonical import DIGEST_BYTES, Reader, Writer
from heptad.model.ids import Epoch, ValidatorNumber
from heptad.transparency.merkle import CompactRange
from heptad.transparency.subtrees import Growth, grown_by_leaves


@dataclass(frozen=True, slots=True)
class ChainState:
    """What stands after a block.

    `edge` is the log's compact range. `positions` maps each validator that has committed anything
    to (incarnation, sequence) of its last batch. `leader_record` says which members failed to lead.

    `grown` is no part of the state: how the log grew with this block alone, step by step without a
    gap, on its way to the store.
    """

    edge: CompactRange
    positions: Mapping[ValidatorNumber, tuple[int, int]]
    leader_record: LeaderRecord = NOBODY_FAILED
    grown: tuple[Growth, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def genesis(cls) -> "ChainState":
        """An empty log to which no validator has given anything."""
        return cls(CompactRange.empty(), {})

    def head(self) -> LogHead:
        """Size and root of the log."""
        return LogHead(self.edge.size, self.edge.root())

    def hash(self, *, epoch: Epoch, membership_hash: bytes) -> bytes:
        """The block header's `state_hash`: 32 bytes that bind all of this but the log's edge.

        The edge is bound by the header's head. Layout: u64 epoch ‖ membership hash[32] ‖ positions
        ‖ bytes16 leader record, with positions as in `encode`.
        """
        writer = Writer().u64(epoch).digest(membership_hash)
        self._write_positions(writer)
        return sha256(writer.bytes16(self.leader_record.encode()).done()).digest()

    def extended(
        self,
        refs: Sequence[BatchRef],
        leaf_hashes: Sequence[Sequence[bytes]],
        leader_record: LeaderRecord,
    ) -> "ChainState":
        """The state after a block with these batches; `leaf_hashes[i]` are those of `refs[i]`.

        Raises: RefusedError if a batch does not go on where its validator stopped.
        """
        if not refs:
            return replace(self, leader_record=leader_record, grown=())
        positions = dict(self.positions)
        for ref in refs:
            require_next(positions.get(ref.validator), ref)
            positions[ref.validator] = (ref.incarnation, ref.sequence)
        leaves = [leaf for batch in leaf_hashes for leaf in batch]
        edge, growth = grown_by_leaves(self.edge, leaves)
        return ChainState(edge, positions, leader_record, (growth,))

    def encode(self) -> bytes:
        """For the store: u16 count ‖ count x (u32 validator ‖ u64 ‖ u64) ‖ bytes16 ‖ edge."""
        writer = Writer()
        self._write_positions(writer)
        leaders = self.leader_record.encode()
        return writer.bytes16(leaders).fixed(self.edge.encode()).done()

    @classmethod
    def decode(cls, reader: Reader) -> "ChainState":
        """Read what `encode` wrote, up to the end of `reader`'s bytes. Raises: MalformedError."""
        positions = {}
        for _ in range(reader.u16()):
            validator = ValidatorNumber(reader.u32())
            positions[validator] = (reader.u64(), reader.u64())
        leader_record = LeaderRecord.decode(reader.bytes16())
        size = reader.u64()
        hashes = tuple(reader.fixed(DIGEST_BYTES) for _ in range(size.bit_count()))
        reader.end()
        return cls(CompactRange(size, hashes), positions, leader_record)

    def _write_positions(self, writer: Writer) -> None:
        writer.u16(len(self.positions))
        for validator, (incarnation, sequence) in sorted(self.positions.items()):
            writer.u32(validator).u64(incarnation).u64(sequence)


def follows(position: tuple[int, int] | None, incarnation: int, sequence: int) -> bool:
    """True if a batch so numbered may come after the one at `position` (None: after nothing).

    Either the next sequence of the same incarnation, or sequence 0 of a greater one: so no batch
    is ever in the log twice, whatever leaders do.
    """
    if position is None:
        return sequence == 0
    last_incarnation, last_sequence = position
    if incarnation == last_incarnation:
        return sequence == last_sequence + 1
    return incarnation > last_incarnation and sequence == 0


def require_next(position: tuple[int, int] | None, ref: BatchRef) -> None:
    """Refuse a batch that does not follow. Raises: RefusedError."""
    if not follows(position, ref.incarnation, ref.sequence):
        raise RefusedError(
            f"batch {ref.incarnation}/{ref.sequence} of validator {ref.validator} "
            f"does not follow {position}"
        )
