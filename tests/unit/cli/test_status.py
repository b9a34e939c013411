"""`heptad status` against a control socket and processes that a test plays."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heptad.cli import main
from heptad.runtime.control import ControlServer


@pytest.fixture
def process_address() -> Iterator[tuple[str, dict[str, object]]]:
    """Somebody's metrics listener; what `/readyz` answers can be changed."""
    answer = {"status": 200, "body": b"ok\n"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer["status"])
            self.send_header("Content-Length", str(len(answer["body"])))
            self.end_headers()
            self.wfile.write(answer["body"])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", answer
    server.shutdown()
    thread.join()
    server.server_close()


def process_of(name: str, state: str, metrics: str) -> dict[str, object]:
    return {
        "name": name,
        "role": "replica",
        "state": state,
        "pid": 7,
        "address": "a:1",
        "metrics": metrics,
        "restarts": 2,
        "last_status": None,
        "usage": None,
        "awaited": "for 5 replicas" if state == "waiting" else "",
    }


def status(home: Path, state: str, metrics: str, *options: str) -> tuple[int, str]:
    """Run the command while a mesh of one process reports `state`."""
    return status_of([process_of("replica-1", state, metrics)], home, *options)


def status_of(processes: list[dict[str, object]], home: Path, *options: str) -> tuple[int, str]:
    """Run the command while a mesh of these processes runs."""

    async def report(_name: str) -> dict[str, object]:
        return {"origin": "cell.test", "gateway_url": "http://g", "processes": processes}

    async def scenario() -> tuple[int, str]:
        server = ControlServer(home, {"status": report})
        await server.start()
        arguments = ["status", "--home", str(home), *options]
        try:
            runner, app = CliRunner(), main.build(arguments)
            result = await asyncio.to_thread(runner.invoke, app, arguments)
        finally:
            await server.stop()
        return result.exit_code, result.stdout

    return asyncio.run(scenario())


def test_a_cell_that_is_ready_ends_with_0(tmp_path: Path, process_address) -> None:
    code, out = status(tmp_path, "ready", process_address[0])
    assert code == 0
    assert "replica-1" in out
    assert "cell.test" in out


def test_a_process_that_says_it_is_not_ready_is_believed(tmp_path: Path, process_address) -> None:
    address, answer = process_address
    answer["status"] = 503
    code, out = status(tmp_path, "ready", address, "--json")
    assert code == 1
    assert json.loads(out)["processes"][0]["state"] == "not_serving"


def test_a_replica_that_only_follows_is_not_shown_as_ready(tmp_path: Path, process_address) -> None:
    address, answer = process_address
    answer["body"] = b"ok: follows only: the safety record is lost\n"
    code, out = status(tmp_path, "ready", address, "--json")
    assert code == 1
    assert json.loads(out)["processes"][0]["state"] == "follows only"


def test_a_process_that_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    code, out = status(tmp_path, "ready", "127.0.0.1:9", "--json")
    assert code == 1
    assert json.loads(out)["processes"][0]["state"] == "not_serving"


def test_a_stopped_process_is_not_asked(tmp_path: Path) -> None:
    code, out = status(tmp_path, "stopped", "127.0.0.1:9", "--json")
    assert code == 1
    assert json.loads(out)["processes"][0]["state"] == "stopped"


def test_a_leader_that_failed_is_named_once_more_replicas_say_so_than_may_lie(
    tmp_path: Path, process_address
) -> None:
    address, answer = process_address
    answer["body"] = (
        b'consensus_leader_failed{leader="3"} 1.0\nconsensus_leader_failed{leader="4"} 0.0\n'
    )

    def asked(honest: int) -> object:
        addresses = [address if n < honest else "127.0.0.1:9" for n in range(7)]
        processes = [process_of(f"replica-{n}", "ready", a) for n, a in enumerate(addresses)]
        return json.loads(status_of(processes, tmp_path, "--json")[1])["leaders_failed"]

    assert asked(3) == ["replica-3"]
    assert asked(2) == []


def test_a_process_that_waits_is_shown_with_what_it_waits_for(tmp_path: Path) -> None:
    code, out = status(tmp_path, "waiting", "127.0.0.1:9")
    assert code == 1
    assert "replica-1 waits for 5 replicas." in out


def test_nothing_running_ends_with_2(tmp_path: Path) -> None:
    arguments = ["status", "--home", str(tmp_path)]
    result = CliRunner().invoke(main.build(arguments), arguments)
    assert result.exit_code == 2
    assert "no mesh is running in" in result.stderr
