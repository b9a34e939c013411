"""The state that a block binds: log's edge, last batches, failed leaders, who is proven guilty.

It is derived from the parent's state and the block alone, never from local commit state, so two
replicas that hold the same block hold the same state. It stays flat: O(log n) hashes, one position
a validator, one row a member and one bit a charge, however long the log grows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from struct import Struct
from typing import Final

from heptad.consensus.errors import RefusedError
from heptad.consensus.evidence import Charge, Offence
from heptad.consensus.leader_record import NOBODY_FAILED, LeaderRecord
from heptad.consensus.objects import BatchRef, LogHead
from heptad.model.canonical import DIGEST_BYTES, MalformedError, Reader, Writer
from heptad.model.ids import Epoch, ValidatorNumber
from heptad.transparency.errors import FormatError
from heptad.transparency.merkle import CompactRange
from heptad.transparency.subtrees import Growth, grown_by_leaves

_POSITION: Final = Struct(">IQQ")


@dataclass(frozen=True, slots=True)
class ChainState:
    """What stands after a block.

    `edge` is the log's compact range. `positions` maps each validator that has committed anything
    to (incarnation, sequence) of its last batch. `leader_record` says which members failed to lead.
    `proven` are the charges of which the log holds a proof: it takes one of each.

    `grown` is no part of the state: how the log grew with this block alone, step by step without a
    gap, on its way to the store.
    """

    edge: CompactRange
    positions: Mapping[ValidatorNumber, tuple[int, int]]
    leader_record: LeaderRecord = NOBODY_FAILED
    proven: frozenset[Charge] = frozenset()
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
        ‖ bytes16 leader record ‖ proven, with positions and proven as in `encode`.
        """
        writer = Writer().u64(epoch).digest(membership_hash)
        self._write_positions(writer)
        writer.bytes16(self.leader_record.encode())
        self._write_proven(writer)
        return sha256(writer.done()).digest()

    def extended(
        self,
        refs: Sequence[BatchRef],
        leaf_hashes: Sequence[Sequence[bytes]],
        leader_record: LeaderRecord,
        charges: Sequence[tuple[Charge, bytes]] = (),
    ) -> "ChainState":
        """The state after a block with these batches; `leaf_hashes[i]` are those of `refs[i]`.

        And after proofs of these charges, each with the hash of the leaf that its proof becomes.
        Raises: RefusedError if a batch does not go on where its validator stopped, or if the log
        holds a proof of one of the charges already.
        """
        if not refs and not charges:
            return replace(self, leader_record=leader_record, grown=())
        positions = dict(self.positions)
        for ref in refs:
            require_next(positions.get(ref.validator), ref)
            positions[ref.validator] = (ref.incarnation, ref.sequence)
        proven = set(self.proven)
        for charge, _ in charges:
            if charge in proven:
                raise RefusedError(f"{charge.name} is proven guilty of {charge.offence.name} twice")
            proven.add(charge)
        leaves = [leaf for batch in leaf_hashes for leaf in batch]
        edge, growth = grown_by_leaves(self.edge, [*leaves, *(leaf for _, leaf in charges)])
        return ChainState(edge, positions, leader_record, frozenset(proven), (growth,))

    def encode(self) -> bytes:
        """For the store: positions ‖ bytes16 leader record ‖ proven ‖ edge.

        Positions: u16 count ‖ count x (u32 validator ‖ u64 incarnation ‖ u64 sequence), ascending.
        Proven: u16 count ‖ count x (u8 offence ‖ u32 accused), ascending.
        """
        writer = Writer()
        self._write_positions(writer)
        writer.bytes16(self.leader_record.encode())
        self._write_proven(writer)
        return writer.fixed(self.edge.encode()).done()

    @classmethod
    def decode(cls, reader: Reader) -> "ChainState":
        """Read what `encode` wrote, up to the end of `reader`'s bytes. Raises: MalformedError."""
        positions = {}
        for _ in range(reader.u16()):
            validator = ValidatorNumber(reader.u32())
            positions[validator] = (reader.u64(), reader.u64())
        leader_record = LeaderRecord.decode(reader.bytes16())
        proven = frozenset(_read_charge(reader) for _ in range(reader.u16()))
        size = reader.u64()
        hashes = tuple(reader.fixed(DIGEST_BYTES) for _ in range(size.bit_count()))
        reader.end()
        try:
            edge = CompactRange(size, hashes)
        except FormatError as error:
            raise MalformedError(str(error)) from error
        return cls(edge, positions, leader_record, proven)

    def _write_positions(self, writer: Writer) -> None:
        writer.u16(len(self.positions))
        for validator, (incarnation, sequence) in sorted(self.positions.items()):
            writer.fixed(_POSITION.pack(validator, incarnation, sequence))

    def _write_proven(self, writer: Writer) -> None:
        writer.u16(len(self.proven))
        for offence, accused in sorted(self.proven):
            writer.u8(offence).u32(accused)


def _read_charge(reader: Reader) -> Charge:
    number, accused = reader.u8(), reader.u32()
    try:
        return Charge(Offence(number), accused)
    except ValueError:
        raise MalformedError(f"offence {number} is not known") from None


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
