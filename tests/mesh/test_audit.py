"""An auditor follows a running cell with its own process, is killed and started again, and sees
evidence come into the log.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@contextlib.contextmanager
def auditing(mesh, state):
    """The daemon as an auditor starts it; gives the process and the address of its metrics."""
    words = ["audit", mesh.gateway_url, "--policy", str(mesh.home / "policy"),
             "--cell", str(mesh.home / "cell.toml"), "--state", str(state),
             "--interval", "1", "--metrics", "127.0.0.1:0"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "heptad.cli.main", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = next(line for line in process.stderr if line.startswith("metrics on port"))
        yield process, f"http://127.0.0.1:{int(line.split()[-1])}/metrics"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def figures(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
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
            return said if said["audit_verified_size"] >= size else None

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
