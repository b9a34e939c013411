"""What an operator does, and what misfortune does: SIGKILL under load, restart, comparison."""

import asyncio
import time
from typing import Final

from heptad.trials import meshes
from heptad.trials.tour.crowd import APPS, post_until
from heptad.trials.tour.scene import Scene, replica_statuses
from heptad.trials.tour.steps import require

_AGREE_S_MAX: Final = 60.0
_PAUSE_S: Final = 0.2


async def same_head(scene: Scene) -> str:
    """Every replica that runs has the same log."""
    deadline_s = time.monotonic() + _AGREE_S_MAX
    running = len(scene.mesh.cell.replicas) - len(scene.killed)
    while True:
        statuses = await replica_statuses(scene.mesh.home)
        heads = {(status.log_size, status.log_root) for status in statuses.values()}
        if len(heads) == 1 and len(statuses) == running:
            size, root = heads.pop()
            return f"{running} replicas at {size} entries, root {root.hex()[:16]}…"
        found = ", ".join(f"{name} {status.log_size}" for name, status in statuses.items())
        require(time.monotonic() < deadline_s, f"{running} replicas should agree: {found}")
        await asyncio.sleep(_PAUSE_S)


async def kill_under_load(scene: Scene) -> str:
    """Fifty apps post while the leader and the one after it are killed, and one comes back."""
    before = len(scene.acknowledged)
    until = asyncio.Event()
    started_s = time.monotonic()
    load = asyncio.create_task(post_until(scene, until))
    try:
        await asyncio.sleep(scene.seconds / 3)
        scene.killed = await _two_victims(scene)
        for name in scene.killed:
            await asyncio.to_thread(meshes.order, scene.mesh.home, "kill", name)
        at_kill = len(scene.acknowledged)
        await asyncio.sleep(scene.seconds / 3)
        await _acknowledged_more(scene, than=at_kill + APPS)
        back = scene.killed.pop()
        await asyncio.to_thread(meshes.order, scene.mesh.home, "restart", back)
        await asyncio.sleep(scene.seconds / 3)
    finally:
        until.set()
        await _finish(load)
    done = len(scene.acknowledged) - before
    per_s = done / (time.monotonic() - started_s)
    return (
        f"{done} requests of {APPS} apps acknowledged ({per_s:.0f} a second), none refused; "
        f"{scene.killed[0]} and {back} were killed, {back} is back"
    )


async def _finish(load: "asyncio.Task[None]") -> None:
    """Wait for the apps. Raises: what the first of them that failed said."""
    try:
        await load
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def _two_victims(scene: Scene) -> list[str]:
    """The leader of this round, where it is known, and the replica after it."""
    statuses = await replica_statuses(scene.mesh.home)
    leaders = [status.leader for status in statuses.values() if status.leader]
    first = max(set(leaders), key=leaders.count) if leaders else 1
    count = len(scene.mesh.cell.replicas)
    return [f"replica-{first}", f"replica-{first % count + 1}"]


async def _acknowledged_more(scene: Scene, *, than: int) -> None:
    async with asyncio.timeout(_AGREE_S_MAX):
        while len(scene.acknowledged) <= than:  # noqa: ASYNC110  others' sockets make it true
            await asyncio.sleep(_PAUSE_S)


async def restore(scene: Scene) -> str:
    """Leave the mesh as it was found."""
    for name in list(scene.killed):
        await asyncio.to_thread(meshes.order, scene.mesh.home, "restart", name)
        scene.killed.remove(name)
    return await same_head(scene)
