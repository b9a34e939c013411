"""Frames of the hot streams between validators, replicas and ledgers: fixed headers, raw bytes.

One frame is one byte string, whose first byte tells its kind. Building a protobuf object for each
batch would cost more than the batch itself (docs/spec/wire.md gives the layout and the figures), so
these frames are packed with `struct` and slices. Integers are big-endian, digests 32 bytes.

A frame that cannot be read raises FrameMalformedError: a peer's mistake, never ours, so the stream
that carried it is closed with the code `frame_malformed` and nothing changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812  a class under a name that says what it is
from typing import Final, TypeAlias

_U32: Final = Struct(">I")
_COMMITTED: Final = Struct(">QQ32sQ32sQ")
_REFUSED: Final = Struct(">QQ")
_STANDING: Final = Struct(">BQQ")
_FOLLOW: Final = Struct(">QB")
_APPLIED: Final = Struct(">QQQ")
_APPLIED_BEFORE: Final = Struct(">QQ")
"""Of a ledger from before erasures."""

_BLOCK: Final = Struct(">QQII")
_COSIGNATURE: Final = Struct(">Q32sQ64s")

_TRACES: Final = Struct(">Q")

_CODE_BYTES_MAX: Final = 64
_NOTICES_MAX: Final = 4096
_BATCHES_MAX: Final = 4096

TRACE_BYTES: Final = 24
"""A sampled trace's context: trace id (16 bytes), span id (8)."""

TRACES_MAX: Final = 4
"""Of one batch, and of the batches of one block together."""

_KIND_BATCH: Final = 0x01
_KIND_TRACED_BATCH: Final = 0x02
_KIND_COMMITTED: Final = 0x11
_KIND_REFUSED: Final = 0x12
_KIND_STANDING: Final = 0x13
_KIND_FOLLOW: Final = 0x21
_KIND_APPLIED: Final = 0x22
_KIND_EVIDENCE: Final = 0x23
_KIND_BLOCK: Final = 0x31
_KIND_COSIGNATURE: Final = 0x32
_KIND_TRACES: Final = 0x33


class FrameMalformedError(Exception):
    """A peer sent a frame that cannot be read; the message says which part."""


@dataclass(frozen=True, slots=True)
class BatchFrame:
    """Validator to replica: one batch, in the encoding of `heptad.model.batch`.

    `traces` are the sampled traces that it belongs to, 24 bytes each, at most four and mostly none.
    They stand beside what is signed, and nothing is decided by them.
    """

    batch: bytes
    traces: bytes = b""


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """Where one batch of the validator stands in the log.

    `first_index` is the log index of its first entry; `block_id` and `block_time_ms` are those of
    the block that committed it. Two honest replicas send the same bytes for the same batch.
    """

    incarnation: int
    sequence: int
    digest: bytes
    first_index: int
    block_id: bytes
    block_time_ms: int


@dataclass(frozen=True, slots=True)
class CommittedFrame:
    """Replica to validator: batches of this validator that have been committed, in log order."""

    batches: Sequence[CommittedBatch]


@dataclass(frozen=True, slots=True)
class RefusedFrame:
    """Replica to validator: this batch was not taken, with a code of the table."""

    incarnation: int
    sequence: int
    code: str


@dataclass(frozen=True, slots=True)
class StandingFrame:
    """Replica to validator, first on every stream: the last batch of it that is committed.

    `known` is False where none is; then the numbers are 0.
    """

    known: bool
    incarnation: int
    sequence: int


@dataclass(frozen=True, slots=True)
class FollowFrame:
    """Ledger to replica, first on every stream and again to switch bytes on or off.

    Blocks are wanted from `height` on (the genesis is 0, the first block is 1); with `want_batches`
    each comes with its batches.
    """

    height: int
    want_batches: bool


@dataclass(frozen=True, slots=True)
class AppliedFrame:
    """Ledger to replica: all blocks up to `height` are durable here, `published_size` is published.

    Replicas may prune what a ledger has applied and published. Up to `drop_height` they prune it
    even where they would keep it for others: it holds records of subjects that were erased since.
    """

    height: int
    published_size: int
    drop_height: int = 0


@dataclass(frozen=True, slots=True)
class EvidenceFrame:
    """Ledger to replica: a proof of misbehaviour, as `heptad.consensus.evidence` encodes it."""

    evidence: bytes


