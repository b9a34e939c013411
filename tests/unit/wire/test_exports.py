"""Messages that hand out data: read as they were written, refused by a code where unreadable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.exporting import (
    ExportBegun,
    ExportChunk,
    OfficersExport,
    OpenedReceipt,
    OpenReceipt,
    SubjectsExport,
)
from heptad.model.log_reads import BundleMembership, RequestReceipt
from heptad.model.problems import Problem
from heptad.wire.convert import exports as wire

U64 = st.integers(0, 2**64 - 1)
TEXT = st.text(max_size=20)
CALLS = st.one_of(
    st.builds(SubjectsExport, st.binary(max_size=40)),
    st.builds(OfficersExport, TEXT, TEXT, TEXT, U64),
)
PARTS = st.one_of(
    st.builds(ExportBegun, TEXT, U64, U64), st.builds(ExportChunk, st.binary(max_size=40), U64, U64)
)
OPEN = st.builds(
    OpenReceipt, st.binary(max_size=40), st.binary(max_size=32), st.none() | st.integers(0, 998)
)
BUNDLE = BundleMembership(7, b"entry", (b"i" * 32,), (b"p" * 32,))
DECODERS = [
    wire.decode_export_call,
    wire.decode_export_part,
    wire.decode_open_receipt_call,
    wire.decode_opened_receipt,
]


@given(CALLS)
def test_a_call_for_an_export_is_read_as_it_was_written(call):
    assert wire.decode_export_call(wire.encode_export_call(call)) == call


@given(PARTS)
def test_a_part_of_an_export_is_read_as_it_was_written(part):
    assert wire.decode_export_part(wire.encode_export_part(part)) == part


@given(OPEN)
def test_a_call_for_a_receipt_is_read_as_it_was_written(call):
    assert wire.decode_open_receipt_call(wire.encode_open_receipt_call(call)) == call


@pytest.mark.parametrize("bundle", [None, BUNDLE])
def test_an_opened_receipt_is_read_as_it_was_written(bundle):
    opened = OpenedReceipt(RequestReceipt(b"entry", b"proof", 9, bundle), b"payload", b"w" * 32)
    assert wire.decode_opened_receipt(wire.encode_opened_receipt(opened)) == opened


@pytest.mark.parametrize("decode", [wire.decode_export_call, wire.decode_export_part])
def test_a_message_that_says_nothing_is_refused(decode):
    with pytest.raises(Problem, match="frame_malformed"):
        decode(b"")


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=60))
def test_bytes_that_are_no_message_are_refused_by_a_code_of_the_table(decode, data):
    try:
        decode(data)
    except Problem as problem:
        assert problem.code == "frame_malformed"  # noqa: PT017  or none
