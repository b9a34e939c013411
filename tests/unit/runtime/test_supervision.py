"""A mesh of fake services, really run: kept up, given up, ordered about, ended."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heptad.runtime.control import ControlClient
from heptad.runtime.errors import SupervisionFault
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan, reserve_block

DRIVER = Path(__file__).parent / "services" / "run_mesh.py"
WAIT_S_MAX = 60


class RunningMesh:
    """The driver's process and what a test wants of it."""

    def __init__(self, home: Path, module: str, *under: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(home), module, *under],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> dict[str, int]:
        """Pids by name, once all are ready."""
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return {process["name"]: process["pid"] for process in json.loads(line)["processes"]}

    def ask(self, order: str, name: str = "") -> dict[str, object]:
        with ControlClient(self.home, timeout_s=WAIT_S_MAX) as control:
            return control.ask(order, name)

    def facts(self, name: str) -> dict[str, object]:
        processes = self.ask("status")["processes"]
        return next(process for process in processes if process["name"] == name)

    def end(self, number: int) -> tuple[int, str]:
        """Signal the supervisor; its exit status and what it said."""
        self.process.send_signal(number)
        return self.wait_end()

    def wait_end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=WAIT_S_MAX)
        return self.process.returncode, errors


@pytest.fixture
def small_home(tmp_path: Path) -> Iterator[Path]:
    """A home of five members on free ports."""
    home = tmp_path / "home"
    with reserve_block(start_hint=os.getpid()) as block:
        plan = GenesisPlan(PortPlan(block.base), replica_count=2, validator_count=1)
        create_home(home, plan, now=datetime.now(UTC))
        yield home


@pytest.fixture
def run_mesh(small_home: Path) -> Iterator[Callable[..., RunningMesh]]:
    """Start a mesh in `small_home`; it is gone after the test."""
    started: list[RunningMesh] = []

    def run(module: str = "heptad_fake", *under: str) -> RunningMesh:
        started.append(RunningMesh(small_home, module, *under))
        return started[-1]

    yield run
    for mesh in started:
        mesh.process.kill()
        mesh.process.communicate()


def order(home: Path, name: str, what: str) -> None:
    (home / name / what).touch()


