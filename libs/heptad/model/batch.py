"""A batch: up to 1,000 records that a validator packs, signs and numbers.

The encoding, all integers big-endian:

    u32 len(header) ‖ u32 len(leaves) ‖ u32 len(sealed) ‖ header ‖ leaves ‖ sealed ‖ signature[64]

    header   u8 version = 1 ‖ u32 validator ‖ u64 incarnation ‖ u64 sequence ‖ u32 count
             ‖ u64 created_ms                                                    (33 bytes)
    leaves   count x (u16 length ‖ entry)          the public halves, Merkle leaves in this order
    sealed   count x u32 length ‖ the records      the private halves, same order, may be empty

    digest   H(H(header) ‖ H(leaves) ‖ H(sealed)), H = SHA-256
    signed   "heptad/v1/batch\\0" ‖ u16 len(origin) ‖ origin ‖ digest, Ed25519, the batch key

Why three hashes and not one: the sealed section is dropped one day, and header, leaves and
signature must still check. In a pruned batch `len(sealed)` is 0xffffffff and the 32-byte H(sealed)
stands in the section's place. The leaves' framing is that of a tile's entry bundle, so that bundles
are slices of it (https://c2sp.org/tlog-tiles).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from struct import Struct
from typing import Final

from heptad.model.canonical import DIGEST_BYTES, SIGNATURE_BYTES, MalformedError, signing_prefix
from heptad.model.ids import BatchDigest, ValidatorNumber

VERSION: Final = 1
RECORDS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 1 << 20
ENTRY_BYTES_MAX: Final = 65_535
SEALED_RECORD_BYTES_MAX: Final = 17 << 10
"""A payload of 16 KiB, and room for its routing header, nonce, witness and tags."""

_HEADER: Final = Struct(">BIQQIQ")
HEADER_BYTES: Final = _HEADER.size
_LENGTHS: Final = Struct(">III")
_ENTRY_LENGTH: Final = Struct(">H")
_PRUNED: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """Who numbered the batch, and how.

    (`validator`, `incarnation`, `sequence`) is the batch's id. `sequence` goes on by 1 from 0
    within an incarnation; `incarnation` grows with each restart of the validator. `count` is how
    many records follow, 0 for the batch that only fences an older incarnation. `created_ms` is
    Unix time in ms by the validator's clock.
    """

    validator: ValidatorNumber
    incarnation: int
    sequence: int
    count: int
    created_ms: int

    def encode(self) -> bytes:
        """The header's 33 bytes."""
        return _HEADER.pack(
            VERSION, self.validator, self.incarnation, self.sequence, self.count, self.created_ms
        )

    @classmethod
    def decode(cls, data: bytes) -> "BatchHeader":
        """Read what `encode` wrote. Raises: MalformedError."""
        if len(data) != _HEADER.size:
            raise MalformedError(f"a batch header of {len(data)} bytes, not {_HEADER.size}")
        version, validator, incarnation, sequence, count, created_ms = _HEADER.unpack(data)
        if version != VERSION:
            raise MalformedError(f"batch version {version}, not {VERSION}")
        if count > RECORDS_MAX:
            raise MalformedError(f"a batch of {count} records, at most {RECORDS_MAX} are allowed")
        return cls(ValidatorNumber(validator), incarnation, sequence, count, created_ms)


@dataclass(frozen=True, slots=True)
class Batch:
    """A signed batch with the bytes that its digest covers, as they were made or received.

    `sealed` is None once it was pruned; `sealed_hash` is its SHA-256 in either case. `framed`
    are the entries that `leaves` frames, cut out once.
    """

    header: BatchHeader
    leaves: bytes
    sealed: bytes | None
    sealed_hash: bytes
    digest: BatchDigest
    signature: bytes
    framed: tuple[bytes, ...] = field(repr=False, compare=False)

    def entries(self) -> tuple[bytes, ...]:
        """The public halves in order; each hashes to one leaf of the log."""
        return self.framed

    def sealed_records(self) -> list[bytes]:
        """The private halves in order. Raises: MalformedError if they were pruned."""
        if self.sealed is None:
            raise MalformedError("the sealed section was pruned")
        return split_sealed(self.sealed, self.header.count)

    def pruned(self) -> "Batch":
        """The same batch without its private halves; digest and signature stay valid."""
        return replace(self, sealed=None)


