"""`heptad trace` shows one trace as a tree, found by its id or by a request's."""

import json

import pytest
from spans import Traced
from typer.testing import CliRunner

from heptad.cli import trace
from heptad.cli.main import build
from heptad.observability.span_export import encode_spans
from heptad.observability.traces import TraceContext

TRACE_ID = "ab" * 16
REQUEST_ID = "A" * 43


@pytest.fixture(autouse=True)
def _spans(monkeypatch, tmp_path):
    """A batch with entries 40 and 41, and a replica's span below it."""
    traced = Traced()
    above = TraceContext(bytes.fromhex(TRACE_ID), b"x" * 8, sampled=True)
    batch = traced.tracer.begin("validator.batch", above, start_ns=1_000_000)
    traced.tracer.record("replica.batch", batch.context, start_ns=2_000_000, end_ns=3_500_000)
    batch.end({"heptad.first_index": 40, "heptad.records": 2}, end_ns=5_000_000)
    path = tmp_path / "traces.jsonl"
    path.write_bytes(encode_spans(traced.spans) + b"\n")
    monkeypatch.setattr(trace, "_files", lambda home: [path])


def call(*arguments):
    words = ["trace", *arguments]
    return CliRunner().invoke(build(words), words)


def test_a_trace_is_shown_with_each_span_below_its_parent():
    lines = call(TRACE_ID).stdout.splitlines()
    assert lines[0] == f"trace {TRACE_ID}"
    assert [line.split()[0] for line in lines[2:]] == ["validator.batch", "replica.batch"]
    assert lines[3].startswith("  replica.batch")
    assert "1.0 ms" in lines[3]
    assert "1.5 ms" in lines[3]


def test_a_trace_is_read_by_machines_too():
    spans = json.loads(call(TRACE_ID.upper(), "--json").stdout)["spans"]
    assert [(row["depth"], row["name"]) for row in spans] == [
        (0, "validator.batch"), (1, "replica.batch"),
    ]  # fmt: skip
    assert spans[0]["attributes"] == {"heptad.first_index": 40, "heptad.records": 2}
    assert spans[1]["duration_ns"] == 1_500_000


@pytest.mark.parametrize("dashed", ["-C" + "h" * 40 + "A", "--" + "h" * 40 + "A"])
@pytest.mark.parametrize("after", [(), ("--json",), ("--home", "-x")])
def test_an_id_that_begins_with_a_dash_is_no_option(monkeypatch, dashed, after):
    asked = []
    monkeypatch.setattr(trace, "_index_of", lambda home, wanted: asked.append(wanted) or 40)
    for words in ((dashed, *after), (*after, dashed), (*after, "--", dashed)):
        result = call(*words)
        assert (result.exit_code, TRACE_ID in result.stdout) == (0, True), result.output
    assert asked == [dashed] * 3


def test_an_option_keeps_the_word_behind_it_though_it_looks_like_an_id(monkeypatch):
    homes = []
    monkeypatch.setattr(trace, "_files", lambda home: homes.append(home.name) or [])
    call(TRACE_ID, "--home", "-C" + "h" * 40 + "A")
    assert homes == ["-C" + "h" * 40 + "A"]


@pytest.mark.parametrize(("index", "found"), [(40, True), (41, True), (39, False), (42, False)])
def test_a_request_leads_to_the_trace_of_the_batch_that_it_came_in(monkeypatch, index, found):
    monkeypatch.setattr(trace, "_index_of", lambda home, request_id: index)
    result = call(REQUEST_ID)
    assert result.exit_code == (0 if found else 1)
    assert (TRACE_ID in result.stdout) is found


def test_what_was_not_traced_ends_with_1_and_what_is_no_id_with_2():
    assert call("0" * 31 + "1").exit_code == 1
    assert call("nonsense").exit_code == 2
