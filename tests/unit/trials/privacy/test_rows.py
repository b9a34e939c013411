"""What packets, processes and doors say becomes a row, and what was not seen never holds."""

import asyncio
import os
import socket
from types import SimpleNamespace

import pytest

from heptad.runtime.handshake import Agreed
from heptad.trials.privacy import packet_rows, place_rows, process_control
from heptad.trials.privacy.canaries import Canaries
from heptad.trials.privacy.doors import REFUSED, CannotKnockError
from heptad.trials.privacy.flows import Ends, Flows, Segment
from heptad.trials.privacy.listeners import Listeners
from heptad.trials.privacy.open_door import lets_in, open_doors
from heptad.trials.privacy.processes import (
    clients_of,
    files_elsewhere,
    strange_connections,
    words_of,
)
from heptad.trials.privacy.report import Outcome
from heptad.trials.privacy.searching import Searcher
from heptad.trials.privacy.ways import Refusal

CANARIES = Canaries.fresh()
TEXT = CANARIES.text("x").encode()
LISTENERS = Listeners(
    {
        "replica-1 grpc": "127.0.0.1:7731",
        "replica-1 metrics": "127.0.0.1:7831",
        "gateway-1 http": "127.0.0.1:7700",
    }
)
RECORD = b"\x17\3\3\0\5hello"


def hello(group=0x11EC, version=b"\3\4"):
    share = b"\0\x33\0\4" + group.to_bytes(2, "big") + b"\0\0"
    extensions = share + b"\0\x2b\0\2" + version
    body = b"\3\3" + bytes(32) + b"\0\x13\1\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\2" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\3" + len(message).to_bytes(2, "big") + message


class Wire:
    """A capture in which things are said to ports and back."""

    def __init__(self):
        self.control = packet_rows.Control(CANARIES)
        places = {**LISTENERS.places, self.control.port: "control"}
        self.flows = Flows(Searcher(CANARIES.needles()), places)
        self.capture = SimpleNamespace(dropped=0)
        self.clients = {}
        self._port = 40_000

    def say(self, port, there=b"", back=b"", *, begins=True):
        self._port += 1
        ends = Ends(("127.0.0.1", self._port), ("127.0.0.1", port))
        for way, said in ((ends, there), (ends.back(), back)):
            if begins:
                self.flows.take(Segment(way, 0, True, b""))
            self.flows.take(Segment(way, 1, False, said))
        return self._port

    def rows(self):
        rows, self.links = packet_rows.judge(
            self.flows, self.capture, LISTENERS, self.clients, self.control
        )
        return {row.place: row for row in rows}


@pytest.fixture
def wire():
    wire = Wire()
    for needle in CANARIES.needles():
        wire.say(wire.control.port, needle.data)
    return wire


def test_a_clean_wire_holds(wire):
    client = wire.say(7731, RECORD, hello())
    wire.clients[client, 7731] = "ledger-1"
    rows = wire.rows()

    assert {row.outcome for row in rows.values()} == {Outcome.HOLDS, Outcome.BY_DESIGN}
    assert rows["packets between services"].detail.startswith("4 packets")
    (link,) = wire.links
    assert (link.client, link.server, link.version) == ("ledger-1", "replica-1", "TLS 1.3")
    assert (link.group, link.is_quantum_safe, link.seen) == ("X25519MLKEM768", True, "on the wire")


def test_a_canary_between_services_breaks_it_even_within_a_record(wire):
    wire.say(7731, b"\x17\3\3" + len(TEXT).to_bytes(2, "big") + TEXT, hello())

    assert wire.rows()["packets between services"].outcome is Outcome.BROKEN