def join_leaves(entries: Sequence[bytes]) -> bytes:
    """Frame entries into a leaves section. Raises: MalformedError if one is over 65,535 bytes."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > ENTRY_BYTES_MAX:
            raise MalformedError(f"an entry of {len(entry)} bytes, at most {ENTRY_BYTES_MAX}")
        parts += (_ENTRY_LENGTH.pack(len(entry)), entry)
    return b"".join(parts)


def split_leaves(leaves: bytes, count: int) -> list[bytes]:
    """Take a leaves section apart into exactly `count` entries. Raises: MalformedError."""
    entries: list[bytes] = []
    at, end = 0, len(leaves)
    for _ in range(count):
        start = at + 2
        if start > end:
            raise MalformedError(f"leaves end at entry {len(entries)} of {count}")
        at = start + (leaves[start - 2] << 8 | leaves[start - 1])
        entries.append(leaves[start:at])
    if at != end:
        raise MalformedError(f"{count} entries take {at} bytes, the leaves section has {end}")
    return entries


def join_sealed(records: Sequence[bytes]) -> bytes:
    """Put private halves behind a table of their lengths. Raises: MalformedError if one is big."""
    for record in records:
        if len(record) > SEALED_RECORD_BYTES_MAX:
            raise MalformedError(
                f"a sealed record of {len(record)} bytes, at most {SEALED_RECORD_BYTES_MAX}"
            )
    lengths = Struct(f">{len(records)}I").pack(*(len(record) for record in records))
    return lengths + b"".join(records)


def split_sealed(sealed: bytes, count: int) -> list[bytes]:
    """Take a sealed section apart into exactly `count` records. Raises: MalformedError."""
    lengths = _sealed_lengths(sealed, count)
    records: list[bytes] = []
    at = 4 * count
    for size in lengths:
        records.append(sealed[at : at + size])
        at += size
    return records


def batch_digest(header: bytes, leaves: bytes, sealed_hash: bytes) -> BatchDigest:
    """The 32-byte digest of a batch, from its first two sections and the third one's SHA-256."""
    return digest_of_parts(header, leaves_hash=sha256(leaves).digest(), sealed_hash=sealed_hash)


def digest_of_parts(header: bytes, *, leaves_hash: bytes, sealed_hash: bytes) -> BatchDigest:
    """The same for whoever has only the header, and the SHA-256 of the two other sections."""
    joined = sha256(header).digest() + leaves_hash + sealed_hash
    return BatchDigest(sha256(joined).digest())


def batch_signing_bytes(*, origin: str, digest: BatchDigest) -> bytes:
    """What a validator signs with its batch key."""
    return signing_prefix("batch", origin=origin) + digest


def unsigned_batch(
    *,
    validator: ValidatorNumber,
    incarnation: int,
    sequence: int,
    created_ms: int,
    records: Sequence[tuple[bytes, bytes]],
) -> Batch:
    """Pack records, each (entry, sealed record), into a batch whose signature is still empty.

    Sign `batch_signing_bytes(origin=…, digest=batch.digest)` and give the 64 bytes to `signed`.
    Raises: MalformedError if a limit of the format is exceeded.
    """
    header = BatchHeader(validator, incarnation, sequence, len(records), created_ms)
    if len(records) > RECORDS_MAX:
        raise MalformedError(f"a batch of {len(records)} records, at most {RECORDS_MAX}")
    entries = tuple(entry for entry, _ in records)
    leaves = join_leaves(entries)
    sealed = join_sealed([record for _, record in records])
    size = _LENGTHS.size + _HEADER.size + len(leaves) + len(sealed) + SIGNATURE_BYTES
    if size > BATCH_BYTES_MAX:
        raise MalformedError(f"a batch of {size} bytes, at most {BATCH_BYTES_MAX}")
    sealed_hash = sha256(sealed).digest()
    digest = batch_digest(header.encode(), leaves, sealed_hash)
    return Batch(header, leaves, sealed, sealed_hash, digest, signature=b"", framed=entries)


