"""Proof that somebody signed two things of which an honest one signs only one.

Three offences leave a proof that needs no witness, only public keys:

- *blocks*: a member signed two blocks of one round. A leader's signature under its proposal is its
  vote, so two proposals and two votes are one offence with one form, and the proof needs no header.
- *heads*: a member cosigned two heads of which the smaller is not a prefix of the greater: two
  roots for one size, or a smaller root beside a consistency proof that the greater tree had another
  one at that size. (That proof binds both roots, so nobody can make one against an honest member.)
- *batches*: a validator signed two batches under one number. The header carries the number and is
  under the digest; leaves and sealed halves stand as their hashes, so nothing of them is told.

Nobody honest can come to either: the safety record is synced before a vote or a cosignature leaves,
a restart says the identical bytes again, and a validator's incarnation is durable before its first
batch. Two processes with one identity are exactly what this proves. Not evidence: two time-outs of
one round (a higher high_qc allows it), the same head cosigned twice with different times.

Layout (integers big-endian). Both sides are in one order, so two observers of the same signatures
make the same bytes:

    Evidence  u8 version = 1 ‖ u8 offence ‖ bytes16 origin ‖ u32 accused ‖ sides
    blocks    u64 epoch ‖ u64 round ‖ 2 x (block_id[32] ‖ signature[64])        block ids ascend
    heads     2 x (u64 size ‖ root[32] ‖ u64 time_s ‖ signature[64])   (size, root) ascend
              ‖ root_before[32] ‖ u8 count ‖ count x hash[32]
    batches   2 x (header[33] ‖ H(leaves)[32] ‖ H(sealed)[32] ‖ signature[64])    digests ascend

`accused` is a member's index for the first two and a validator's number for the third.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import Final, NamedTuple, TypeAlias

from heptad.consensus.objects import Cosignature, LogHead, Vote
from heptad.model.batch import HEADER_BYTES, Batch, BatchHeader, digest_of_parts
from heptad.model.canonical import ORIGIN_BYTES_MAX, SIGNATURE_BYTES, MalformedError, Reader, Writer
from heptad.model.ids import BatchDigest, BlockId, Epoch, Round

VERSION: Final = 1
EVIDENCE_BYTES_MAX: Final = 6 << 10
"""A proof between trees of 2^64 leaves has at most 128 hashes: 4 KiB; the rest is far smaller."""

PROOF_HASHES_MAX: Final = 128


class Offence(IntEnum):
    """What was signed twice."""

    BLOCKS = 1
    HEADS = 2
    BATCHES = 3


class Charge(NamedTuple):
    """Who did what: the log holds one proof of each charge and no more.

    `accused` is a member's index, or a validator's number where the offence is BATCHES.
    """

    offence: Offence
    accused: int

    @property
    def is_of_member(self) -> bool:
        """True if the accused is a member; else it is a validator."""
        return self.offence is not Offence.BATCHES

    @property
    def name(self) -> str:
        """As the cell calls the accused: `replica-3` or `validator-1`."""
        return f"replica-{self.accused + 1}" if self.is_of_member else f"validator-{self.accused}"


@dataclass(frozen=True, slots=True)
class SignedBlock:
    """One side of *blocks*: a block's id and the member's signature of it."""

    block_id: BlockId
    signature: bytes


@dataclass(frozen=True, slots=True)
class TwoBlocks:
    """Two blocks of one round."""

    epoch: Epoch
    round: Round
    first: SignedBlock
    second: SignedBlock


@dataclass(frozen=True, slots=True)
class SignedHead:
    """One side of *heads*: a cosigned head with the time (Unix, seconds) that was signed."""

    head: LogHead
    time_s: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class TwoHeads:
    """Two heads of two histories.

    `root_before` is what the tree of `second` had at the size of `first`, which `proof` (RFC 9162
    consistency, first.size -> second.size) shows; it is not the root of `first`.
    """

    first: SignedHead
    second: SignedHead
    root_before: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """One side of *batches*: what its digest is made of."""

    header: BatchHeader
    leaves_hash: bytes
    sealed_hash: bytes
    signature: bytes

    @property
    def digest(self) -> BatchDigest:
        """What was signed."""
        return digest_of_parts(
            self.header.encode(), leaves_hash=self.leaves_hash, sealed_hash=self.sealed_hash
        )


@dataclass(frozen=True, slots=True)
class TwoBatches:
    """Two batches under one number."""

    first: SignedBatch
    second: SignedBatch


Sides: TypeAlias = TwoBlocks | TwoHeads | TwoBatches


@dataclass(frozen=True, slots=True)
class Evidence:
    """A proof as it stands in the log; whether it holds is `verify_evidence`'s to say."""

    charge: Charge
    origin: str
    sides: Sides
    encoded: bytes = field(repr=False)


def of_votes(one: Vote, other: Vote, *, origin: str) -> Evidence:
    """The proof out of one member's two votes (or proposals' signatures) of one round."""
    assert (one.voter, one.epoch, one.round) == (other.voter, other.epoch, other.round), one
    first, second = sorted(
        (SignedBlock(vote.block_id, vote.signature) for vote in (one, other)),
        key=lambda side: side.block_id,
    )
    charge = Charge(Offence.BLOCKS, one.voter)
    return _encoded(charge, origin, TwoBlocks(one.epoch, one.round, first, second))