@dataclass(frozen=True, slots=True)
class BlockFrame:
    """Replica to ledger: one committed block.

    `block` and `proof` are in the encodings of `heptad.consensus.codec`; `proof` is empty where a
    later block's proof covers this one. `first_index` is the log size before the block. `batches`
    are whole encoded batches in block order, or empty where they were not asked for.
    """

    height: int
    first_index: int
    block: bytes
    proof: bytes
    batches: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class CosignatureFrame:
    """Replica to ledger: this replica's cosignature of a committed head, made at `time_s`."""

    size: int
    root: bytes
    time_s: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class TracesFrame:
    """Replica to ledger, before a block that comes with batches: the traces that these belong to.

    As in `BatchFrame`; the spans are this replica's. Telemetry, and its word for it.
    """

    height: int
    traces: bytes


ValidatorToReplica: TypeAlias = BatchFrame
ReplicaToValidator: TypeAlias = CommittedFrame | RefusedFrame | StandingFrame
LedgerToReplica: TypeAlias = FollowFrame | AppliedFrame | EvidenceFrame
ReplicaToLedger: TypeAlias = BlockFrame | CosignatureFrame | TracesFrame


def encode_batch(frame: BatchFrame) -> bytes:
    """The frame's bytes."""
    if frame.traces:
        count = len(frame.traces) // TRACE_BYTES
        return bytes((_KIND_TRACED_BATCH, count)) + frame.traces + frame.batch
    return bytes((_KIND_BATCH,)) + frame.batch


def decode_from_validator(body: bytes) -> ValidatorToReplica:
    """Read a frame that a validator sent. Raises: FrameMalformedError."""
    kind = _kind(body)
    if kind == _KIND_BATCH:
        return BatchFrame(body[1:])
    if kind == _KIND_TRACED_BATCH:
        return _traced_batch(body)
    raise FrameMalformedError(f"kind {kind:#04x} is not one that a validator sends")


def encode_to_validator(frame: ReplicaToValidator) -> bytes:
    """The frame's bytes."""
    match frame:
        case CommittedFrame(batches):
            rows = b"".join(
                _COMMITTED.pack(
                    b.incarnation, b.sequence, b.digest, b.first_index, b.block_id, b.block_time_ms
                )
                for b in batches
            )
            return bytes((_KIND_COMMITTED,)) + rows
        case RefusedFrame(incarnation, sequence, code):
            numbers = _REFUSED.pack(incarnation, sequence)
            return bytes((_KIND_REFUSED,)) + numbers + code.encode("ascii")
        case StandingFrame(known, incarnation, sequence):
            return bytes((_KIND_STANDING,)) + _STANDING.pack(known, incarnation, sequence)


def decode_to_validator(body: bytes) -> ReplicaToValidator:
    """Read a frame that a replica sent to a validator. Raises: FrameMalformedError."""
    kind = _kind(body)
    try:
        if kind == _KIND_COMMITTED:
            return _committed(body)
        if kind == _KIND_REFUSED:
            return _refused(body)
        if kind == _KIND_STANDING:
            _exactly(body, 1 + _STANDING.size)
            known, incarnation, sequence = _STANDING.unpack_from(body, 1)
            return StandingFrame(bool(known), incarnation, sequence)
    except (StructError, UnicodeDecodeError) as broken:
        raise FrameMalformedError(f"frame of kind {kind:#04x}: {broken}") from broken
    raise FrameMalformedError(f"kind {kind:#04x} is not one that a replica sends to a validator")


def encode_from_ledger(frame: LedgerToReplica) -> bytes:
    """The frame's bytes."""
    match frame:
        case FollowFrame(height, want_batches):
            return bytes((_KIND_FOLLOW,)) + _FOLLOW.pack(height, want_batches)
        case AppliedFrame(height, published_size, drop_height):
            return bytes((_KIND_APPLIED,)) + _APPLIED.pack(height, published_size, drop_height)
        case EvidenceFrame(evidence):
            return bytes((_KIND_EVIDENCE,)) + evidence


def decode_from_ledger(body: bytes) -> LedgerToReplica:
    """Read a frame that a ledger sent. Raises: FrameMalformedError."""
    kind = _kind(body)
    if kind == _KIND_FOLLOW:
        _exactly(body, 1 + _FOLLOW.size)
        height, want_batches = _FOLLOW.unpack_from(body, 1)
        return FollowFrame(height, bool(want_batches))
    if kind == _KIND_APPLIED:
        if len(body) == 1 + _APPLIED_BEFORE.size:
            return AppliedFrame(*_APPLIED_BEFORE.unpack_from(body, 1))
        _exactly(body, 1 + _APPLIED.size)
        return AppliedFrame(*_APPLIED.unpack_from(body, 1))
    if kind == _KIND_EVIDENCE:
        return EvidenceFrame(body[1:])
    raise FrameMalformedError(f"kind {kind:#04x} is not one that a ledger sends")


