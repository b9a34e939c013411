"""Bytes and objects, one to one: the encodings that are hashed, signed, stored and sent.

Layouts (integers big-endian, `bytes16` = u16 length ‖ bytes, `bytes32` = u32 length ‖ bytes):

    QC       u64 epoch ‖ u64 round ‖ block_id[32] ‖ u8 count ‖ count x (u8 voter ‖ signature[64])
    TC       u64 epoch ‖ u64 round ‖ u8 count
             ‖ count x (u8 voter ‖ u64 high_qc_round ‖ bytes16 fast_vote ‖ signature[64]) ‖ QC
    Vote     u64 epoch ‖ u64 round ‖ block_id[32] ‖ u8 voter ‖ signature[64]
    Timeout  u64 epoch ‖ u64 round ‖ u8 voter ‖ bytes16 fast_vote ‖ signature[64] ‖ QC
             ‖ u8 has_tc ‖ [TC]
    BatchRef u32 validator ‖ u64 incarnation ‖ u64 sequence ‖ digest[32] ‖ u32 count ‖ u32 size
    Block    u8 version = 1 ‖ u64 epoch ‖ u64 round ‖ u64 height ‖ u8 proposer ‖ u64 time_ms ‖ QC
             ‖ u8 has_tc ‖ [TC] ‖ u16 count ‖ count x BatchRef ‖ u16 count ‖ count x bytes32 control
             ‖ u64 head size ‖ head root[32] ‖ state_hash[32]
    CommitProof  bytes32 Block (child) ‖ QC (child_qc)

    signed by a voter:       "heptad/v1/vote\\0" ‖ bytes16 origin ‖ u64 epoch ‖ u64 round ‖ block_id
    signed by a timing-out:  "heptad/v1/timeout\\0" ‖ bytes16 origin ‖ u64 epoch ‖ u64 round
                             ‖ u64 high_qc_round ‖ bytes16 fast_vote

`new_…` make objects with their bytes, `read_…` take one off a Reader, `decode_…` take exactly one.
All reading raises MalformedError. Voters must ascend, so each set of votes has one encoding and no
voter stands in it twice.
"""

from hashlib import sha256
from struct import Struct
from typing import Final

from heptad.consensus.committee import MEMBERS_MAX
from heptad.consensus.objects import (
    QC,
    TC,
    BatchRef,
    Block,
    CommitProof,
    LogHead,
    Timeout,
    TimeoutClaim,
    Vote,
)
from heptad.model.canonical import (
    DIGEST_BYTES,
    SIGNATURE_BYTES,
    MalformedError,
    Reader,
    Writer,
    consensus_prefix,
)
from heptad.model.ids import (
    BatchDigest,
    BlockId,
    Epoch,
    Height,
    MemberIndex,
    Round,
    ValidatorNumber,
)

BLOCK_VERSION: Final = 1
BLOCK_BYTES_MAX: Final = 1 << 18
REFS_MAX: Final = 1_024
CONTROL_MAX: Final = 64
CONTROL_BYTES_MAX: Final = 1 << 14
FAST_VOTE_BYTES_MAX: Final = 256

_REF: Final = Struct(">IQQ32sII")
_SIGNER: Final = Struct(">B64s")
_QC_HEAD: Final = Struct(">QQ32sB")
_TC_HEAD: Final = Struct(">QQB")
_CLAIM_HEAD: Final = Struct(">BQH")
_VOTE: Final = Struct(">QQ32sB64s")
_TIMEOUT_HEAD: Final = Struct(">QQBH")
_TIMEOUT_SIGNED: Final = Struct(">QQH")
_BLOCK_HEAD: Final = Struct(">BQQQBQ")
_BLOCK_TAIL: Final = Struct(">Q32s32s")


def vote_signing_bytes(*, origin: str, epoch: Epoch, round_: Round, block_id: BlockId) -> bytes:
    """What a voter signs, and a proposer for its own block."""
    prefix = consensus_prefix("vote", origin=origin, epoch=epoch)
    return prefix + round_.to_bytes(8, "big") + block_id


def timeout_signing_bytes(
    *, origin: str, epoch: Epoch, round_: Round, high_qc_round: Round, fast_vote: bytes
) -> bytes:
    """What a member signs that gives up on a round."""
    prefix = consensus_prefix("timeout", origin=origin, epoch=epoch)
    return prefix + _TIMEOUT_SIGNED.pack(round_, high_qc_round, len(fast_vote)) + fast_vote


def new_qc(
    *, epoch: Epoch, round_: Round, block_id: BlockId, votes: dict[MemberIndex, bytes]
) -> QC:
    """A certificate of these votes; `votes` maps each voter to its signature."""
    ordered = tuple(sorted(votes.items()))
    head = _QC_HEAD.pack(epoch, round_, block_id, len(ordered))
    encoded = head + b"".join([_SIGNER.pack(*vote) for vote in ordered])
    return QC(epoch, round_, block_id, ordered, encoded)


