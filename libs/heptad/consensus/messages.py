"""What replicas say to each other, and its bytes: one byte of kind, then the message's fields.

Blocks and batches are asked for by separate messages and live in separate key spaces: an answer to
one can never be taken for the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from heptad.consensus.codec import (
    BLOCK_BYTES_MAX,
    decode_block,
    encode_proof,
    encode_ref,
    encode_vote,
    read_certificates,
    read_proof,
    read_refs,
    read_timeout,
    read_vote,
    write_certificates,
)
from heptad.consensus.evidence import Evidence, decode_evidence
from heptad.consensus.objects import QC, TC, BatchRef, Block, CommitProof, Timeout, Vote
from heptad.model.batch import BATCH_BYTES_MAX
from heptad.model.canonical import SIGNATURE_BYTES, MalformedError, Reader, Writer
from heptad.model.ids import BatchDigest, BlockId, Height


@dataclass(frozen=True, slots=True)
class Proposal:
    """A leader's block, with its signature (64 bytes), which is also the leader's vote."""

    block: Block
    signature: bytes


@dataclass(frozen=True, slots=True)
class Certificates:
    """The highest certificates that the sender knows."""

    high_qc: QC
    highest_tc: TC | None


@dataclass(frozen=True, slots=True)
class BatchOffer:
    """Batches that have waited at the sender: whoever lacks one fetches it from there."""

    refs: tuple[BatchRef, ...]


@dataclass(frozen=True, slots=True)
class FetchBlocks:
    """Asks for a block by id, with as many ancestors above `height_above` as fit an answer."""

    block_id: BlockId
    height_above: Height


@dataclass(frozen=True, slots=True)
class BlocksReply:
    """Blocks, newest first, each the parent of the one before it."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class FetchBatches:
    """Asks for batches by digest."""

    digests: tuple[BatchDigest, ...]


@dataclass(frozen=True, slots=True)
class BatchesReply:
    """Encoded batches, as many of those asked for as fit an answer."""

    batches: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FetchChain:
    """Asks for committed blocks from `height` on: how a replica far behind catches up.

    `size` is that of the asker's log, below `height`: if those blocks are gone, a snapshot comes
    with what leads on from there.
    """

    height: Height
    size: int


@dataclass(frozen=True, slots=True)
class ChainReply:
    """Committed blocks of ascending heights without a gap, and the proof of the last one."""

    blocks: tuple[Block, ...]
    proof: CommitProof


@dataclass(frozen=True, slots=True)
class SnapshotReply:
    """The blocks that were asked for are gone here; this is where the sender stands.

    `size` is that of the request. `state` is the sender's last committed header and the state after
    it (`chain.encode_committed`), `proof` that header's commit proof. `hashes` (32 bytes each)
    cover the log from the asker's size to the header's (`heptad.transparency.subtrees.cover`).
    """

    size: int
    state: bytes
    proof: CommitProof
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Accusation:
    """A proof of misbehaviour that the sender has seen and the log does not hold."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Deposition:
    """What the leader of a round that failed has signed towards the sender: its vote for its block.

    Whoever was shown another block of that round can prove the leader guilty with it.
    """

    vote: Vote


Message: TypeAlias = (
    Proposal
    | Vote
    | Timeout
    | Certificates
    | BatchOffer
    | FetchBlocks
    | BlocksReply
    | FetchBatches
    | BatchesReply
    | FetchChain
    | ChainReply
    | SnapshotReply
    | Accusation
    | Deposition
)


MESSAGE_BYTES_MAX: Final = 4 << 20

_PROPOSAL: Final = 1
_VOTE: Final = 2
_TIMEOUT: Final = 3
_CERTIFICATES: Final = 4
_BATCH_OFFER: Final = 5
_FETCH_BLOCKS: Final = 6
_BLOCKS_REPLY: Final = 7
_FETCH_BATCHES: Final = 8
_BATCHES_REPLY: Final = 9
_FETCH_CHAIN: Final = 10
_CHAIN_REPLY: Final = 11
_SNAPSHOT_REPLY: Final = 12
_ACCUSATION: Final = 13
_DEPOSITION: Final = 14

_REPLIES: Final = frozenset(
    bytes([kind]) for kind in (_BLOCKS_REPLY, _BATCHES_REPLY, _CHAIN_REPLY, _SNAPSHOT_REPLY)
)

_REPLY_ITEMS_MAX: Final = 1_024

STATE_BYTES_MAX: Final = 1 << 19
"""A header, a position for each validator, 64 hashes, the leader record."""


def encode_message(message: Message) -> bytes:  # noqa: C901, PLR0911, PLR0912  a table, one line a kind
    """The message's bytes."""
    match message:
        case Proposal(block, signature):
            return _writer(_PROPOSAL).bytes32(block.encoded).fixed(signature).done()
        case Vote():
            return _kind(_VOTE) + encode_vote(message)
        case Timeout(encoded=encoded):
            return _kind(_TIMEOUT) + encoded
        case Certificates(high_qc, highest_tc):
            writer = _writer(_CERTIFICATES)
            write_certificates(writer, high_qc, highest_tc)
            return writer.done()
        case BatchOffer(refs):
            return _many(_BATCH_OFFER, [encode_ref(ref) for ref in refs])
        case FetchBlocks(block_id, height_above):
            return _writer(_FETCH_BLOCKS).digest(block_id).u64(height_above).done()
        case BlocksReply(blocks):
            return _many_long(_BLOCKS_REPLY, [block.encoded for block in blocks]).done()
        case FetchBatches(digests):
            return _many(_FETCH_BATCHES, list(digests))
        case BatchesReply(batches):
            return _many_long(_BATCHES_REPLY, list(batches)).done()
        case FetchChain(height, size):
            return _writer(_FETCH_CHAIN).u64(height).u64(size).done()
        case ChainReply(blocks, proof):
            writer = _many_long(_CHAIN_REPLY, [block.encoded for block in blocks])
            return writer.fixed(encode_proof(proof)).done()
        case SnapshotReply(size, state, proof, hashes):
            writer = _writer(_SNAPSHOT_REPLY).u64(size).bytes32(state).fixed(encode_proof(proof))
            return writer.u16(len(hashes)).fixed(b"".join(hashes)).done()
        case Accusation(evidence):
            return _writer(_ACCUSATION).fixed(evidence.encoded).done()
        case Deposition(vote):
            return _writer(_DEPOSITION).fixed(encode_vote(vote)).done()


