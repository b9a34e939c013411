"""`heptad entries` asks the gateway what its options say, and goes on until all is there."""

import http.server
import json
import threading
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from heptad.cli import entries as entries_module
from heptad.cli.main import build

ENTRY = {
    "index": 7, "entry": "AA==", "kind": "ACCESS", "service": "tax", "action": "record.access",
    "time_ms": 1_767_225_600_123, "validator": 1, "outcome": "allowed",
}  # fmt: skip


def run(*arguments):
    words = ["entries", *map(str, arguments)]
    return CliRunner().invoke(build(words), words)


@contextmanager
def gateway(answers):
    """Answers each address by a list of (status, body), one after the other, and keeps them."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Last-Event-ID")))
            status, body = answers[self.path].pop(0)
            kind = "application/problem+json" if status >= 400 else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status == 429:
                self.send_header("Retry-After", "7")
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *_):
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_list_is_newest_first_and_walks_over_empty_pages_up_to_its_limit():
    first = "/v1/entries?kind=ACCESS&service=tax&order=descending&page_size=2"
    answers = {
        first: [(200, {"entries": [], "next": "/next1"})],
        "/next1": [(200, {"entries": [ENTRY], "next": "/next2"})],
        "/next2": [(200, {"entries": [ENTRY, ENTRY], "next": "/next3"})],
    }
    with gateway(answers) as (url, asked):
        result = run("list", "--service", "tax", "--kind", "access", "--limit", 2, "--url", url)
    assert result.exit_code == 0, result.output
    line = "         7  2026-01-01T00:00:00.123Z  ACCESS"
    assert [text.startswith(line) for text in result.stdout.splitlines()] == [True, True]
    assert [path for path, _ in asked] == [first, "/next1", "/next2"]


def test_a_count_is_the_sum_of_its_parts():
    first = "/v1/entries:count?from_ms=1767225600000&until_ms=9&outcome=denied"
    answers = {
        first: [(200, {"count": 3, "checkpoint_size": 90, "next": "/next"})],
        "/next": [(200, {"count": 4, "checkpoint_size": 91})],
    }
    options = ["--since", "2026-01-01T00:00:00Z", "--until", 9, "--outcome", "denied", "--json"]
    with gateway(answers) as (url, _):
        result = run("count", *options, "--url", url)
    assert json.loads(result.stdout) == {"count": 7, "checkpoint_size": 91}


def test_a_watch_goes_on_from_its_last_event_after_an_interruption(monkeypatch):
    monkeypatch.setattr(entries_module, "RETRY_S", 0)
    path = "/v1/entries:watch?start_index=7"
    event = f"id: 8\nevent: entry\ndata: {json.dumps(ENTRY)}\n\n"
    broken = f'retry: 1\n\n{event}event: problem\ndata: {{"code":"draining"}}\n\n'
    answers = {
        path: [
            (200, broken.encode()),
            (503, {"code": "ledger_unavailable", "detail": "down"}),
            (200, b'id: 8\nevent: position\ndata: {"next_index":8}\n\n' + event.encode()),
        ]
    }
    with gateway(answers) as (url, asked):
        result = run("watch", "--from", 7, "--json", "--url", url)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert lines == [ENTRY, ENTRY]
    assert [last for _, last in asked] == [None, "8", "8"]


def test_a_count_goes_on_at_the_pace_that_the_gateway_allows(monkeypatch):
    waited = []
    monkeypatch.setattr(entries_module.time, "sleep", waited.append)
    path = "/v1/entries:count?outcome=denied"
    refusal = {"code": "client_rate_limited", "detail": "too much"}
    answers = {
        path: [(429, refusal), (429, refusal), (200, {"count": 3, "checkpoint_size": 9})],
    }
    with gateway(answers) as (url, _):
        result = run("count", "--outcome", "denied", "--json", "--url", url)
    assert json.loads(result.stdout) == {"count": 3, "checkpoint_size": 9}
    assert waited == [7, 7]


def test_a_gateway_that_refuses_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(entries_module.time, "sleep", lambda _seconds: None)
    path = "/v1/entries:count?outcome=denied"
    refusals = [(429, {"code": "client_rate_limited", "detail": "too much"})] * 100
    with gateway({path: refusals}) as (url, asked):
        result = run("count", "--outcome", "denied", "--url", url)
    assert (result.exit_code, "client_rate_limited" in result.output) == (1, True)
    assert len(asked) == entries_module.TRIES_MAX


def test_what_no_waiting_helps_against_ends_a_watch():
    refusal = {"code": "index_out_of_range", "detail": "published are 5"}
    with gateway({"/v1/entries:watch?start_index=7": [(404, refusal)]}) as (url, _):
        result = run("watch", "--from", 7, "--url", url)
    assert (result.exit_code, "index_out_of_range" in result.output) == (1, True)


@pytest.mark.parametrize("option", [("--kind", "nothing"), ("--since", "yesterday")])
def test_an_option_that_means_nothing_is_a_usage_error(option):
    assert run("list", *option).exit_code == 2


def test_what_a_validator_wrote_neither_breaks_a_list_nor_commands_the_terminal():
    evil = ENTRY | {"service": "tax\x1b[2J", "action": "a\nb", "time_ms": 1 << 62}
    answers = {"/v1/entries?order=descending&page_size=1": [(200, {"entries": [evil]})]}
    with gateway(answers) as (url, _):
        result = run("list", "--limit", 1, "--url", url)
    assert result.exit_code == 0, result.output
    [line] = result.stdout.splitlines()
    assert line.split() == ["7", f"{1 << 62}", "ms", "ACCESS", "tax?[2J", "a?b", "allowed"]