def encode_to_ledger(frame: ReplicaToLedger) -> bytes:
    """The frame's bytes."""
    match frame:
        case BlockFrame(height, first_index, block, proof, batches):
            head = _BLOCK.pack(height, first_index, len(block), len(proof))
            parts = [bytes((_KIND_BLOCK,)), head, block, proof]
            for batch in batches:
                parts += (_U32.pack(len(batch)), batch)
            return b"".join(parts)
        case CosignatureFrame(size, root, time_s, signature):
            return bytes((_KIND_COSIGNATURE,)) + _COSIGNATURE.pack(size, root, time_s, signature)
        case TracesFrame(height, traces):
            return bytes((_KIND_TRACES,)) + _TRACES.pack(height) + traces


def decode_to_ledger(body: bytes) -> ReplicaToLedger:
    """Read a frame that a replica sent to a ledger. Raises: FrameMalformedError."""
    kind = _kind(body)
    try:
        if kind == _KIND_BLOCK:
            return _block(body)
        if kind == _KIND_COSIGNATURE:
            _exactly(body, 1 + _COSIGNATURE.size)
            return CosignatureFrame(*_COSIGNATURE.unpack_from(body, 1))
        if kind == _KIND_TRACES:
            (height,) = _TRACES.unpack_from(body, 1)
            return TracesFrame(height, _traces(body[1 + _TRACES.size :]))
    except StructError as broken:
        raise FrameMalformedError(f"frame of kind {kind:#04x}: {broken}") from broken
    raise FrameMalformedError(f"kind {kind:#04x} is not one that a replica sends to a ledger")


def _kind(body: bytes) -> int:
    if not body:
        raise FrameMalformedError("an empty frame")
    return body[0]


def _traced_batch(body: bytes) -> BatchFrame:
    count = body[1] if len(body) > 1 else 0
    end = 2 + TRACE_BYTES * count
    if end > len(body):
        raise FrameMalformedError(f"traced batch: {len(body)} bytes, {count} traces announced")
    return BatchFrame(body[end:], _traces(body[2:end]))


def _traces(traces: bytes) -> bytes:
    count, rest = divmod(len(traces), TRACE_BYTES)
    if rest or not 0 < count <= TRACES_MAX:
        raise FrameMalformedError(f"{len(traces)} bytes of traces")
    return traces


def _exactly(body: bytes, size: int) -> None:
    if len(body) != size:
        raise FrameMalformedError(f"frame of kind {body[0]:#04x}: {len(body)} bytes, not {size}")


def _committed(body: bytes) -> CommittedFrame:
    rows, rest = divmod(len(body) - 1, _COMMITTED.size)
    if rest or rows > _NOTICES_MAX:
        raise FrameMalformedError(f"commit notices: {rows} rows and {rest} bytes over")
    return CommittedFrame(
        tuple(CommittedBatch(*row) for row in _COMMITTED.iter_unpack(memoryview(body)[1:]))
    )


def _refused(body: bytes) -> RefusedFrame:
    code = body[1 + _REFUSED.size :]
    if not 0 < len(code) <= _CODE_BYTES_MAX:
        raise FrameMalformedError(f"refusal: a code of {len(code)} bytes")
    incarnation, sequence = _REFUSED.unpack_from(body, 1)
    return RefusedFrame(incarnation, sequence, code.decode("ascii"))


def _block(body: bytes) -> BlockFrame:
    height, first_index, block_bytes, proof_bytes = _BLOCK.unpack_from(body, 1)
    start = 1 + _BLOCK.size
    proof_start, end = start + block_bytes, start + block_bytes + proof_bytes
    if end > len(body):
        raise FrameMalformedError(f"block frame: {len(body)} bytes, {end} announced")
    batches = _batches(body, end)
    return BlockFrame(
        height, first_index, body[start:proof_start], body[proof_start:end], tuple(batches)
    )


def _batches(body: bytes, at: int) -> list[bytes]:
    batches: list[bytes] = []
    while at < len(body):
        (size,) = _U32.unpack_from(body, at)
        at += _U32.size
        if at + size > len(body) or len(batches) >= _BATCHES_MAX:
            raise FrameMalformedError(f"block frame: batch {len(batches)} does not fit")
        batches.append(body[at : at + size])
        at += size
    return batches
