import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.canonical import (
    MalformedError,
    Reader,
    Writer,
    consensus_prefix,
    signing_prefix,
)


@given(st.binary(max_size=300), st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32))
def test_what_a_writer_wrote_a_reader_reads(blob, number, digest):
    encoded = Writer().u64(number).bytes16(blob).digest(digest).bytes32(blob).done()
    reader = Reader(encoded)

    fields = (reader.u64(), reader.bytes16(), reader.digest(), reader.bytes32(size_max=300))
    reader.end()

    assert fields == (number, blob, digest, blob)


def test_a_field_past_the_end_is_refused():
    with pytest.raises(MalformedError, match="8 bytes wanted at 0 of 7"):
        Reader(bytes(7)).u64()


def test_trailing_bytes_are_refused():
    reader = Reader(b"\x01\x02")
    reader.u8()
    with pytest.raises(MalformedError, match="1 bytes too many"):
        reader.end()


def test_a_long_field_over_its_limit_is_refused():
    with pytest.raises(MalformedError, match="a field of 5 bytes, at most 4"):
        Reader(Writer().bytes32(b"12345").done()).bytes32(size_max=4)


def test_an_inner_object_is_given_back_as_it_arrived():
    reader = Reader(b"headINNERtail")
    reader.fixed(4)
    start = reader.position()
    reader.fixed(5)
    assert reader.since(start) == b"INNER"
    assert reader.rest() == b"tail"


def test_kind_origin_and_epoch_each_change_what_is_signed():
    prefixes = {
        consensus_prefix("vote", origin="a", epoch=1),
        consensus_prefix("timeout", origin="a", epoch=1),
        consensus_prefix("vote", origin="b", epoch=1),
        consensus_prefix("vote", origin="a", epoch=2),
        signing_prefix("vote", origin="a"),
    }
    assert len(prefixes) == 5
    assert consensus_prefix("vote", origin="a", epoch=1) == (
        b"heptad/v1/vote\0" + b"\x00\x01a" + bytes(7) + b"\x01"
    )