def of_batches(one: Batch, other: Batch, *, origin: str) -> Evidence:
    """The proof out of a validator's two batches of one number."""
    first, second = sorted(
        (
            SignedBatch(
                batch.header, sha256(batch.leaves).digest(), batch.sealed_hash, batch.signature
            )
            for batch in (one, other)
        ),
        key=lambda side: side.digest,
    )
    charge = Charge(Offence.BATCHES, one.header.validator)
    return _encoded(charge, origin, TwoBatches(first, second))


def of_cosignatures(
    one: Cosignature,
    other: Cosignature,
    *,
    root_before: bytes,
    proof: Sequence[bytes],
    origin: str,
) -> Evidence:
    """The proof out of one member's two cosignatures.

    For two roots of one size `root_before` is the greater one, and there is no proof.
    """
    first, second = sorted(
        (SignedHead(each.head, each.time_s, each.signature) for each in (one, other)),
        key=lambda side: (side.head.size, side.head.root),
    )
    charge = Charge(Offence.HEADS, one.member)
    return _encoded(charge, origin, TwoHeads(first, second, root_before, tuple(proof)))


def decode_evidence(encoded: bytes) -> Evidence:
    """Read the one form of a proof; nothing is verified. Raises: MalformedError."""
    if len(encoded) > EVIDENCE_BYTES_MAX:
        raise MalformedError(f"evidence of {len(encoded)} bytes, at most {EVIDENCE_BYTES_MAX}")
    reader = Reader(encoded)
    version, number = reader.u8(), reader.u8()
    if version != VERSION:
        raise MalformedError(f"evidence version {version}, not {VERSION}")
    if number not in _READERS:
        raise MalformedError(f"offence {number} is not known")
    offence = Offence(number)
    origin = _read_origin(reader)
    charge = Charge(offence, reader.u32())
    sides = _READERS[offence](reader)
    reader.end()
    return Evidence(charge, origin, sides, encoded)


def _encoded(charge: Charge, origin: str, sides: Sides) -> Evidence:
    writer = Writer().u8(VERSION).u8(charge.offence).bytes16(origin.encode("utf-8"))
    writer.u32(charge.accused)
    match sides:
        case TwoBlocks():
            writer.u64(sides.epoch).u64(sides.round)
            for block in (sides.first, sides.second):
                writer.digest(block.block_id).fixed(block.signature)
        case TwoHeads():
            for side in (sides.first, sides.second):
                writer.u64(side.head.size).digest(side.head.root).u64(side.time_s)
                writer.fixed(side.signature)
            writer.digest(sides.root_before).u8(len(sides.proof))
            for each in sides.proof:
                writer.digest(each)
        case TwoBatches():
            for batch in (sides.first, sides.second):
                writer.fixed(batch.header.encode()).digest(batch.leaves_hash)
                writer.digest(batch.sealed_hash).fixed(batch.signature)
    return Evidence(charge, origin, sides, writer.done())


def _read_origin(reader: Reader) -> str:
    name = reader.bytes16()
    if len(name) > ORIGIN_BYTES_MAX:
        raise MalformedError(f"an origin of {len(name)} bytes, at most {ORIGIN_BYTES_MAX}")
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("an origin that is not UTF-8") from None


def _read_blocks(reader: Reader) -> Sides:
    epoch, round_ = Epoch(reader.u64()), Round(reader.u64())
    first, second = (
        SignedBlock(BlockId(reader.digest()), reader.fixed(SIGNATURE_BYTES)) for _ in range(2)
    )
    _require_order(first.block_id < second.block_id, "block ids")
    return TwoBlocks(epoch, round_, first, second)


def _read_heads(reader: Reader) -> Sides:
    first, second = (_read_head(reader) for _ in range(2))
    places = [(side.head.size, side.head.root) for side in (first, second)]
    _require_order(places[0] < places[1], "heads")
    root_before, count = reader.digest(), reader.u8()
    if count > PROOF_HASHES_MAX:
        raise MalformedError(f"a proof of {count} hashes, at most {PROOF_HASHES_MAX}")
    return TwoHeads(first, second, root_before, tuple(reader.digest() for _ in range(count)))


def _read_head(reader: Reader) -> SignedHead:
    head = LogHead(reader.u64(), reader.digest())
    return SignedHead(head, reader.u64(), reader.fixed(SIGNATURE_BYTES))


def _read_batches(reader: Reader) -> Sides:
    first, second = (
        SignedBatch(
            BatchHeader.decode(reader.fixed(HEADER_BYTES)),
            reader.digest(),
            reader.digest(),
            reader.fixed(SIGNATURE_BYTES),
        )
        for _ in range(2)
    )
    _require_order(first.digest < second.digest, "digests")
    return TwoBatches(first, second)


def _require_order(is_ascending: bool, what: str) -> None:
    if not is_ascending:
        raise MalformedError(f"the {what} of the two sides do not ascend")


_READERS: Final = {
    Offence.BLOCKS: _read_blocks,
    Offence.HEADS: _read_heads,
    Offence.BATCHES: _read_batches,
}
