"""One service process from its command line to its exit code, without a supervisor."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heptad.runtime.config import ReplicaConfig, load_node_config, split_address
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan, reserve_block

SERVICES = Path(__file__).parent / "services"
WAIT_S_MAX = 60


def _python_path() -> str:
    return os.pathsep.join([str(SERVICES), os.environ.get("PYTHONPATH", "")])


class Process:
    """`python -m heptad_fake …`."""

    def __init__(self, home: Path, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": _python_path(), "GRPC_VERBOSITY": "NONE"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "heptad_fake", "--home", str(home), *arguments],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.events: list[dict[str, object]] = []

    def wait_event(self, name: str) -> dict[str, object]:
        for line in self._process.stderr:
            self._note(line)
            if self.events and self.events[-1]["event"] == name:
                return self.events[-1]
        raise AssertionError(f"it ended without {name}: {self.events}")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def close_standard_input(self) -> None:
        self._process.stdin.close()

    def wait_end(self) -> int:
        for line in self._process.stderr:
            self._note(line)
        return self._process.wait(WAIT_S_MAX)

    def _note(self, line: str) -> None:
        if line.startswith("{"):
            self.events.append(json.loads(line))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stderr.close()
        self._process.stdin.close()


@pytest.fixture
def own_home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    with reserve_block(start_hint=os.getpid()) as block:
        plan = GenesisPlan(PortPlan(block.base), replica_count=1, validator_count=1)
        create_home(home, plan, now=datetime.now(UTC))
        yield home


@pytest.fixture
def start(own_home: Path) -> Iterator[object]:
    started: list[Process] = []

    def starter(*arguments: str) -> Process:
        started.append(Process(own_home, *(arguments or ("--name", "replica-1"))))
        return started[-1]

    yield starter
    for process in started:
        process.close()


def get(address: object, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=WAIT_S_MAX) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_says_when_it_is_ready_and_where(start, own_home: Path) -> None:
    before_ns = time.time_ns()
    ready = start().wait_event("service_ready")
    written = json.loads((own_home / "replica-1" / "ready.json").read_text())
    begun_ns = written.pop("begun_ns")
    assert written == {key: ready[key] for key in ("pid", "address", "metrics")}
    assert before_ns < begun_ns < time.time_ns()
    assert (own_home / "replica-1" / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_wanted_end_drains_stops_and_exits_with_0(start, own_home: Path, number: int) -> None:
    process = start()
    process.wait_event("service_ready")
    process.signal(number)
    assert process.wait_end() == 0
    assert (own_home / "drained").read_text() == "replica-1\n"
    assert (own_home / "replica-1" / "stopped").exists()
    assert not (own_home / "replica-1" / "ready.json").exists()
    names = [event["event"] for event in process.events]
    assert names[-3:] == ["service_draining", "health_changed", "service_stopped"]


def test_a_log_level_is_taken_from_the_configuration_at_sighup(start, own_home: Path) -> None:
    path = own_home / "replica-1" / "config.toml"
    process = start()
    process.wait_event("service_ready")
    path.write_text(path.read_text().replace('log_level = "info"', 'log_level = "warning"'))
    process.signal(signal.SIGHUP)
    assert process.wait_event("log_level_taken")["log_level"] == "warning"
    path.write_text(path.read_text().replace('log_level = "warning"', 'log_level = "loud"'))
    process.signal(signal.SIGHUP)
    assert "log_level" in str(process.wait_event("config_invalid")["mistake"])
    process.signal(signal.SIGTERM)
    assert process.wait_end() == 0
    names = [event["event"] for event in process.events]
    # What is below is silent from then on; a level that there is not changes nothing.
    assert "service_stopped" not in names


def test_a_drain_that_does_not_end_is_cut_off(start, own_home: Path) -> None:
    path = own_home / "replica-1" / "config.toml"
    path.write_text(path.read_text().replace("drain_s_max = 10.0", "drain_s_max = 0.05"))
    (own_home / "replica-1" / "stuck").touch()
    process = start()
    process.wait_event("service_ready")
    process.signal(signal.SIGTERM)
    process.wait_event("drain_cut_off")
    assert process.wait_end() == 0
    assert (own_home / "replica-1" / "stopped").exists()


def test_sigterm_is_heard_while_it_still_starts(start, own_home: Path) -> None:
    (own_home / "replica-1" / "hang").touch()
    process = start()
    process.wait_event("hanging")
    process.signal(signal.SIGTERM)
    assert process.wait_end() == 0
    assert (own_home / "replica-1" / "stopped").exists()
    assert not (own_home / "drained").exists()


def test_a_failed_start_is_told_and_exits_with_1(start, own_home: Path) -> None:
    (own_home / "replica-1" / "crash").touch()
    process = start()
    told = process.wait_event("service_broke")
    assert process.wait_end() == 1
    assert told["error"] == "builtins.RuntimeError"
    assert told["at"][-1].endswith(" start")
    assert "as ordered" not in json.dumps(told)
    assert (own_home / "replica-1" / "stopped").exists()


def test_a_task_that_fails_ends_it_with_1_and_without_a_drain(start, own_home: Path) -> None:
    process = start()
    process.wait_event("service_ready")
    process.signal(signal.SIGUSR1)
    process.wait_event("task_failed")
    assert process.wait_end() == 1
    assert not (own_home / "drained").exists()


def test_every_mistake_of_a_configuration_is_told_and_it_exits_with_2(
    start, own_home: Path
) -> None:
    path = own_home / "replica-1" / "config.toml"
    text = path.read_text().replace("round_pace_ms = 25", "round_pace_ms = -1")
    path.write_text(text.replace("reflection = false", "reflexion = false"))
    process = start()
    assert process.wait_end() == 2
    assert {event["mistake"].partition("config.toml: ")[2] for event in process.events} == {
        "round_pace_ms: -1 is not between 0 and 1000",
        "node.reflexion: is not a known key",
    }


def test_a_taken_address_is_told_and_it_exits_with_3(start, own_home: Path) -> None:
    start().wait_event("service_ready")
    second = start()
    told = second.wait_event("address_taken")
    assert second.wait_end() == 3
    assert "cannot listen on 127.0.0.1:" in told["reason"]


def test_it_ends_with_its_lifeline(start) -> None:
    process = start("--name", "replica-1", "--lifeline")
    process.wait_event("service_ready")
    process.close_standard_input()
    assert process.wait_end() == 1


def test_without_a_lifeline_the_end_of_standard_input_means_nothing(start) -> None:
    process = start()
    ready = process.wait_event("service_ready")
    process.close_standard_input()
    assert get(ready["metrics"], "/livez")[0] == 200


def test_metrics_tell_about_the_process_and_its_readiness(start) -> None:
    ready = start().wait_event("service_ready")
    status, text = get(ready["metrics"], "/metrics")
    assert status == 200
    assert "\nheptad_ready 1.0\n" in text
    assert "\nprocess_resident_memory_bytes " in text
    assert "\nprocess_cpu_seconds_total " in text
    assert 'role="replica"' in text
    assert get(ready["metrics"], "/readyz")[0] == 200
    assert get(ready["metrics"], "/secrets")[0] == 404


def test_a_service_that_is_not_ready_says_so(start, own_home: Path) -> None:
    (own_home / "replica-1" / "hang").touch()
    process = start()
    process.wait_event("hanging")
    address = "127.0.0.1:" + str(_metrics_port(own_home))
    assert get(address, "/readyz") == (503, "not ready\n")
    assert get(address, "/livez")[0] == 200
    assert "\nheptad_ready 0.0\n" in get(address, "/metrics")[1]


def test_metrics_survive_those_who_do_not_speak_http(start) -> None:
    ready = start().wait_event("service_ready")
    host, port = ready["metrics"].split(":")
    for rubbish in (b"", b"\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"x" * 20_000 + b"\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=WAIT_S_MAX) as connection:
            connection.sendall(rubbish)
    assert get(ready["metrics"], "/livez")[0] == 200


def _metrics_port(home: Path) -> int:
    config = load_node_config(ReplicaConfig, home=home, name="replica-1")
    return split_address(config.node.metrics)[1]
