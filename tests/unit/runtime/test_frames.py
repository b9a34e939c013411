"""Hot streams carry protobuf messages that no protobuf object ever sees."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heptad.model.problems import Problem
from heptad.runtime.frames import frame_from_wire, frame_to_wire
from heptad.wire.replica.v1.replica_pb2 import PeerStreamRequest


@given(st.binary(max_size=400))
@example(b"")
@example(b"x" * 127)
@example(b"x" * 128)
@example(b"x" * 16_383)
@example(b"x" * 16_384)
@example(b"x" * (1 << 21))
def test_frames_are_what_protobuf_writes_and_reads(body: bytes) -> None:
    wire = frame_to_wire(body)
    assert wire == PeerStreamRequest(body=body).SerializeToString()
    assert frame_from_wire(wire) == body


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\x12\x01a", "field 1"),
        (b"\x0a", "does not end"),
        (b"\x0a\x80", "does not end"),
        (b"\x0a\xff\xff\xff\xff\xff\x01a", "does not end"),
        (b"\x0a\x81\x00a", "shortest form"),
        (b"\x0a\x00", "shortest form"),
        (b"\x0a\x02a", "announces 2 bytes and has 1"),
        (b"\x0a\x01ab", "announces 1 bytes and has 2"),
        (b"\x0a\x01a\x0a\x01b", "announces 1 bytes and has 4"),
    ],
)
def test_what_frame_to_wire_would_not_write_is_refused(wire: bytes, reason: str) -> None:
    with pytest.raises(Problem, match=reason) as caught:
        frame_from_wire(wire)
    assert caught.value.code == "frame_malformed"


@given(st.binary(max_size=12))
def test_any_bytes_are_read_in_one_way_or_refused(wire: bytes) -> None:
    try:
        body = frame_from_wire(wire)
    except Problem:
        return
    assert frame_to_wire(body) == wire
