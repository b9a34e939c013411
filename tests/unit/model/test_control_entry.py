"""The one entry that is written without protobuf has to be what protobuf would write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.control_entry import control_entry
from heptad.model.entry import Entry, Kind, Outcome
from heptad.wire.convert.entry import decode_entry, encode_entry


def by_protobuf(time_ms, statement):
    entry = Entry(
        kind=Kind.MISBEHAVIOUR_EVIDENCE,
        service="",
        action="",
        outcome=Outcome.NONE,
        time_ms=time_ms,
        validator=0,
        commitment=b"",
        statement=statement,
    )
    return entry, encode_entry(entry)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 16_383, 16_384, 40_000])
@pytest.mark.parametrize("time_ms", [0, 1, 127, 128, 1_800_000_000_000, (1 << 64) - 1])
def test_it_is_what_protobuf_writes_and_every_reader_reads_it(size, time_ms):
    entry, expected = by_protobuf(time_ms, b"\xab" * size)
    made = control_entry(Kind.MISBEHAVIOUR_EVIDENCE, time_ms=time_ms, statement=b"\xab" * size)
    assert made == expected
    assert decode_entry(made) == entry


@given(time_ms=st.integers(0, (1 << 64) - 1), statement=st.binary(max_size=600))
def test_the_same_for_any_time_and_statement(time_ms, statement):
    made = control_entry(Kind.MISBEHAVIOUR_EVIDENCE, time_ms=time_ms, statement=statement)
    assert made == by_protobuf(time_ms, statement)[1]


def test_its_bytes_are_these_for_ever():
    made = control_entry(Kind.MISBEHAVIOUR_EVIDENCE, time_ms=300, statement=b"abc")
    assert made.hex() == "0801" + "100e" + "30ac02" + "4a03616263"