def read_qc(reader: Reader) -> QC:
    """Take a QC off `reader`."""
    start = reader.position()
    epoch, round_, block_id, count = _QC_HEAD.unpack(reader.fixed(_QC_HEAD.size))
    _limited(count, MEMBERS_MAX, "signers")
    votes = tuple(_SIGNER.iter_unpack(reader.fixed(count * _SIGNER.size)))
    _require_ascending([voter for voter, _ in votes], "QC")
    return QC(Epoch(epoch), Round(round_), BlockId(block_id), votes, reader.since(start))


def decode_qc(encoded: bytes) -> QC:
    """The QC that `encoded` is."""
    reader = Reader(encoded)
    qc = read_qc(reader)
    reader.end()
    return qc


def new_tc(*, epoch: Epoch, round_: Round, claims: list[TimeoutClaim], high_qc: QC) -> TC:
    """A time-out certificate of these claims and of the QC behind the greatest of them."""
    ordered = tuple(sorted(claims, key=lambda claim: claim.voter))
    writer = Writer().fixed(_TC_HEAD.pack(epoch, round_, len(ordered)))
    for claim in ordered:
        writer.fixed(_CLAIM_HEAD.pack(claim.voter, claim.high_qc_round, len(claim.fast_vote)))
        writer.fixed(claim.fast_vote).fixed(claim.signature)
    return TC(epoch, round_, ordered, high_qc, writer.fixed(high_qc.encoded).done())


def read_tc(reader: Reader) -> TC:
    """Take a TC off `reader`."""
    start = reader.position()
    epoch, round_, count = _TC_HEAD.unpack(reader.fixed(_TC_HEAD.size))
    _limited(count, MEMBERS_MAX, "signers")
    if not count:
        raise MalformedError("a TC without claims")
    claims = tuple([_read_claim(reader) for _ in range(count)])
    _require_ascending([claim.voter for claim in claims], "TC")
    return TC(Epoch(epoch), Round(round_), claims, read_qc(reader), reader.since(start))


def decode_tc(encoded: bytes) -> TC:
    """The TC that `encoded` is."""
    reader = Reader(encoded)
    tc = read_tc(reader)
    reader.end()
    return tc


def encode_vote(vote: Vote) -> bytes:
    """The vote's 113 bytes."""
    assert len(vote.block_id) == DIGEST_BYTES, len(vote.block_id)
    return _VOTE.pack(vote.epoch, vote.round, vote.block_id, vote.voter, vote.signature)


def read_vote(reader: Reader) -> Vote:
    """Take a vote off `reader`."""
    epoch, round_, block_id, voter, signature = _VOTE.unpack(reader.fixed(_VOTE.size))
    return Vote(Epoch(epoch), Round(round_), BlockId(block_id), MemberIndex(voter), signature)


def new_timeout(
    *,
    epoch: Epoch,
    round_: Round,
    high_qc: QC,
    tc: TC | None,
    fast_vote: bytes,
    voter: MemberIndex,
    signature: bytes,
) -> Timeout:
    """A time-out with its bytes."""
    writer = Writer().fixed(_TIMEOUT_HEAD.pack(epoch, round_, voter, len(fast_vote)))
    writer.fixed(fast_vote).fixed(signature)
    write_certificates(writer, high_qc, tc)
    return Timeout(epoch, round_, high_qc, tc, fast_vote, voter, signature, writer.done())


def read_timeout(reader: Reader) -> Timeout:
    """Take a time-out off `reader`."""
    start = reader.position()
    epoch, round_, voter, size = _TIMEOUT_HEAD.unpack(reader.fixed(_TIMEOUT_HEAD.size))
    fast_vote, signature = _read_fast_vote(reader, size), reader.fixed(SIGNATURE_BYTES)
    high_qc, tc = read_certificates(reader)
    encoded = reader.since(start)
    return Timeout(
        Epoch(epoch), Round(round_), high_qc, tc, fast_vote, MemberIndex(voter), signature, encoded
    )


def decode_timeout(encoded: bytes) -> Timeout:
    """The time-out that `encoded` is."""
    reader = Reader(encoded)
    timeout = read_timeout(reader)
    reader.end()
    return timeout


def new_block(
    *,
    epoch: Epoch,
    round_: Round,
    height: Height,
    proposer: MemberIndex,
    time_ms: int,
    justify: QC,
    tc: TC | None,
    batches: tuple[BatchRef, ...],
    control: tuple[bytes, ...],
    head: LogHead,
    state_hash: bytes,
) -> Block:
    """A block with its bytes and id."""
    writer = Writer()
    writer.fixed(_BLOCK_HEAD.pack(BLOCK_VERSION, epoch, round_, height, proposer, time_ms))
    write_certificates(writer, justify, tc)
    writer.u16(len(batches)).fixed(b"".join(map(encode_ref, batches)))
    writer.u16(len(control))
    for entry in control:
        writer.bytes32(entry)
    encoded = writer.u64(head.size).digest(head.root).digest(state_hash).done()
    return Block(
        epoch=epoch,
        round=round_,
        height=height,
        proposer=proposer,
        time_ms=time_ms,
        justify=justify,
        tc=tc,
        batches=batches,
        control=control,
        head=head,
        state_hash=state_hash,
        encoded=encoded,
        id=BlockId(sha256(encoded).digest()),
    )


