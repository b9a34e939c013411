"""Faults of disks: no block is free, and syncs that fail."""

import errno
from typing import Final

from heptad.trials.faults.machinery import SUFFERERS, WHOLE_CELL
from heptad.trials.faults.trial import Fault, Trial
from heptad.trials.tour.steps import require

_READY_S_MAX: Final = 90.0
_REPLICA, _LEDGER = SUFFERERS


async def _fill(trial: Trial, name: str, *events: str) -> str:
    """The member's disk is full until it has said why it cannot go on, and for a while after."""
    disk = trial.machinery.disks[name]
    trial.begins()
    disk.fill()
    try:
        line = await trial.said(name, *events)
        await trial.hold()
    finally:
        disk.make_room()
        trial.ends()
    await _comes_back(trial, name)
    return f"{name} said {line['event']}: {line.get('reason', '')}"


async def fill_everything(trial: Trial) -> str:
    """The machine's only disk is full: replicas, ledger, validators, logs, the supervisor."""
    disk = trial.machinery.disks[WHOLE_CELL]
    names = list(trial.stage.mesh.cell.member_addresses())
    trial.begins()
    disk.fill()
    try:
        await trial.hold()
        down = [name for name in names if trial.state(name) != "ready"]
    finally:
        disk.make_room()
        trial.ends()
    for name in names:
        await _comes_back(trial, name)
    return f"{len(down)} of {len(names)} services could not go on: {', '.join(down)}"


async def _comes_back(trial: Trial, name: str) -> None:
    """By itself: nobody gives an order."""
    ready = f"{name} is ready again"
    await trial.until(lambda: trial.state(name) == "ready", ready, within_s=_READY_S_MAX)


async def fill_replica(trial: Trial) -> str:
    """The replica that cannot write must stop, and start by itself once it can."""
    return await _fill(trial, _REPLICA, "task_failed", "service_broke")


async def fill_ledger(trial: Trial) -> str:
    """The ledger waits for room; writing goes on for subjects whose key is lent."""
    return await _fill(trial, _LEDGER, "store_full", "task_failed", "service_broke")


async def _fail_syncs(trial: Trial, name: str) -> str:
    shim = trial.machinery.shims[name]
    trial.begins()
    shim.fail_syncs(errno.EIO)
    try:
        line = await trial.said(name, "task_failed", "service_broke")
        await trial.hold()
        require(trial.state(name) != "ready", f"{name} serves though no sync works")
    finally:
        shim.fail_syncs(0)
        trial.ends()
    await _comes_back(trial, name)
    return f"{name} said {line['event']}: {line.get('reason', '')}"


async def fail_syncs_of_replica(trial: Trial) -> str:
    """Once a sync has failed nobody knows what is on the disk: the replica must stop."""
    return await _fail_syncs(trial, _REPLICA)


async def fail_syncs_of_ledger(trial: Trial) -> str:
    """The same for the ledger."""
    return await _fail_syncs(trial, _LEDGER)


DISK_FAULTS: Final = (
    Fault(
        "disk-full-replica",
        "the disk of one replica is full",
        "it stops and says why; the other six go on; it comes back by itself",
        True,
        fill_replica,
    ),
    Fault(
        "disk-full-ledger",
        "the disk of the ledger is full",
        "it waits for room and says so; writes go on for a minute; nothing is lost",
        True,
        fill_ledger,
    ),
)

ONE_DISK_FAULTS: Final = (
    Fault(
        "disk-full-all",
        "the one disk of the whole cell is full, logs included",
        "nothing is acknowledged; once there is room it comes back by itself",
        False,
        fill_everything,
    ),
)

SHIM_FAULTS: Final = (
    Fault(
        "eio-replica",
        "every sync of one replica fails with EIO",
        "it stops and says why; the other six go on; it comes back by itself",
        True,
        fail_syncs_of_replica,
    ),
    Fault(
        "eio-ledger",
        "every sync of the ledger fails with EIO",
        "it stops and says why; writes go on for a minute; nothing is lost",
        True,
        fail_syncs_of_ledger,
    ),
)
