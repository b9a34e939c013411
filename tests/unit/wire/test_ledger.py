"""What a ledger is asked and answers survives the wire unchanged; garbage is a refusal."""

import pytest

from heptad.model.answers import RequestState
from heptad.model.log_reads import (
    BundleMembership,
    ConsistencyProof,
    InclusionProof,
    LedgerStatus,
    PublishedCheckpoint,
    RequestReceipt,
    RequestStatus,
)
from heptad.model.problems import Problem
from heptad.wire.convert import ledger

ROOT = b"\x07" * 32
STATUS = LedgerStatus(
    ledger=1,
    height=9,
    size=800,
    root=ROOT,
    checkpoint_size=700,
    replicas_connected=6,
    subjects=4,
    duplicates=2,
    applied_time_ms=1_700_000_000_000,
)


@pytest.mark.parametrize(
    ("encode", "decode", "value"),
    [
        (ledger.encode_checkpoint, ledger.decode_checkpoint, PublishedCheckpoint(b"note", 7)),
        (ledger.encode_inclusion, ledger.decode_inclusion, InclusionProof(3, 9, (ROOT, ROOT))),
        (ledger.encode_consistency, ledger.decode_consistency, ConsistencyProof(3, 9, (ROOT,))),
        (ledger.encode_receipt, ledger.decode_receipt, RequestReceipt(b"entry", b"proof", 4)),
        (
            ledger.encode_receipt,
            ledger.decode_receipt,
            RequestReceipt(b"e", b"p", 4, BundleMembership(2, b"b", (ROOT,), (ROOT, ROOT))),
        ),
        (
            ledger.encode_request_status,
            ledger.decode_request_status,
            RequestStatus(RequestState.COMMITTED, 4, b"entry", True, 1_700_000_000_000),
        ),
        (ledger.encode_tile, ledger.decode_tile, ROOT * 3),
        (ledger.encode_status, ledger.decode_status, STATUS),
        (ledger.encode_checkpoint_call, ledger.decode_checkpoint_call, 2**40),
        (ledger.encode_entry_call, ledger.decode_entry_call, 2**40),
        (ledger.encode_request_status_call, ledger.decode_request_status_call, ROOT),
        (ledger.encode_tile_call, ledger.decode_tile_call, "tile/0/x001/234"),
    ],
)
def test_a_value_comes_back_as_it_went(encode, decode, value):
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("encode", "decode"),
    [
        (ledger.encode_inclusion_call, ledger.decode_inclusion_call),
        (ledger.encode_consistency_call, ledger.decode_consistency_call),
    ],
)
def test_two_numbers_of_a_question_keep_their_order(encode, decode):
    assert decode(encode(5, 9)) == (5, 9)


@pytest.mark.parametrize("event", [None, 0, 998])
def test_a_receipt_is_asked_for_a_request_or_for_an_event(event):
    assert ledger.decode_receipt_call(ledger.encode_receipt_call(ROOT, event)) == (ROOT, event)


def test_an_entry_comes_back_with_its_index():
    assert ledger.decode_entry(ledger.encode_entry(6, b"leaf")) == (6, b"leaf")


def test_garbage_is_refused_with_a_stable_code():
    with pytest.raises(Problem) as caught:
        ledger.decode_tile_call(b"\xff\xff")
    assert caught.value.code == "frame_malformed"


def test_a_request_state_that_nobody_knows_is_refused():
    with pytest.raises(Problem) as caught:
        ledger.decode_request_status(b"\x08\x63")
    assert caught.value.code == "frame_malformed"