def decode_block(encoded: bytes) -> Block:
    """The block that `encoded` is."""
    if len(encoded) > BLOCK_BYTES_MAX:
        raise MalformedError(f"a block of {len(encoded)} bytes, at most {BLOCK_BYTES_MAX}")
    reader = Reader(encoded)
    version, epoch, round_, height, proposer, time_ms = _BLOCK_HEAD.unpack(
        reader.fixed(_BLOCK_HEAD.size)
    )
    if version != BLOCK_VERSION:
        raise MalformedError(f"block version {version}, not {BLOCK_VERSION}")
    justify, tc = read_certificates(reader)
    batches = read_refs(reader, _limited(reader.u16(), REFS_MAX, "batches"))
    count = _limited(reader.u16(), CONTROL_MAX, "control entries")
    control = tuple(reader.bytes32(size_max=CONTROL_BYTES_MAX) for _ in range(count))
    size, root, state_hash = _BLOCK_TAIL.unpack(reader.fixed(_BLOCK_TAIL.size))
    reader.end()
    return Block(
        epoch=Epoch(epoch),
        round=Round(round_),
        height=Height(height),
        proposer=MemberIndex(proposer),
        time_ms=time_ms,
        justify=justify,
        tc=tc,
        batches=batches,
        control=control,
        head=LogHead(size, root),
        state_hash=state_hash,
        encoded=encoded,
        id=BlockId(sha256(encoded).digest()),
    )


def encode_ref(ref: BatchRef) -> bytes:
    """The reference's 60 bytes."""
    return _REF.pack(
        ref.validator, ref.incarnation, ref.sequence, ref.digest, ref.count, ref.size_bytes
    )


def read_refs(reader: Reader, count: int) -> tuple[BatchRef, ...]:
    """Take `count` batch references off `reader`."""
    rows = _REF.iter_unpack(reader.fixed(count * _REF.size))
    return tuple(
        [
            BatchRef(
                ValidatorNumber(validator),
                incarnation,
                sequence,
                BatchDigest(digest),
                records,
                size,
            )
            for validator, incarnation, sequence, digest, records, size in rows
        ]
    )


def encode_proof(proof: CommitProof) -> bytes:
    """The proof's bytes, as stored and as given to ledgers."""
    return Writer().bytes32(proof.child.encoded).fixed(proof.child_qc.encoded).done()


def read_proof(reader: Reader) -> CommitProof:
    """Take a commit proof off `reader`."""
    child = decode_block(reader.bytes32(size_max=BLOCK_BYTES_MAX))
    return CommitProof(child, read_qc(reader))


def decode_proof(encoded: bytes) -> CommitProof:
    """The commit proof that `encoded` is."""
    reader = Reader(encoded)
    proof = read_proof(reader)
    reader.end()
    return proof


def read_certificates(reader: Reader) -> tuple[QC, TC | None]:
    """Take a QC and, if the byte behind it says so, a TC off `reader`."""
    qc = read_qc(reader)
    has_tc = reader.u8()
    if has_tc > 1:
        raise MalformedError(f"has_tc is {has_tc}, not 0 or 1")
    return qc, read_tc(reader) if has_tc else None


def write_certificates(writer: Writer, qc: QC, tc: TC | None) -> None:
    """Write what `read_certificates` reads."""
    writer.fixed(qc.encoded).u8(tc is not None)
    if tc is not None:
        writer.fixed(tc.encoded)


def _read_claim(reader: Reader) -> TimeoutClaim:
    voter, high_qc_round, size = _CLAIM_HEAD.unpack(reader.fixed(_CLAIM_HEAD.size))
    fast_vote, signature = _read_fast_vote(reader, size), reader.fixed(SIGNATURE_BYTES)
    return TimeoutClaim(MemberIndex(voter), Round(high_qc_round), fast_vote, signature)


def _read_fast_vote(reader: Reader, size: int) -> bytes:
    return reader.fixed(_limited(size, FAST_VOTE_BYTES_MAX, "bytes of fast_vote"))


def _limited(count: int, count_max: int, what: str) -> int:
    if count > count_max:
        raise MalformedError(f"{count} {what}, at most {count_max} are allowed")
    return count


def _require_ascending(voters: list[MemberIndex], what: str) -> None:
    if voters != sorted(set(voters)):
        raise MalformedError(f"signers of a {what} do not ascend: {voters}")
