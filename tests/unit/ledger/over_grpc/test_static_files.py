"""The folder of static files beside a real ledger: it follows, and never holds anything up."""

import asyncio
import json
import shutil
import time

from heptad.runtime.vkeys import cell_policy
from heptad.verification import FolderSource, verify_log
from heptad_ledger.static import keeper as keeper_module


def public(*contents):
    return [(content, b"") for content in contents]


def shown(folder):
    """The size that the folder's checkpoint says; 0 without one."""
    try:
        return int((folder / "checkpoint").read_bytes().split(b"\n")[1])
    except FileNotFoundError:
        return 0


def test_what_is_published_lies_in_the_folder_and_verifies(
    world, running_ledger, eventually, tmp_path
):
    folder = tmp_path / "data" / "static"

    async def scenario():
        async with running_ledger(world, static_interval_ms=10):
            world.commit(world.group.batch(public(*(b"%d" % n for n in range(300)))))
            await eventually(lambda: shown(folder) == 300)
            world.commit(world.group.batch(public(b"c")))
            await eventually(lambda: shown(folder) == 301)

    asyncio.run(scenario())
    source, policy = FolderSource(folder), cell_policy(world.cell)
    assert verify_log(source.read, policy=policy, now_s=int(time.time())).checkpoint.size == 301
    assert not (folder / "policy").exists()


def test_a_folder_that_was_deleted_comes_back_with_the_next_start(
    world, running_ledger, eventually, tmp_path
):
    folder = tmp_path / "data" / "static"

    async def scenario():
        async with running_ledger(world):
            world.commit(world.group.batch(public(b"a", b"b")))
            await eventually(lambda: shown(folder) == 2)
        shutil.rmtree(folder)
        async with running_ledger(world):
            await eventually(lambda: shown(folder) == 2)

    asyncio.run(scenario())


def test_a_folder_that_cannot_be_written_holds_up_neither_the_start_nor_the_publishing(
    world, running_ledger, eventually, tmp_path, monkeypatch
):
    monkeypatch.setattr(keeper_module, "RETRY_S", 0.01)
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"a file, where a folder should be")

    async def scenario():
        async with running_ledger(world, static_folder=str(blocked / "log")) as service:
            for size in (1, 2, 3):
                world.commit(world.group.batch(public(b"%d" % size)))
                await eventually(lambda size=size: service._publisher.size.value == size)
            events = [json.loads(line)["event"] for line in world.log_lines]
            assert events.count("static_files_failed") == 1
            blocked.unlink()
            await eventually(lambda: shown(blocked / "log") == 3)

    asyncio.run(scenario())


def test_without_a_folder_in_the_settings_nothing_is_written(
    world, running_ledger, eventually, tmp_path
):
    async def scenario():
        async with running_ledger(world, static_folder="") as service:
            world.commit(world.group.batch(public(b"a")))
            await eventually(lambda: service._publisher.size.value == 1)

    asyncio.run(scenario())
    assert not list(tmp_path.rglob("checkpoint"))