def log_of(home: Path, name: str) -> str:
    return (home / name / "log.jsonl").read_text()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that other processes bring about."""
    deadline_s = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline_s, "it does not come about"
        time.sleep(0.01)


def have_ended(pids: Iterable[int]) -> bool:
    """Have all of these ended? (A zombie has.)"""
    return all(_state(pid) in ("", "Z", "X") for pid in pids)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def test_all_services_run_and_say_what_they_are(run_mesh) -> None:
    mesh = run_mesh()
    pids = mesh.wait_ready()
    assert sorted(pids) == ["gateway-1", "ledger-1", "replica-1", "replica-2", "validator-1"]
    status = mesh.ask("status")
    assert {process["state"] for process in status["processes"]} == {"ready"}
    assert all(process["usage"]["rss_bytes"] > 1e6 for process in status["processes"])
    ready = json.loads((mesh.home / "replica-2" / "ready.json").read_text())
    assert ready["pid"] == pids["replica-2"]
    comm = Path(f"/proc/{pids['replica-2']}/comm").read_text().strip()
    assert comm == "replica-2"


def test_ctrl_c_on_the_terminal_reaches_no_child(run_mesh) -> None:
    mesh = run_mesh()
    groups = {os.getpgid(pid) for pid in mesh.wait_ready().values()}
    assert len(groups) == 5
    assert os.getpgid(mesh.process.pid) not in groups


def test_a_service_that_crashes_is_started_again(run_mesh) -> None:
    mesh = run_mesh()
    before = mesh.wait_ready()
    os.kill(before["replica-1"], signal.SIGKILL)
    until(
        lambda: (
            (mesh.facts("replica-1")["restarts"], mesh.facts("replica-1")["state"]) == (1, "ready")
        )
    )
    facts = mesh.facts("replica-1")
    assert facts["last_status"] == -signal.SIGKILL
    assert facts["pid"] != before["replica-1"]
    assert mesh.facts("replica-2")["pid"] == before["replica-2"]


def test_a_background_task_that_fails_ends_its_service(run_mesh) -> None:
    mesh = run_mesh()
    os.kill(mesh.wait_ready()["replica-1"], signal.SIGUSR1)
    until(lambda: mesh.facts("replica-1")["restarts"] == 1)
    assert mesh.facts("replica-1")["last_status"] == 1
    assert '"event":"task_failed"' in log_of(mesh.home, "replica-1")


def test_a_service_that_keeps_crashing_ends_the_mesh_with_the_end_of_its_log(
    run_mesh, small_home: Path
) -> None:
    order(small_home, "validator-1", "crash")
    status, errors = run_mesh().wait_end()
    assert status == 1
    assert "validator-1 does not stay up (last exit status 1)" in errors
    assert "that went before" in errors
    assert '"event":"service_broke"' in errors
    assert log_of(small_home, "validator-1").count("service_broke") == 6


def test_a_mesh_that_gives_up_leaves_nobody_behind(run_mesh, small_home: Path) -> None:
    order(small_home, "ledger-1", "hang")
    mesh = run_mesh()
    until((small_home / "control.sock").exists)
    until(lambda: mesh.facts("replica-1")["state"] == "ready")
    pids = [process["pid"] for process in mesh.ask("status")["processes"]]
    order(mesh.home, "replica-1", "crash")
    os.kill(mesh.facts("replica-1")["pid"], signal.SIGKILL)
    assert mesh.wait_end()[0] == 1
    until(lambda: have_ended(filter(None, pids)))


def test_a_cell_that_was_whole_goes_on_without_a_service_that_does_not_stay_up(run_mesh) -> None:
    mesh = run_mesh()
    pids = mesh.wait_ready()
    order(mesh.home, "replica-1", "crash")
    os.kill(pids["replica-1"], signal.SIGKILL)
    until(lambda: mesh.facts("replica-1")["state"] == "failed")
    states = {p["name"]: p["state"] for p in mesh.ask("status")["processes"]}
    assert {states.pop("replica-1"), *states.values()} == {"failed", "ready"}
    (mesh.home / "replica-1" / "crash").unlink()
    mesh.ask("restart", "replica-1")
    assert mesh.facts("replica-1")["state"] == "ready"
    assert mesh.end(signal.SIGTERM) == (0, "")


def test_a_service_under_a_command_is_kept_up_like_any_other(run_mesh) -> None:
    mesh = run_mesh("heptad_fake", "replica-1=env MARKED=yes")
    first = mesh.wait_ready()
    assert b"MARKED=yes" in Path(f"/proc/{first['replica-1']}/environ").read_bytes()
    assert b"MARKED=yes" not in Path(f"/proc/{first['replica-2']}/environ").read_bytes()
    assert os.getpgid(first["replica-1"]) == first["replica-1"]
    os.kill(first["replica-1"], signal.SIGKILL)
    until(lambda: mesh.facts("replica-1")["restarts"] == 1)
    until(lambda: mesh.facts("replica-1")["state"] == "ready")
    second = mesh.facts("replica-1")["pid"]
    assert mesh.facts("replica-1")["last_status"] == -signal.SIGKILL
    mesh.ask("pause", "replica-1")
    until(lambda: _state(second) == "T")
    mesh.ask("kill", "replica-1")
    assert have_ended([second])
    mesh.ask("restart", "replica-1")
    third = mesh.facts("replica-1")["pid"]
    mesh.end(signal.SIGKILL)
    until(lambda: have_ended([third]))


def test_a_command_that_is_not_there_is_named(run_mesh) -> None:
    status, errors = run_mesh("heptad_fake", "replica-1=no-such-command").wait_end()
    assert status == 1
    assert "replica-1 under no-such-command: No such file or directory" in errors


def test_a_wrong_configuration_is_not_tried_again(run_mesh, small_home: Path) -> None:
    path = small_home / "replica-2" / "config.toml"
    path.write_text(path.read_text() + "\nsurprise = 1\n")
    status, errors = run_mesh().wait_end()
    assert status == 1
    assert "replica-2 does not stay up (last exit status 2)" in errors
    assert "surprise: is not a known key" in errors
    assert log_of(small_home, "replica-2").count("config_invalid") == 1


def test_a_service_that_cannot_be_imported_says_why(run_mesh) -> None:
    status, errors = run_mesh("heptad_broken").wait_end()
    assert status == 1
    assert "No module named 'heptad.no_such_room'" in errors


def test_a_killed_service_stays_down_until_it_is_wanted_again(run_mesh) -> None:
    mesh = run_mesh()
    pids = mesh.wait_ready()
    mesh.ask("kill", "replica-1")
    facts = mesh.facts("replica-1")
    assert (facts["state"], facts["pid"], facts["restarts"]) == ("stopped", None, 0)
    assert have_ended([pids["replica-1"]])
    assert not (mesh.home / "replica-1" / "stopped").exists()
    mesh.ask("restart", "replica-1")
    assert mesh.facts("replica-1")["state"] == "ready"


def test_a_stopped_service_drains_first(run_mesh) -> None:
    mesh = run_mesh()
    mesh.wait_ready()
    mesh.ask("stop", "replica-1")
    facts = mesh.facts("replica-1")
    assert (facts["state"], facts["last_status"]) == ("stopped", 0)
    assert (mesh.home / "drained").read_text() == "replica-1\n"
    assert (mesh.home / "replica-1" / "stopped").exists()
    assert not (mesh.home / "replica-1" / "ready.json").exists()


def test_a_restart_is_a_drain_and_a_new_process(run_mesh) -> None:
    mesh = run_mesh()
    pids = mesh.wait_ready()
    mesh.ask("restart", "gateway-1")
    facts = mesh.facts("gateway-1")
    assert facts["state"] == "ready"
    assert facts["pid"] != pids["gateway-1"]
    assert (mesh.home / "drained").read_text() == "gateway-1\n"


def test_a_paused_service_stands_still_until_it_is_resumed(run_mesh) -> None:
    mesh = run_mesh()
    pid = mesh.wait_ready()["replica-1"]
    mesh.ask("pause", "replica-1")
    until(lambda: _state(pid) == "T")
    assert mesh.facts("replica-1")["state"] == "paused"
    mesh.ask("resume", "replica-1")
    until(lambda: _state(pid) != "T")
    assert mesh.facts("replica-1")["state"] == "ready"


def test_a_paused_service_can_still_be_stopped(run_mesh) -> None:
    mesh = run_mesh()
    mesh.wait_ready()
    mesh.ask("pause", "replica-1")
    mesh.ask("stop", "replica-1")
    assert mesh.facts("replica-1")["last_status"] == 0


def test_children_die_with_a_supervisor_that_is_killed_even_paused_ones(run_mesh) -> None:
    mesh = run_mesh()
    pids = mesh.wait_ready()
    mesh.ask("pause", "replica-2")
    until(lambda: _state(pids["replica-2"]) == "T")
    mesh.end(signal.SIGKILL)
    until(lambda: have_ended(pids.values()))


def test_children_die_with_the_nursery_and_the_supervisor_says_so(run_mesh) -> None:
    mesh = run_mesh()
    pids = mesh.wait_ready()
    stat_line = Path(f"/proc/{pids['replica-1']}/stat").read_text()
    nursery = int(stat_line.rpartition(")")[2].split()[1])
    assert nursery != mesh.process.pid
    os.kill(nursery, signal.SIGKILL)
    status, errors = mesh.wait_end()
    assert status == 1
    assert "has ended" in errors
    until(lambda: have_ended(pids.values()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_goes_from_the_door_inwards(run_mesh, number: int) -> None:
    mesh = run_mesh()
    pids = mesh.wait_ready()
    status, errors = mesh.end(number)
    assert (status, errors) == (0, "")
    assert have_ended(pids.values())
    drained = (mesh.home / "drained").read_text().split()
    assert drained[:2] == ["gateway-1", "validator-1"]
    assert sorted(drained[2:4]) == ["replica-1", "replica-2"]
    assert drained[4:] == ["ledger-1"]


def test_an_end_can_be_asked_for_before_all_is_ready(run_mesh, small_home: Path) -> None:
    order(small_home, "ledger-1", "hang")
    mesh = run_mesh()
    until((small_home / "control.sock").exists)
    until(lambda: mesh.facts("replica-1")["state"] == "ready")
    mesh.ask("down")
    assert mesh.wait_end() == (0, "")


def test_a_second_signal_does_not_wait_for_anybody(run_mesh, small_home: Path) -> None:
    order(small_home, "gateway-1", "stuck")
    mesh = run_mesh()
    pids = mesh.wait_ready()
    mesh.process.send_signal(signal.SIGINT)
    until((small_home / "drained").exists)
    mesh.end(signal.SIGINT)
    until(lambda: have_ended(pids.values()))
    assert (small_home / "drained").read_text() == "gateway-1\n"


def test_down_hangs_up_only_when_all_have_ended(run_mesh) -> None:
    mesh = run_mesh()
    pids = mesh.wait_ready()
    with ControlClient(mesh.home, timeout_s=WAIT_S_MAX) as control:
        control.ask("down")
        control.wait_for_end()
    assert have_ended(pids.values())
    assert mesh.wait_end() == (0, "")
    assert not (mesh.home / "control.sock").exists()


def test_a_home_that_is_up_is_refused_to_a_second_supervisor(run_mesh) -> None:
    first = run_mesh()
    first.wait_ready()
    status, errors = run_mesh().wait_end()
    assert status == 2
    assert f"is already up (process {first.process.pid})" in errors
    assert first.facts("replica-1")["state"] == "ready"


def test_a_home_can_be_started_again_after_its_supervisor_was_killed(run_mesh) -> None:
    first = run_mesh()
    pids = first.wait_ready()
    first.end(signal.SIGKILL)
    until(lambda: have_ended(pids.values()))
    assert sorted(run_mesh().wait_ready()) == sorted(pids)


def test_only_the_owner_may_give_orders(run_mesh) -> None:
    mesh = run_mesh()
    mesh.wait_ready()
    assert stat.S_IMODE((mesh.home / "control.sock").stat().st_mode) == 0o600


def test_orders_that_cannot_be_carried_out_are_refused_with_a_reason(run_mesh) -> None:
    mesh = run_mesh()
    mesh.wait_ready()
    with pytest.raises(SupervisionFault, match="there is no process 'replica-9'"):
        mesh.ask("kill", "replica-9")
    with pytest.raises(SupervisionFault, match="an order is one of status, "):
        mesh.ask("dance")
    assert mesh.facts("replica-1")["state"] == "ready"