def is_reply(payload: bytes) -> bool:
    """True if an encoded message is an answer to a request of the receiver."""
    return payload[:1] in _REPLIES


def decode_message(payload: bytes) -> Message:
    """The message that `payload` is. Raises: MalformedError."""
    if len(payload) > MESSAGE_BYTES_MAX:
        raise MalformedError(f"a message of {len(payload)} bytes, at most {MESSAGE_BYTES_MAX}")
    reader = Reader(payload)
    kind = reader.u8()
    read = _READERS.get(kind)
    if read is None:
        raise MalformedError(f"message kind {kind} is not known")
    message = read(reader)
    reader.end()
    return message


def is_batches_reply(payload: bytes) -> bool:
    """True if these bytes say of themselves that they bring batches."""
    return bool(payload) and payload[0] == _BATCHES_REPLY


def blocks_kind(payload: bytes) -> "type[BlocksReply | ChainReply | SnapshotReply] | None":
    """Which answer with blocks these bytes say that they are; None if they say something else."""
    return _WITH_BLOCKS.get(payload[0]) if payload else None


def _read_proposal(reader: Reader) -> Message:
    block = decode_block(reader.bytes32(size_max=BLOCK_BYTES_MAX))
    return Proposal(block, reader.fixed(SIGNATURE_BYTES))


def _read_certificates(reader: Reader) -> Message:
    return Certificates(*read_certificates(reader))


def _read_batch_offer(reader: Reader) -> Message:
    return BatchOffer(read_refs(reader, _count(reader)))


def _read_fetch_blocks(reader: Reader) -> Message:
    return FetchBlocks(BlockId(reader.digest()), Height(reader.u64()))


def _read_blocks(reader: Reader) -> tuple[Block, ...]:
    count = _count(reader)
    return tuple(decode_block(reader.bytes32(size_max=BLOCK_BYTES_MAX)) for _ in range(count))


def _read_blocks_reply(reader: Reader) -> Message:
    return BlocksReply(_read_blocks(reader))


def _read_fetch_batches(reader: Reader) -> Message:
    return FetchBatches(tuple(BatchDigest(reader.digest()) for _ in range(_count(reader))))


def _read_batches_reply(reader: Reader) -> Message:
    count = _count(reader)
    return BatchesReply(tuple(reader.bytes32(size_max=BATCH_BYTES_MAX) for _ in range(count)))


def _read_fetch_chain(reader: Reader) -> Message:
    return FetchChain(Height(reader.u64()), reader.u64())


def _read_chain_reply(reader: Reader) -> Message:
    return ChainReply(_read_blocks(reader), read_proof(reader))


def _read_snapshot_reply(reader: Reader) -> Message:
    size, state = reader.u64(), reader.bytes32(size_max=STATE_BYTES_MAX)
    proof = read_proof(reader)
    return SnapshotReply(size, state, proof, tuple(reader.digest() for _ in range(_count(reader))))


def _read_accusation(reader: Reader) -> Message:
    return Accusation(decode_evidence(reader.rest()))


def _read_deposition(reader: Reader) -> Message:
    return Deposition(read_vote(reader))


_WITH_BLOCKS: Final[dict[int, type[BlocksReply | ChainReply | SnapshotReply]]] = {
    _BLOCKS_REPLY: BlocksReply,
    _CHAIN_REPLY: ChainReply,
    _SNAPSHOT_REPLY: SnapshotReply,
}

_READERS: Final[dict[int, Callable[[Reader], Message]]] = {
    _PROPOSAL: _read_proposal,
    _VOTE: read_vote,
    _TIMEOUT: read_timeout,
    _CERTIFICATES: _read_certificates,
    _BATCH_OFFER: _read_batch_offer,
    _FETCH_BLOCKS: _read_fetch_blocks,
    _BLOCKS_REPLY: _read_blocks_reply,
    _FETCH_BATCHES: _read_fetch_batches,
    _BATCHES_REPLY: _read_batches_reply,
    _FETCH_CHAIN: _read_fetch_chain,
    _CHAIN_REPLY: _read_chain_reply,
    _SNAPSHOT_REPLY: _read_snapshot_reply,
    _ACCUSATION: _read_accusation,
    _DEPOSITION: _read_deposition,
}


def _kind(kind: int) -> bytes:
    return kind.to_bytes(1, "big")


def _writer(kind: int) -> Writer:
    return Writer().fixed(_kind(kind))


def _many(kind: int, items: Sequence[bytes]) -> bytes:
    writer = _writer(kind).u16(len(items))
    for item in items:
        writer.fixed(item)
    return writer.done()


def _many_long(kind: int, items: Sequence[bytes]) -> Writer:
    writer = _writer(kind).u16(len(items))
    for item in items:
        writer.bytes32(item)
    return writer


def _count(reader: Reader) -> int:
    count = reader.u16()
    if count > _REPLY_ITEMS_MAX:
        raise MalformedError(f"{count} items, at most {_REPLY_ITEMS_MAX} are allowed")
    return count
