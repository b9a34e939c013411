"""A ledger that was put back from a backup: it follows the replicas to where it was, and shows
nobody a log that is older than what somebody has kept.
"""

import asyncio
import shutil
import subprocess
import sys

import pytest

from heptad.consensus.objects import LogHead
from heptad.runtime.config import LedgerConfig, load_node_config
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad_ledger.backup.restoring import RestoreJob, restore
from heptad_ledger.publishing.kept import KEPT_FILE

NOW_MS = 4_000_000_000_000

TAKE = """
import sys
from pathlib import Path
from heptad.runtime.config import load_cell
from heptad_ledger.backup.taking import BackupJob, take
home, data, target = map(Path, sys.argv[1:])
take(BackupJob(home, data, load_cell(home), target, 1), progress=lambda *_: None)
"""


def public(*contents):
    return [(content, b"") for content in contents]


async def take_backup(world, data, target):
    """As `heptad ledger backup` does, in a process beside the running ledger."""
    command = [sys.executable, "-c", TAKE, str(world.home), str(data), str(target)]
    await asyncio.to_thread(subprocess.run, command, check=True)


def put_back(world, source, data, kept):
    """Into the same folder, whose root key is still there."""
    for folder in ("log", "vault"):
        shutil.rmtree(data / folder)
    config = load_node_config(LedgerConfig, home=world.home, name="ledger-1")
    job = RestoreJob(source, data, world.cell, config, NOW_MS, kept=kept, slots_skipped=10)
    return restore(job, progress=lambda *_: None)


@pytest.fixture
def data(tmp_path):
    """Where `running_ledger` keeps its files."""
    return tmp_path / "data"


def test_a_restored_ledger_publishes_only_what_continues_the_kept_checkpoint(
    world, running_ledger, eventually, data, tmp_path
):
    async def scenario():
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"a", b"b")))
            await eventually(lambda: service._publisher.size.value == 2)
            await take_backup(world, data, tmp_path / "backup")
            world.commit(world.group.batch(public(b"c", b"d", b"e")))
            world.commit(world.group.batch(public(b"f")))
            await eventually(lambda: service._publisher.size.value == 6)
            kept = service._publisher.latest.note
        restored = put_back(world, tmp_path / "backup", data, kept)
        assert (restored.is_in_place, restored.manifest.size, restored.kept_size) == (True, 2, 6)
        for replica in world.replicas:
            replica.height_max = 2
        async with running_ledger(world) as service:
            # then a head between the two that everybody has cosigned is not published
            await eventually(lambda: len(service._publisher._book._good.get(5, ())) == 7)
            note = service._context.health.note()
            assert note == "publishes nothing yet: 5 entries, the kept checkpoint has 6"
            # and once it has caught up it goes on where it was
            for replica in world.replicas:
                replica.height_max = 10**9
            world.commit(world.group.batch(public(b"g")))
            await eventually(lambda: service._publisher.size.value == 7)
            with service._store.snapshot() as snapshot:
                sizes = snapshot.checkpoint_sizes(count_max=9, from_size=None, newest_first=False)
            assert sizes in ([2, 7], [2, 6, 7])
            assert service._context.health.note() == ""

    asyncio.run(scenario())


def test_a_restored_ledger_that_the_group_leads_elsewhere_publishes_nothing_any_more(
    world, running_ledger, eventually, data, tmp_path
):
    async def scenario():
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"a")))
            await eventually(lambda: service._publisher.size.value == 1)
        # given a checkpoint that a quorum has signed of a history that replicas no longer tell
        other = CompactRange.empty().extended(leaf_hashes([b"a", b"another b"]))
        (data / KEPT_FILE).write_bytes(world.note(LogHead(other.size, other.root())))
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"b", b"c")))
            await eventually(lambda: "publishes nothing: " in service._context.health.note())
            # then it goes on applying and serving what was published before
            world.commit(world.group.batch(public(b"d")))
            await eventually(lambda: service._store.state.size == 4)
            assert service._publisher.latest.size == 1

    asyncio.run(scenario())
