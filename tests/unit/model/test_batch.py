import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.model.batch import (
    BATCH_BYTES_MAX,
    RECORDS_MAX,
    SEALED_RECORD_BYTES_MAX,
    batch_signing_bytes,
    decode_batch,
    decode_header,
    encode_batch,
    join_leaves,
    signed,
    split_leaves,
    split_sealed,
    unsigned_batch,
)
from heptad.model.canonical import MalformedError
from heptad.model.ids import ValidatorNumber

SIGNATURE = bytes(range(64))


def make_batch(records):
    batch = unsigned_batch(
        validator=ValidatorNumber(3), incarnation=7, sequence=9, created_ms=1234, records=records
    )
    return signed(batch, SIGNATURE)


RECORDS = st.lists(st.tuples(st.binary(max_size=80), st.binary(max_size=80)), max_size=20)


@given(RECORDS)
def test_a_batch_decodes_to_what_was_packed(records):
    batch = make_batch(records)

    decoded = decode_batch(encode_batch(batch))

    assert decode_header(encode_batch(batch)) == batch.header
    assert decode_header(encode_batch(batch.pruned())) == batch.header

    assert decoded == batch
    assert list(decoded.entries()) == [entry for entry, _ in records]
    assert decoded.sealed_records() == [sealed for _, sealed in records]
    assert (decoded.header.validator, decoded.header.sequence) == (3, 9)


def test_the_encoding_is_the_one_that_validators_and_ledgers_rely_on():
    batch = make_batch([(b"one", b"A"), (b"two", b"BB")])
    assert encode_batch(batch).hex() == (
        "00000021" "0000000a" "0000000b"
        "01" "00000003" "0000000000000007" "0000000000000009" "00000002" "00000000000004d2"
        "00036f6e65" "000374776f"
        "00000001" "00000002" "41" "4242"
        + SIGNATURE.hex()
    )  # fmt: skip
    assert batch.digest.hex() == (
        "0b62653aae2167083108f95f40bb312710bd217e6a701296edfbdb4ecdf842f9"
    )
    assert batch_signing_bytes(origin="cell/1", digest=batch.digest) == (
        b"heptad/v1/batch\0\x00\x06cell/1" + batch.digest
    )


def test_a_batch_without_records_is_legal_because_it_fences_an_incarnation():
    assert decode_batch(encode_batch(make_batch([]))).header.count == 0


def test_a_pruned_batch_keeps_digest_and_entries_and_loses_its_sealed_half():
    batch = make_batch([(b"entry", b"secret")])

    pruned = decode_batch(encode_batch(batch.pruned()))

    assert pruned.digest == batch.digest
    assert pruned.entries() == batch.entries()
    assert b"secret" not in encode_batch(batch.pruned())
    with pytest.raises(MalformedError, match="pruned"):
        pruned.sealed_records()


@settings(max_examples=60)
@given(st.data())
def test_a_changed_bit_is_refused_or_changes_digest_or_signature(data):
    batch = make_batch([(b"entry one", b"sealed"), (b"two", b"")])
    encoded = bytearray(encode_batch(batch))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decoded = decode_batch(bytes(encoded))
    except MalformedError:
        return
    assert (decoded.digest, decoded.signature) != (batch.digest, batch.signature)


@given(st.binary(max_size=400))
def test_garbage_is_refused_and_never_crashes(garbage):
    with pytest.raises(MalformedError):
        decode_batch(garbage)


def test_a_header_is_read_only_off_a_batch_of_the_length_that_it_announces():
    encoded = encode_batch(make_batch([(b"one", b"A")]))

    for broken in (b"", encoded[:-1], encoded + b"x", bytes(12) + encoded[12:]):
        with pytest.raises(MalformedError):
            decode_header(broken)


def test_framing_must_fit_the_count_exactly():
    leaves = join_leaves([b"a", b"b"])
    assert split_leaves(leaves, 2) == [b"a", b"b"]
    for count in (1, 3):
        with pytest.raises(MalformedError):
            split_leaves(leaves, count)
    with pytest.raises(MalformedError):
        split_leaves(leaves[:-1], 2)
    with pytest.raises(MalformedError):
        split_sealed(b"\x00\x00\x00\x05abcd", 1)


@pytest.mark.parametrize(
    "records",
    [
        [(b"", b"")] * (RECORDS_MAX + 1),
        [(bytes(65_536), b"")],
        [(b"", bytes(SEALED_RECORD_BYTES_MAX + 1))],
        [(bytes(60_000), b"")] * (BATCH_BYTES_MAX // 60_000 + 1),
    ],
    ids=["count", "entry", "sealed", "whole"],
)
def test_each_limit_of_the_format_holds(records):
    with pytest.raises(MalformedError):
        make_batch(records)


def test_limits_hold_for_those_who_did_not_use_our_encoder():
    encoded = encode_batch(make_batch([(b"e", b"s")]))
    too_long = encoded[:8] + (SEALED_RECORD_BYTES_MAX + 5).to_bytes(4, "big") + encoded[12:-65]
    sealed = (SEALED_RECORD_BYTES_MAX + 1).to_bytes(4, "big") + bytes(SEALED_RECORD_BYTES_MAX + 1)
    with pytest.raises(MalformedError, match="sealed record"):
        decode_batch(too_long[:-4] + sealed + SIGNATURE)
    with pytest.raises(MalformedError, match="is not in"):
        decode_batch(bytes(BATCH_BYTES_MAX + 1))
