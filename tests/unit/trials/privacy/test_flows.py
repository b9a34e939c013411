"""Packets become streams again, and what lies in them is judged."""

import socket
import struct
import threading

import pytest

from heptad.trials.privacy.canaries import Canaries
from heptad.trials.privacy.capture import Capture, segment_in
from heptad.trials.privacy.flows import Ends, Flows, Segment
from heptad.trials.privacy.searching import Searcher

CANARIES = Canaries.fresh()
TEXT = CANARIES.text("payload").encode()
ENDS = Ends(("127.0.0.1", 40_000), ("127.0.0.1", 7_731))
PLACES = {7_731: "replica-1 grpc"}


@pytest.fixture
def flows():
    return Flows(Searcher(CANARIES.needles()), PLACES)


def record(size, kind=23):
    return bytes((kind, 3, 3)) + size.to_bytes(2, "big") + b"\xaa" * size


def spoken(flows, *pieces, begins=True, start=1_000, ends=ENDS):
    """A stream in these segments."""
    if begins:
        flows.take(Segment(ends, start, True, b""))
    at = start + 1
    for piece in pieces:
        flows.take(Segment(ends, at % 2**32, False, piece))
        at += len(piece)
    return [flow for found, flow in flows.seen if found == ends][-1]


@pytest.mark.parametrize("cut", range(1, len(TEXT)))
def test_a_canary_in_two_packets_is_found_once(flows, cut):
    flow = spoken(flows, b"x" * 300 + TEXT[:cut], TEXT[cut:], b"y" * 300)

    assert [(found.what, found.offset) for found in flow.found] == [("mark", 300)]
    assert flow.found[0].place == "replica-1 grpc, connection 40000→7731"


def test_a_stream_of_records_has_no_stray_byte_however_it_is_cut(flows):
    stream = record(500, 22) + record(1, 20) + record(16_000) + record(30, 21)

    for size in (1, 3, 7, 1_000, len(stream)):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        flow = spoken(flows, *pieces)
        assert (flow.stray, flow.records, flow.bytes_seen) == (0, 4, len(stream))


@pytest.mark.parametrize("strange", [b"GET / HTTP/1.1\r\n\r\n", b"\x17\3\3\xff\xff" + b"x" * 9])
def test_what_is_no_record_is_stray_and_so_is_all_behind_it(flows, strange):
    flow = spoken(flows, record(50), strange, record(50))

    assert flow.stray >= len(record(50)) + 5


def test_a_segment_that_comes_again_counts_once(flows):
    flow = spoken(flows, record(100))
    flows.take(Segment(ENDS, 1_001, False, record(100)))
    flows.take(Segment(ENDS, 1_001 + 50, False, record(100)[50:] + record(20)))

    assert (flow.bytes_seen, flow.records, flow.stray, flow.gaps) == (130, 2, 0, 0)


def test_a_missing_segment_is_a_gap(flows):
    flow = spoken(flows, record(100))
    flows.take(Segment(ENDS, 1_001 + 105 + 7, False, record(20)))

    assert flow.gaps == 1


def test_sequence_numbers_begin_again_at_zero(flows):
    flow = spoken(flows, record(100), record(100), start=2**32 - 50)

    assert (flow.bytes_seen, flow.gaps, flow.stray) == (210, 0, 0)


def test_a_connection_that_is_older_than_the_capture_is_searched_and_not_walked(flows):
    flow = spoken(flows, b"in the middle of a record" + TEXT, begins=False)

    assert (flow.seen_from_start, flow.stray) == (False, 0)
    assert flow.found


def test_a_port_that_is_used_again_is_another_connection(flows):
    spoken(flows, record(10))
    spoken(flows, b"plain text", start=77)

    assert [flow.stray > 0 for _, flow in flows.seen] == [False, True]


def test_connections_of_others_are_passed_over(flows):
    flows.take(Segment(Ends(("127.0.0.1", 1), ("127.0.0.1", 2)), 5, False, TEXT))

    assert flows.seen == []


def test_connections_beyond_the_limit_are_counted(flows, monkeypatch):
    monkeypatch.setattr("heptad.trials.privacy.flows.FLOWS_MAX", 1)
    spoken(flows, b"")
    flows.take(Segment(ENDS.back(), 1, True, b""))

    assert flows.left_out == 1


def frame(payload, *, padding=b"", flags=0x18):
    tcp = struct.pack(">HHIIBBHHH", 40_000, 7_731, 99, 0, 5 << 4, flags, 0, 0, 0)
    length = 20 + len(tcp) + len(payload)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 6, 0, *[b"\x7f\0\0\1"] * 2)
    return bytes(12) + b"\x08\0" + ip + tcp + payload + padding


def test_a_frame_gives_its_segment_without_padding():
    segment = segment_in(frame(b"abc", padding=b"\0" * 9))

    assert segment == Segment(ENDS, 99, False, b"abc")
    assert segment_in(frame(b"", flags=2)).begins


def test_what_is_no_tcp_or_is_cut_off_gives_nothing():
    whole = frame(b"")

    assert segment_in(whole[:23] + b"\x11" + whole[24:]) is None
    assert segment_in(whole[:40]) is None
    assert segment_in(bytes(12) + b"\x08\x06" + bytes(40)) is None


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_what_is_said_on_loopback_is_heard(family):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no such address")
    port = listener.getsockname()[1]
    flows = Flows(Searcher(CANARIES.needles()), {port: "here"})
    try:
        capture = Capture(flows, [port])
    except PermissionError:
        pytest.skip("packets may not be captured here")

    with capture, listener:
        threading.Thread(target=_say, args=(host, port), daemon=True).start()
        hearer, _ = listener.accept()
        with hearer:
            while hearer.recv(4_096):
                continue

    said = [flow for ends, flow in flows.seen if ends.target[1] == port]
    assert capture.dropped == 0
    assert [(flow.seen_from_start, bool(flow.found)) for flow in said] == [(True, True)]


def _say(host, port):
    with socket.create_connection((host, port)) as speaker:
        speaker.sendall(b"x" * 100_000 + TEXT)
