"""The safety record's bytes: one value, written with one synced transaction.

    u8 version (1: a member's, 2: a follower's) ‖ bytes16 origin ‖ u8 member ‖ u64 epoch
    ‖ u64 round_voted ‖ u8 has ‖ [Vote] ‖ u64 round_timed_out ‖ bytes32 Timeout or empty
    ‖ u64 round_proposed ‖ bytes32 header or empty ‖ [Vote] ‖ QC ‖ u8 has ‖ [TC]
    ‖ u8 has ‖ [u64 size ‖ root[32]] ‖ SHA-256 of all before it

Why all fields in one value: a vote that is durable without the high_qc that it depends on is how
replicas fork after a crash. Why the cell, the member and a checksum: a record that belongs to
somebody else, or that a disk has damaged, must never decide what this key may sign.
"""

from hashlib import sha256
from typing import Final

from heptad.consensus.codec import (
    BLOCK_BYTES_MAX,
    decode_timeout,
    encode_vote,
    read_certificates,
    read_vote,
    write_certificates,
)
from heptad.consensus.errors import RecordDamagedError
from heptad.consensus.objects import QC, LogHead, SafetyRecord
from heptad.model.canonical import DIGEST_BYTES, MalformedError, Reader, Writer
from heptad.model.ids import Epoch, MemberIndex, Round

_MEMBER: Final = 1
FOLLOWER: Final = 2


def first_record(epoch: Epoch, genesis_qc: QC, *, is_follower: bool = False) -> SafetyRecord:
    """The record of a member that has never signed anything, or must never sign again."""
    return SafetyRecord(epoch=epoch, high_qc=genesis_qc, is_follower=is_follower)


def encode_record(record: SafetyRecord, *, origin: str, member: MemberIndex) -> bytes:
    """The record's bytes."""
    writer = Writer().u8(FOLLOWER if record.is_follower else _MEMBER)
    writer.bytes16(origin.encode("utf-8")).u8(member).u64(record.epoch)
    writer.u64(record.round_voted).u8(record.vote is not None)
    if record.vote is not None:
        writer.fixed(encode_vote(record.vote))
    writer.u64(record.round_timed_out)
    writer.bytes32(record.timeout.encoded if record.timeout is not None else b"")
    writer.u64(record.round_proposed)
    header, vote = record.proposal or (b"", None)
    writer.bytes32(header)
    if vote is not None:
        writer.fixed(encode_vote(vote))
    write_certificates(writer, record.high_qc, record.highest_tc)
    writer.u8(record.cosigned is not None)
    if record.cosigned is not None:
        writer.u64(record.cosigned.size).digest(record.cosigned.root)
    body = writer.done()
    return body + sha256(body).digest()


def decode_record(encoded: bytes, *, origin: str, member: MemberIndex) -> SafetyRecord:
    """Read what `encode_record` wrote for the same cell and member. Raises: RecordDamagedError."""
    body, checksum = encoded[:-DIGEST_BYTES], encoded[-DIGEST_BYTES:]
    if sha256(body).digest() != checksum:
        raise RecordDamagedError(f"safety record of {len(encoded)} bytes: its checksum is wrong")
    try:
        return _read(Reader(body), origin, member)
    except MalformedError as broken:
        raise RecordDamagedError(f"safety record: {broken}") from broken


def _read(reader: Reader, origin: str, member: MemberIndex) -> SafetyRecord:
    version, whose, number = reader.u8(), reader.bytes16(), reader.u8()
    if version not in (_MEMBER, FOLLOWER):
        raise RecordDamagedError(f"safety record of version {version}, which is not known")
    if whose != origin.encode("utf-8") or number != member:
        raise RecordDamagedError(
            f"safety record of member {number} of {whose!r}, this is member {member} of {origin!r}"
        )
    epoch = Epoch(reader.u64())
    round_voted = Round(reader.u64())
    vote = read_vote(reader) if reader.u8() else None
    round_timed_out = Round(reader.u64())
    timeout = reader.bytes32(size_max=BLOCK_BYTES_MAX)
    round_proposed = Round(reader.u64())
    header = reader.bytes32(size_max=BLOCK_BYTES_MAX)
    proposal = (header, read_vote(reader)) if header else None
    high_qc, highest_tc = read_certificates(reader)
    cosigned = LogHead(reader.u64(), reader.digest()) if reader.u8() else None
    reader.end()
    return SafetyRecord(
        epoch=epoch,
        round_voted=round_voted,
        vote=vote,
        round_timed_out=round_timed_out,
        timeout=decode_timeout(timeout) if timeout else None,
        round_proposed=round_proposed,
        proposal=proposal,
        high_qc=high_qc,
        highest_tc=highest_tc,
        cosigned=cosigned,
        is_follower=version == FOLLOWER,
    )
