"""An auditor follows a running cell in a process of its own, is killed, and goes on."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def auditing(mesh, state):
    """The daemon as an auditor starts it; gives the process and the address of its metrics."""
    address = f"127.0.0.1:{free_port()}"
    words = ["audit", mesh.gateway_url, "--policy", str(mesh.home / "policy"),
             "--cell", str(mesh.home / "cell.toml"), "--state", str(state),
             "--interval", "1", "--metrics", address]  # fmt: skip
    with (state.parent / "audit.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "heptad.cli.main", *words], stdout=output, stderr=output
        )
    try:
        yield process, f"http://{address}/metrics"
    finally:
        process.kill()
        process.wait()


def figures(address):
    """What the metrics say; nothing as long as the daemon does not answer."""
    try:
        answer = urllib.request.urlopen(address, timeout=30)
    except urllib.error.URLError:
        return {}
    with answer:
        lines = [line for line in answer.read().decode().splitlines() if "audit_" in line]
    return {line.split()[0]: float(line.split()[1]) for line in lines if line[0] != "#"}


async def recorded(mesh, tools, people):
    """A few requests by each, in the log. Returns the size that covers them."""
    crowd = tools.Crowd(mesh, people)
    async with tools.session(mesh) as http:
        for _ in range(10):
            await asyncio.gather(
                *(crowd.insist(http, p.jws(tools.claims_of(p, mesh.cell.origin))) for p in people)
            )
        size = max(crowd.acknowledged.values()) + 1
        await tools.checkpoint(http, size_min=size)
    return size


def test_an_auditor_follows_a_running_cell_through_kill_and_restart(mesh, tools, tmp_path):
    state = tmp_path / "state"

    async def followed(address, size):
        async def is_there():
            said = await asyncio.to_thread(figures, address)
            return said if said.get("audit_verified_size", 0) >= size else None

        return await tools.eventually(is_there)

    async def story():
        people = await tools.new_people(mesh, 8)
        with auditing(mesh, state) as (process, address):
            first = await followed(address, await recorded(mesh, tools, people))
            os.kill(process.pid, signal.SIGKILL)
        with auditing(mesh, state) as (process, address):
            second = await followed(address, await recorded(mesh, tools, people))
            os.kill(process.pid, signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 60) == 0
        return first, second

    first, second = asyncio.run(story())
    assert second["audit_verified_size"] > first["audit_verified_size"]
    for said in (first, second):
        assert (said["audit_alarms_open"], said["audit_source_up"]) == (0, 1)
    # The second one has not read again what the first had proved.
    kept = json.loads((state / "state.json").read_text())
    size = int(kept["checkpoint"].split("\n")[1])
    assert second["audit_entries_total"] <= size - first["audit_verified_size"]
    assert list((state / "alarms").iterdir()) == []