def test_bytes_in_no_record_break_it_even_without_a_canary(wire):
    wire.say(7731, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", hello())

    row = wire.rows()["packets between services"]
    assert row.outcome is Outcome.BROKEN
    assert "outside of TLS records" in row.findings[0]


@pytest.mark.parametrize("hole", ["dropped", "gap", "nothing"])
def test_what_was_missed_is_not_checked(wire, hole):
    if hole != "nothing":
        wire.say(7731, RECORD, hello())
    if hole == "dropped":
        wire.capture.dropped = 1
    if hole == "gap":
        ends = wire.flows.seen[-2][0]
        wire.flows.take(Segment(ends, 999, False, RECORD))

    assert wire.rows()["packets between services"].outcome is Outcome.NOT_CHECKED


def test_without_a_capture_packets_are_not_checked():
    control = packet_rows.Control(CANARIES)

    (row,), links = packet_rows.judge(None, "not permitted", LISTENERS, {}, control)

    assert (row.outcome, row.detail, links) == (Outcome.NOT_CHECKED, "not permitted", [])


def test_a_control_that_was_not_heard_breaks_the_check():
    wire = Wire()
    wire.say(7731, RECORD, hello())

    assert wire.rows()["packets"].outcome is Outcome.BROKEN


def test_metrics_may_be_plain_and_hold_no_canary(wire):
    wire.say(7731, RECORD, hello())
    wire.say(7831, b"GET /metrics", b'x{subject="' + TEXT + b'"} 1')

    assert wire.rows()["packets of metrics"].outcome is Outcome.BROKEN


@pytest.mark.parametrize(("group", "version"), [(0x1D, b"\3\4"), (0x11EC, b"\3\3")])
def test_a_link_that_is_not_quantum_safe_breaks_the_check(wire, group, version):
    wire.say(7731, RECORD, hello(group, version))

    row = wire.rows()["links"]
    assert row.outcome is Outcome.BROKEN
    assert not Agreed(int.from_bytes(version, "big"), 0x1301, group).is_quantum_safe


def test_links_that_are_older_than_the_capture_are_counted(wire):
    wire.say(7731, RECORD, hello())
    wire.say(7731, RECORD, RECORD, begins=False)

    assert "1 connections are older" in wire.rows()["links"].detail


def test_no_handshake_at_all_is_not_checked(wire):
    wire.say(7731, RECORD, RECORD, begins=False)

    assert wire.rows()["links"].outcome is Outcome.NOT_CHECKED


# Processes: this one.


@pytest.fixture
def connection():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        server, _ = listener.accept()
        with server:
            yield client.getsockname()[1], listener.getsockname()[1]


ME = {"me": os.getpid()}


def test_who_is_at_the_other_end_is_told_by_both_ports(connection):
    client, port = connection

    assert clients_of({port: "here"}, ME)[client, port] == "me"
    assert (client, port) not in clients_of({port + 1: "elsewhere"}, ME)


def test_a_connection_with_a_strange_port_is_named(connection):
    _, port = connection

    _, strange = strange_connections({port: "here"}, ME)
    assert ("me", port) not in strange

    _, strange = strange_connections({}, ME)
    assert ("me", port) in strange


def test_a_file_that_is_open_and_deleted_is_searched(tmp_path):
    path = tmp_path / "gone"
    with path.open("wb") as file:
        file.write(TEXT)
        file.flush()
        path.unlink()
        links = dict(files_elsewhere(ME, tmp_path))
        found = Searcher(CANARIES.needles()).search_file(
            links["a deleted file of me"], place="deleted"
        )
    assert [each.what for each in found] == ["mark"]


def test_a_process_words_are_its_command_line_environment_and_name():
    words = dict(words_of(os.getpid()))

    assert b"pytest" in words["cmdline"] or b"python" in words["cmdline"]
    assert set(words) == {"cmdline", "environ", "comm"}


# Answers and pages.


def test_a_refusal_that_repeats_what_it_was_told_is_named():
    ways = SimpleNamespace(
        refusals=[Refusal("answer 1 (HTTP)", b"fine"), Refusal("answer 2", TEXT)]
    )

    row = place_rows._answers(ways, Searcher(CANARIES.needles()))

    assert row.findings == ("answer 2, byte 0: mark, plain",)


def test_a_page_of_metrics_that_does_not_answer_is_no_clean_one():
    pages = {"/metrics of a": b"process_cpu_seconds_total 1", "/metrics of b": b""}

    row = place_rows._metrics(SimpleNamespace(pages=pages), Searcher(CANARIES.needles()))

    assert row.findings == ("/metrics of b did not answer",)


# Doors.


@pytest.mark.parametrize("knock", REFUSED)
def test_every_knock_gets_in_where_nobody_refuses_it(knock):
    async def story():
        async with open_doors() as (knocker, doors):
            return await lets_in(knocker, doors, knock)

    try:
        assert asyncio.run(story())
    except CannotKnockError:
        pytest.skip("this machine's library speaks no such TLS")


def test_a_process_that_gives_a_canary_away_is_found_in_every_way():
    assert process_control.row(CANARIES).outcome is Outcome.HOLDS


def test_a_search_of_processes_that_finds_nothing_breaks_its_control(monkeypatch):
    monkeypatch.setattr(
        process_control, "words_of", lambda pid: [("cmdline", b""), ("environ", b"")]
    )

    assert process_control.row(CANARIES).findings == ("command line", "environment")
