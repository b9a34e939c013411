"""A replica of a running cell loses its whole data folder, marker and all, while clients post.

It comes back as a follower: its keys remember that they were used. It reaches the others' log, says
what it is wherever an operator looks, and signs nothing; the cell goes on without its voice.
"""

import asyncio
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from heptad.trials import meshes
from heptad.trials.tour.scene import replica_statuses

pytestmark = [
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),
    pytest.mark.timeout(240),
]

LOST = "replica-7"


def lose_disk(mesh):
    """Take the folder away from under the process, and then the process."""
    pid = meshes.pids_of(mesh.home)[LOST]
    os.kill(pid, signal.SIGSTOP)
    shutil.rmtree(mesh.home / LOST / "data")
    os.kill(pid, signal.SIGKILL)


def test_a_replica_that_lost_its_disk_follows_and_the_cell_goes_on(doomed, tools):
    async def story():
        people = await tools.new_people(doomed, 8)
        crowd = tools.Crowd(doomed, people)
        async with tools.session(doomed) as session:
            until = asyncio.Event()

            async def load_runs():
                return len(crowd.acknowledged) >= 40

            load = asyncio.create_task(crowd.post_until(session, until))
            await tools.eventually(load_runs)
            await asyncio.to_thread(lose_disk, doomed)
            before = len(crowd.acknowledged)

            async def has_caught_up():
                statuses = await replica_statuses(doomed.home)
                lost, other = statuses.get(LOST), statuses.get("replica-1")
                if lost is None or other is None or len(crowd.acknowledged) < before + 40:
                    return None
                return statuses if lost.height + 20 > other.height > 0 else None

            statuses = await tools.eventually(has_caught_up)
            until.set()
            await load
        return statuses

    statuses = asyncio.run(story())
    assert statuses[LOST].follower
    assert statuses[LOST].cosigned_size == 0
    assert statuses[LOST].timeouts == 0
    assert not any(status.follower for name, status in statuses.items() if name != LOST)

    said = subprocess.run(
        [sys.executable, "-m", "heptad.cli.main", "status", "--home", str(doomed.home), "--json"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    processes = {each["name"]: each for each in json.loads(said.stdout)["processes"]}
    assert said.returncode == 1
    assert processes[LOST]["state"] == "follows only"
    assert processes["replica-1"]["state"] == "ready"

    address = processes[LOST]["metrics"]
    assert "follows only" in asked(address, "/readyz")
    assert "consensus_follows_only 1.0" in asked(address, "/metrics")


def asked(address, path):
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", path)
    body = connection.getresponse().read().decode()
    connection.close()
    return body
