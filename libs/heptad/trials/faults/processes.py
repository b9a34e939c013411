"""Faults of processes: killed, stopped, restarted."""

import asyncio
from typing import Final

from heptad.client.submission import SILENCE_S
from heptad.trials.faults.trial import Fault, Trial


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


async def _stop(trial: Trial, name: str, *, hold_s: float) -> str:
    """Neither dead nor alive: the process stands still, its connections stay open."""
    trial.begins()
    try:
        await trial.order("pause", name)
        await asyncio.sleep(hold_s)
    finally:
        trial.ends()
        await trial.order("resume", name)
    return f"{name} stood still for {hold_s:g} s"


async def stop_leader(trial: Trial) -> str:
    """The leader's process stands still."""
    (name,) = trial.replicas(1)
    return await _stop(trial, name, hold_s=trial.pace.hold_s)


async def stop_validator(trial: Trial) -> str:
    """Half of the subjects have a validator that says nothing, until it is taken for hung."""
    return await _stop(trial, "validator-1", hold_s=max(trial.pace.hold_s, 2 * SILENCE_S))


async def stop_ledger(trial: Trial) -> str:
    """Nobody lends keys, files entries or publishes, and nobody's connection breaks."""
    return await _stop(trial, "ledger-1", hold_s=trial.pace.hold_s)


async def restart_each(trial: Trial) -> str:
    """A rolling restart, as for an update: one replica after the other, each until it is ready."""
    names = trial.replicas(len(trial.stage.mesh.cell.replicas))
    trial.begins()
    for name in names:
        await trial.order("restart", name)
        await asyncio.sleep(trial.pace.hold_s / len(names))
    trial.ends()
    return f"{len(names)} replicas restarted one after the other"


FAULTS: Final = (
    Fault("sigkill", "the leader is killed", "five of six go on", True, kill_leader),
    Fault("sigkill-two", "two replicas are killed, the leader first", "go on", True, kill_two),
    Fault("sigkill-ledger", "the ledger is killed", "writes go on", True, kill_ledger),
    Fault("sigkill-gateway", "the gateway is killed", "come back", False, kill_gateway),
    Fault("sigkill-all", "all replicas are killed at once", "come back", False, kill_all_replicas),
    Fault("sigstop", "the leader stands still", "the other six go on", True, stop_leader),
    Fault("sigstop-ledger", "the ledger stands still", "writes go on", True, stop_ledger),
    Fault("restart", "each replica is restarted in turn", "go on", True, restart_each),
    Fault(
        "sigkill-validator", "a validator is killed", "the other takes over", True, kill_validator
    ),
    Fault(
        "sigstop-validator",
        "a validator stands still",
        "the other takes over after 7 s of silence",
        True,
        stop_validator,
    ),
)
"""Those of a validator come last: for half a minute after its start it looks every request up, and
for a minute and a half two validators look up those of subjects whose key was lent elsewhere. A
ledger that fails just then holds up writing, as it does not at other times.
"""
