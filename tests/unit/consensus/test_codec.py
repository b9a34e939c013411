"""Objects and bytes go one to one; whatever is not an object is refused."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.consensus.codec import (
    decode_block,
    decode_proof,
    decode_qc,
    decode_tc,
    decode_timeout,
    encode_proof,
    encode_ref,
    new_block,
    new_qc,
    new_timeout,
)
from heptad.consensus.evidence import of_votes
from heptad.consensus.messages import (
    Accusation,
    BatchesReply,
    BatchOffer,
    BlocksReply,
    Certificates,
    ChainReply,
    Deposition,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    Proposal,
    SnapshotReply,
    decode_message,
    encode_message,
)
from heptad.consensus.objects import BatchRef, CommitProof, LogHead
from heptad.model.canonical import MalformedError
from heptad.model.ids import Epoch, Height, MemberIndex, Round


@pytest.fixture
def idle(make_world):
    return make_world()


def all_messages(idle):
    """One message of every kind, with every optional part."""
    batch = idle.batch()
    one, two, five = (each.block for each in idle.chain([1, 2, 5], batches=[[batch]]))
    qc, tc = idle.qc(2, two.id), five.tc
    proof = CommitProof(two, qc)
    claim = idle.claim(3, 5, 2)
    timeout = new_timeout(
        epoch=Epoch(1),
        round_=Round(5),
        high_qc=qc,
        tc=tc,
        fast_vote=b"",
        voter=MemberIndex(3),
        signature=claim.signature,
    )
    return [
        Proposal(one, bytes(64)),
        Proposal(five, bytes(64)),
        idle.vote(2, 1, one.id),
        timeout,
        Certificates(qc, None),
        Certificates(qc, tc),
        BatchOffer(one.batches),
        FetchBlocks(one.id, Height(7)),
        BlocksReply((five, two, one)),
        FetchBatches((batch.digest,)),
        BatchesReply((b"one", b"two")),
        Accusation(
            of_votes(*(idle.vote(2, 1, each.id) for each in (one, two)), origin=idle.cell.origin)
        ),
        Deposition(idle.vote(2, 1, one.id)),
        FetchChain(Height(9), 4),
        ChainReply((one, two), proof),
        SnapshotReply(4, b"state", proof, (bytes(32), b"h" * 32)),
    ]


def test_every_message_decodes_to_itself(idle):
    for message in all_messages(idle):
        assert decode_message(encode_message(message)) == message


def test_every_object_decodes_to_itself_with_the_bytes_it_had(idle):
    *_, timeout = all_messages(idle)[:4]
    assert decode_timeout(timeout.encoded).encoded == timeout.encoded
    assert decode_tc(timeout.tc.encoded) == timeout.tc
    assert decode_qc(timeout.high_qc.encoded) == timeout.high_qc
    (_one, two) = idle.chain([1, 2])
    proof = CommitProof(two.block, idle.qc(2, two.block.id))
    assert decode_proof(encode_proof(proof)) == proof


def test_a_truncated_message_is_refused_at_every_length(idle):
    for message in all_messages(idle):
        encoded = encode_message(message)
        for size in range(0, len(encoded), max(1, len(encoded) // 60)):
            with pytest.raises(MalformedError):
                decode_message(encoded[:size])


def test_trailing_bytes_are_refused(idle):
    for message in all_messages(idle):
        with pytest.raises(MalformedError):
            decode_message(encode_message(message) + b"\0")


def test_an_object_ends_where_its_last_field_does(idle):
    """Bytes behind it would be hashed and mean nothing: one block under many ids."""
    *_, timeout = all_messages(idle)[:4]
    _one, two = idle.chain([1, 2])
    proof = CommitProof(two.block, idle.qc(2, two.block.id))
    for decode, encoded in (
        (decode_block, two.block.encoded),
        (decode_qc, timeout.high_qc.encoded),
        (decode_tc, timeout.tc.encoded),
        (decode_timeout, timeout.encoded),
        (decode_proof, encode_proof(proof)),
    ):
        assert decode(encoded)
        with pytest.raises(MalformedError):
            decode(encoded + b"\0")


@pytest.fixture(scope="module")
def messages(make_world):
    return all_messages(make_world())


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_garbage_is_refused_and_never_crashes(garbage):
    try:
        message = decode_message(garbage)
    except MalformedError:
        return
    assert encode_message(message) == garbage


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_byte_is_refused_or_makes_another_message(messages, data):
    encoded = bytearray(encode_message(data.draw(st.sampled_from(messages))))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] = (encoded[at] + data.draw(st.integers(1, 255))) % 256
    try:
        message = decode_message(bytes(encoded))
    except MalformedError:
        return
    assert encode_message(message) == bytes(encoded)


def test_a_block_id_is_the_hash_of_the_bytes_that_arrived(idle):
    (one,) = idle.chain([1])
    assert decode_block(one.block.encoded).id == sha256(one.block.encoded).digest()


def test_the_header_has_the_layout_that_is_documented():
    qc = new_qc(
        epoch=Epoch(1), round_=Round(2), block_id=b"q" * 32, votes={MemberIndex(6): b"s" * 64}
    )
    ref = BatchRef(3, 4, 5, b"d" * 32, 6, 7)
    block = new_block(
        epoch=Epoch(1),
        round_=Round(3),
        height=Height(9),
        proposer=MemberIndex(2),
        time_ms=1000,
        justify=qc,
        tc=None,
        batches=(ref,),
        control=(b"ctl",),
        head=LogHead(10, b"r" * 32),
        state_hash=b"h" * 32,
    )
    u64 = lambda value: value.to_bytes(8, "big")  # noqa: E731
    encoded_qc = u64(1) + u64(2) + b"q" * 32 + b"\x01\x06" + b"s" * 64
    encoded_ref = b"\0\0\0\x03" + u64(4) + u64(5) + b"d" * 32 + b"\0\0\0\x06\0\0\0\x07"
    assert encode_ref(ref) == encoded_ref
    assert block.encoded == (
        b"\x01" + u64(1) + u64(3) + u64(9) + b"\x02" + u64(1000)
        + encoded_qc + b"\0"
        + b"\0\x01" + encoded_ref
        + b"\0\x01" + b"\0\0\0\x03ctl"
        + u64(10) + b"r" * 32 + b"h" * 32
    )  # fmt: skip


def test_an_unknown_version_or_kind_is_refused(idle):
    (one,) = idle.chain([1])
    with pytest.raises(MalformedError, match="block version 2"):
        decode_block(b"\x02" + one.block.encoded[1:])
    with pytest.raises(MalformedError, match="message kind 200"):
        decode_message(b"\xc8")


def test_signers_must_ascend_so_a_set_of_votes_has_one_encoding(idle):
    encoded = idle.qc(3, b"b" * 32).encoded
    head, first, second, rest = encoded[:49], encoded[49:114], encoded[114:179], encoded[179:]
    assert decode_qc(head + first + second + rest)
    for votes in (second + first, first + first):
        with pytest.raises(MalformedError, match="do not ascend"):
            decode_qc(head + votes + rest)


def test_claims_must_ascend_so_a_set_of_time_outs_has_one_encoding(idle):
    encoded = idle.tc(5, dict.fromkeys(range(5), 0), idle.genesis()[1]).encoded
    head, first, second, rest = encoded[:17], encoded[17:92], encoded[92:167], encoded[167:]
    assert decode_tc(head + first + second + rest)
    for claims in (second + first, first + first):
        with pytest.raises(MalformedError, match="signers of a TC do not ascend"):
            decode_tc(head + claims + rest)


def test_a_flag_other_than_0_or_1_is_refused(idle):
    encoded = encode_message(Certificates(idle.qc(3, b"b" * 32), None))
    with pytest.raises(MalformedError, match="has_tc is 2"):
        decode_message(encoded[:-1] + b"\x02")
