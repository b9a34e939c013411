"""A replica of a running cell is put back to an older copy of its whole data folder.

Its record is whole, and knows nothing of what it has signed since: it sees that by the certificates
that the others show it, and signs no more.
"""

import asyncio
import os
import shutil
import signal

import pytest

from heptad.trials import meshes
from heptad.trials.tour.scene import replica_statuses

pytestmark = [
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),
    pytest.mark.timeout(240),
]

ROLLED_BACK = "replica-7"


def copy(mesh):
    """As a snapshot of the machine would have it: in the midst of everything."""
    pid, folder = meshes.pids_of(mesh.home)[ROLLED_BACK], mesh.home / ROLLED_BACK
    os.kill(pid, signal.SIGSTOP)
    shutil.copytree(folder / "data", folder / "copy")
    os.kill(pid, signal.SIGCONT)


def roll_back(mesh):
    pid, folder = meshes.pids_of(mesh.home)[ROLLED_BACK], mesh.home / ROLLED_BACK
    os.kill(pid, signal.SIGSTOP)
    shutil.rmtree(folder / "data")
    (folder / "copy").rename(folder / "data")
    os.kill(pid, signal.SIGKILL)


def test_a_replica_whose_disk_is_an_older_copy_follows_and_the_cell_goes_on(doomed, tools):
    async def story():
        people = await tools.new_people(doomed, 8)
        crowd = tools.Crowd(doomed, people)
        async with tools.session(doomed) as session:
            until = asyncio.Event()
            load = asyncio.create_task(crowd.post_until(session, until))

            async def acknowledged(count):
                async def are_there():
                    return len(crowd.acknowledged) >= count

                await tools.eventually(are_there)

            await acknowledged(20)
            await asyncio.to_thread(copy, doomed)
            await acknowledged(len(crowd.acknowledged) + 60)
            await asyncio.to_thread(roll_back, doomed)
            await acknowledged(len(crowd.acknowledged) + 40)

            async def has_noticed():
                statuses = await replica_statuses(doomed.home)
                old, other = statuses.get(ROLLED_BACK), statuses.get("replica-1")
                if old is None or other is None or not old.follower:
                    return None
                return statuses if old.height + 20 > other.height > 0 else None

            statuses = await tools.eventually(has_noticed)
            until.set()
            await load
        return statuses

    statuses = asyncio.run(story())
    assert not any(status.follower for name, status in statuses.items() if name != ROLLED_BACK)
    log = (doomed.home / ROLLED_BACK / "log.jsonl").read_text()
    assert '"record_lost"' in log
    assert '"misbehaviour_proven"' not in (doomed.home / "replica-1/log.jsonl").read_text()
