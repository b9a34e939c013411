"""`heptad up`, `status` and `down` with the real services, as a person would use them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from heptad.runtime.config import cell_digest

pytestmark = pytest.mark.mesh

WAIT_S_MAX = 120


class Home:
    """A home, and `heptad` called on it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def heptad(self, *arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "heptad.cli.main", *arguments, "--home", str(self.path)],
            capture_output=True,
            check=False,
            text=True,
            timeout=WAIT_S_MAX,
        )
        return done.returncode, done.stdout, done.stderr

    def up(self, *options: str) -> dict[str, object]:
        status, out, errors = self.heptad("up", "--detach", "--json", *options)
        assert status == 0, errors
        return json.loads(out)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = Home(tmp_path / "home")
    yield found
    if (found.path / "control.sock").exists():
        found.heptad("down")


def get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=WAIT_S_MAX) as answer:
        return json.loads(answer.read())


def until_ended(pids: list[int]) -> None:
    deadline_s = time.monotonic() + WAIT_S_MAX
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline_s, "somebody lives on"
        time.sleep(0.02)


def test_a_cell_comes_up_stops_and_comes_up_again_as_the_same_cell(home: Home) -> None:
    # Given nothing, then a home of its own on free ports.
    status = home.up("--port-base", "0")
    assert len(status["processes"]) == 11
    assert {process["state"] for process in status["processes"]} == {"ready"}
    assert get(f"{status['gateway_url']}/v1")["origin"] == status["origin"]
    digest = cell_digest(home.path)

    # A second `up` is refused, and disturbs nothing.
    code, _, errors = home.heptad("up", "--detach")
    assert code == 2
    assert "is already up" in errors
    code, out, _ = home.heptad("status", "--json")
    assert code == 0
    assert json.loads(out)["pid"] == status["pid"]

    # `down` ends every process and keeps everything.
    assert home.heptad("down")[0] == 0
    until_ended([status["pid"], *(process["pid"] for process in status["processes"])])
    assert home.heptad("status")[0] == 2

    # A port that somebody has taken meanwhile is named with its holder.
    port = int(status["gateway_url"].rpartition(":")[2])
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        code, _, errors = home.heptad("up", "--detach")
    assert code == 2
    assert f"port {port} (gateway-1 http) is held by process {os.getpid()} (" in errors

    # The second start continues the same cell.
    again = home.up()
    assert (again["origin"], again["gateway_url"]) == (status["origin"], status["gateway_url"])
    assert cell_digest(home.path) == digest


def test_nobody_outlives_a_supervisor_that_is_killed(home: Home) -> None:
    status = home.up("--port-base", "0", "--validators", "1")
    assert len(status["processes"]) == 10
    os.kill(status["pid"], signal.SIGKILL)
    until_ended([process["pid"] for process in status["processes"]])
