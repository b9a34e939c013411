"""Spans leave by a queue that is bounded, and whatever is wrong behind it stays there."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from heptad.observability import span_export
from heptad.observability.logs import EventLog
from heptad.observability.span_export import CollectorSink, FileSink, SpanQueue, rotated
from heptad.observability.trace_files import StoredSpan, in_order, spans_of_trace, traces_of_entry
from heptad.observability.traces import Budget, Tracer, parse_traceparent

PARENT = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


class HeldSink:
    """Takes nothing before it is let go, then raises what it is told to."""

    name = "held"

    def __init__(self, error=None):
        self.go, self.error, self.entered = threading.Event(), error, threading.Event()

    def write(self, encoded):
        self.entered.set()
        self.go.wait(10)
        if self.error is not None:
            raise self.error


class Counted:
    def __init__(self):
        self.fates, self.lines = {}, []

    def count(self, spans, sink, fate):
        self.fates[sink, fate] = self.fates.get((sink, fate), 0) + spans

    def queue(self, sink, **settings):
        log = EventLog(bound={}, write=self.lines.append)
        return SpanQueue(sink, log=log, count=self.count, **settings)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(span_export, "GATHER_S", 0.0)


def tracing(*queues):
    return Tracer(service="ledger-1", processors=queues, budget=Budget(1_000))


def test_what_a_sink_has_taken_is_read_back(tmp_path):
    counted, path = Counted(), tmp_path / "traces.jsonl"
    tracer = tracing(counted.queue(FileSink(path, bytes_max=1 << 20)))
    span = tracer.begin("validator.batch", PARENT)
    tracer.record("replica.batch", span.context, start_ns=1, end_ns=2)
    span.end({"heptad.first_index": 40, "heptad.records": 2, "heptad.replayed": True})
    tracer.close()
    found = list(in_order(spans_of_trace([path], PARENT.trace_id.hex())))
    assert [(depth, row.name, row.service) for depth, row in found] == [
        (0, "validator.batch", "ledger-1"),
        (1, "replica.batch", "ledger-1"),
    ]
    attributes = {"heptad.first_index": 40, "heptad.records": 2, "heptad.replayed": True}
    assert found[0][1].attributes == attributes
    assert found[0][1].parent_id == PARENT.span_id.hex()
    assert counted.fates == {("file", "exported"): 2}
    assert path.stat().st_mode & 0o777 == 0o600
    looked = [traces_of_entry([path], index) for index in (39, 40, 41, 42)]
    assert looked == [[], [PARENT.trace_id.hex()], [PARENT.trace_id.hex()], []]


def test_a_sink_that_hangs_costs_a_full_queue_and_nobody_waits():
    counted, sink = Counted(), HeldSink()
    tracer = tracing(counted.queue(sink, size_max=3))
    tracer.begin("validator.batch", None).end()
    assert sink.entered.wait(10)
    for _ in range(10):
        tracer.begin("validator.batch", None).end()
    assert counted.fates == {("held", "dropped"): 7}
    sink.go.set()
    tracer.close()
    assert counted.fates == {("held", "dropped"): 7, ("held", "exported"): 4}


def test_a_sink_that_fails_is_logged_once_and_counted():
    counted, sink = Counted(), HeldSink(OSError("no such collector"))
    sink.go.set()
    tracer = tracing(counted.queue(sink))
    for _ in range(3):
        tracer.begin("validator.batch", None).end()
    tracer.close()
    assert counted.fates == {("held", "failed"): 3}
    assert [json.loads(line)["event"] for line in counted.lines] == ["spans_not_exported"]


def test_a_hanging_sink_does_not_hold_up_the_one_beside_it(tmp_path):
    counted, sink, path = Counted(), HeldSink(), tmp_path / "traces.jsonl"
    file = counted.queue(FileSink(path, bytes_max=1 << 20))
    tracer = tracing(counted.queue(sink), file)
    tracer.begin("validator.batch", PARENT).end()
    assert sink.entered.wait(10)
    file.shutdown()
    assert len(spans_of_trace([path], PARENT.trace_id.hex())) == 1
    sink.go.set()
    tracer.close()


def test_the_file_turns_over_at_half_its_limit_and_one_older_is_kept(tmp_path):
    path = tmp_path / "traces.jsonl"
    sink = FileSink(path, bytes_max=200)
    for number in range(30):
        sink.write(b'{"line":%02d}' % number)
    assert path.stat().st_size + rotated(path).stat().st_size <= 200
    assert path.read_bytes().endswith(b'{"line":29}\n')
    assert sorted(tmp_path.iterdir()) == [path, rotated(path)]


def test_a_link_in_the_files_place_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / "traces.jsonl").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        FileSink(tmp_path / "traces.jsonl", bytes_max=200).write(b"{}")


def test_torn_and_foreign_lines_are_passed_over(tmp_path):
    path = tmp_path / "traces.jsonl"
    trace_id = PARENT.trace_id.hex()
    rows = [
        f'{{"traceId":"{trace_id}"',
        f'{{"resourceSpans":[{{"traceId":"{trace_id}"}}]}}',
        f'["traceId":"{trace_id}"]',
    ]
    path.write_text("\n".join(rows))
    assert spans_of_trace([path, tmp_path / "absent"], trace_id) == []


def test_spans_below_each_other_in_a_ring_are_shown_once_each():
    ring = [
        StoredSpan("s", "t", own, above, own, 0, 1, {})
        for own, above in (("a", "b"), ("b", "a"), ("c", "c"), ("d", ""))
    ]
    assert sorted((depth, span.name) for depth, span in in_order(ring)) == [
        (0, "a"), (0, "b"), (0, "c"), (0, "d"),
    ]  # fmt: skip


def test_a_collector_gets_what_the_file_gets():
    taken = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["Content-Length"])
            taken.append((self.path, self.headers["Content-Type"], self.rfile.read(size)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        counted = Counted()
        sink = CollectorSink(f"http://127.0.0.1:{server.server_port}/")
        tracer = tracing(counted.queue(sink))
        tracer.begin("validator.batch", PARENT).end()
        tracer.close()
        server.shutdown()
        thread.join()
    ((path, kind, body),) = taken
    assert (path, kind) == ("/v1/traces", "application/json")
    (row,) = json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (row["traceId"], row["kind"]) == (PARENT.trace_id.hex(), 1)
    assert counted.fates == {("collector", "exported"): 1}
