"""Faults of processes: killed, stopped, restarted, and a page of a store turned to rubbish."""

import asyncio
import os
from pathlib import Path
from typing import Final

from heptad.trials.faults.trial import Fault, Trial
from heptad.trials.tour.steps import require

_UP_S_MAX: Final = 60.0
_PAGE_BYTES: Final = 4_096
_META_PAGES: Final = 2


async def _kill(trial: Trial, *names: str) -> str:
    """SIGKILL, nobody there for a while, a new start."""
    trial.begins()
    try:
        await trial.order("kill", *names)
        await trial.hold()
    finally:
        trial.ends()
        await trial.order("restart", *names)
    return f"{', '.join(names)} killed, back after {trial.pace.hold_s:g} s"


async def kill_leader(trial: Trial) -> str:
    """The leader is killed."""
    return await _kill(trial, *trial.replicas(1))


async def kill_two(trial: Trial) -> str:
    """The leader and its successor are killed."""
    return await _kill(trial, *trial.replicas(2))


async def kill_all_replicas(trial: Trial) -> str:
    """All seven at once, as when the power fails, and at once started again."""
    names = trial.replicas(len(trial.stage.mesh.cell.replicas))
    trial.begins()
    try:
        await trial.order("kill", *names)
    finally:
        await trial.order("restart", *names)
        trial.ends()
    return f"{len(names)} replicas killed in the same moment, and started again"


async def kill_validator(trial: Trial) -> str:
    """Half of the subjects lose their validator."""
    return await _kill(trial, "validator-1")


async def kill_ledger(trial: Trial) -> str:
    """Nobody lends keys, files entries or publishes."""
    return await _kill(trial, "ledger-1")


async def kill_gateway(trial: Trial) -> str:
    """Nobody answers HTTP."""
    return await _kill(trial, "gateway-1")


async def stop_leader(trial: Trial) -> str:
    """Neither dead nor alive: the leader's process stands still, its connections stay open."""
    (name,) = trial.replicas(1)
    trial.begins()
    try:
        await trial.order("pause", name)
        await trial.hold()
    finally:
        trial.ends()
        await trial.order("resume", name)
    return f"{name} stood still for {trial.pace.hold_s:g} s"


async def restart_each(trial: Trial) -> str:
    """A rolling restart, as for an update: one replica after the other, each until it is ready."""
    names = trial.replicas(len(trial.stage.mesh.cell.replicas))
    trial.begins()
    for name in names:
        await trial.order("restart", name)
        await asyncio.sleep(trial.pace.hold_s / len(names))
    trial.ends()
    return f"{len(names)} replicas restarted one after the other"


async def corrupt_page(trial: Trial) -> str:
    """Every page of one replica's store but its heads is rubbish; then the pages are as before.

    The replica must not start on it, and must say so. It signed nothing meanwhile, so the very
    pages that it had when it was killed are its continuous record, and it may go on with them.
    """
    (name,) = trial.replicas(1, after=3)
    path = trial.stage.mesh.home / name / "data" / "store" / "data.mdb"
    trial.begins()
    await trial.order("kill", name)
    good = await asyncio.to_thread(_spoil, path)
    try:
        start = asyncio.create_task(trial.order("restart", name))
        line = await trial.said(name, "service_broke", "task_failed")
        await trial.hold()
        require(trial.state(name) != "ready", f"{name} serves from a damaged store")
    finally:
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        await trial.order("kill", name)
        await asyncio.to_thread(path.write_bytes, good)
        trial.ends()
        await trial.order("restart", name)
    return f"{name} refused to start: {line.get('reason') or line}"


def _spoil(path: Path) -> bytes:
    """Overwrite all pages behind the two heads; what the file held before."""
    good = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(_META_PAGES * _PAGE_BYTES)
        file.write(os.urandom(len(good) - _META_PAGES * _PAGE_BYTES))
    return good


FAULTS: Final = (
    Fault("sigkill", "the leader is killed", "five of six go on", True, kill_leader),
    Fault("sigkill-two", "two replicas are killed, the leader first", "go on", True, kill_two),
    Fault(
        "sigkill-validator", "a validator is killed", "the other takes over", True, kill_validator
    ),
    Fault("sigkill-ledger", "the ledger is killed", "writes go on", True, kill_ledger),
    Fault("sigkill-gateway", "the gateway is killed", "come back", False, kill_gateway),
    Fault("sigkill-all", "all replicas are killed at once", "come back", False, kill_all_replicas),
    Fault("sigstop", "the leader stands still", "the other six go on", True, stop_leader),
    Fault("restart", "each replica is restarted in turn", "go on", True, restart_each),
    Fault(
        "corrupted-page",
        "the pages of one replica's store are rubbish",
        "it refuses to start and says why; the other six go on",
        True,
        corrupt_page,
    ),
)