def signed(batch: Batch, signature: bytes) -> Batch:
    """The batch with its validator's signature (64 bytes), ready for `encode_batch`."""
    assert len(signature) == SIGNATURE_BYTES, len(signature)
    return replace(batch, signature=signature)


def encode_batch(batch: Batch) -> bytes:
    """The bytes that travel, see the head of this file."""
    assert len(batch.signature) == SIGNATURE_BYTES, len(batch.signature)
    header = batch.header.encode()
    last = batch.sealed_hash if batch.sealed is None else batch.sealed
    last_length = _PRUNED if batch.sealed is None else len(batch.sealed)
    lengths = _LENGTHS.pack(len(header), len(batch.leaves), last_length)
    return b"".join((lengths, header, batch.leaves, last, batch.signature))


def decode_batch(encoded: bytes) -> Batch:
    """Read `encode_batch`'s bytes and compute their digest; the signature is *not* checked.

    The framing of both sections is checked against `count`, so that every batch which decodes can
    be taken apart later. Raises: MalformedError.
    """
    leaves_at, sealed_at, signature_at, is_pruned = _sections(encoded)
    header_bytes = encoded[_LENGTHS.size : leaves_at]
    header = BatchHeader.decode(header_bytes)
    leaves, last = encoded[leaves_at:sealed_at], encoded[sealed_at:signature_at]
    framed = tuple(split_leaves(leaves, header.count))
    sealed = None
    if not is_pruned:
        sealed = last
        _sealed_lengths(sealed, header.count)
    sealed_hash = last if is_pruned else sha256(last).digest()
    return Batch(
        header=header,
        leaves=leaves,
        sealed=sealed,
        sealed_hash=sealed_hash,
        digest=batch_digest(header_bytes, leaves, sealed_hash),
        signature=encoded[signature_at:],
        framed=framed,
    )


def decode_header(encoded: bytes) -> BatchHeader:
    """Read only the header of `encode_batch`'s bytes: who numbered the batch, and how.

    For telling quickly what is here already; of the rest only the length is checked.
    Raises: MalformedError.
    """
    leaves_at, _, _, _ = _sections(encoded)
    return BatchHeader.decode(encoded[_LENGTHS.size : leaves_at])


def _sections(encoded: bytes) -> tuple[int, int, int, bool]:
    """Where leaves, sealed section and signature begin; and whether the batch is pruned."""
    if not _LENGTHS.size <= len(encoded) <= BATCH_BYTES_MAX:
        raise MalformedError(f"a batch of {len(encoded)} bytes is not in 12..{BATCH_BYTES_MAX}")
    header_length, leaves_length, sealed_length = _LENGTHS.unpack_from(encoded)
    is_pruned = sealed_length == _PRUNED
    leaves_at = _LENGTHS.size + header_length
    sealed_at = leaves_at + leaves_length
    signature_at = sealed_at + (DIGEST_BYTES if is_pruned else sealed_length)
    if len(encoded) != signature_at + SIGNATURE_BYTES:
        raise MalformedError(
            f"a batch of {len(encoded)} bytes announces {signature_at + SIGNATURE_BYTES}"
        )
    return leaves_at, sealed_at, signature_at, is_pruned


def _sealed_lengths(sealed: bytes, count: int) -> tuple[int, ...]:
    if len(sealed) < 4 * count:
        raise MalformedError(f"{len(sealed)} sealed bytes hold no table of {count} lengths")
    lengths: tuple[int, ...] = Struct(f">{count}I").unpack_from(sealed)
    if 4 * count + sum(lengths) != len(sealed):
        raise MalformedError(
            f"sealed lengths sum to {sum(lengths)}, {len(sealed) - 4 * count} bytes follow"
        )
    if count and max(lengths) > SEALED_RECORD_BYTES_MAX:
        raise MalformedError(
            f"a sealed record of {max(lengths)} bytes, at most {SEALED_RECORD_BYTES_MAX}"
        )
    return lengths
