"""Faults of clocks: the wall clock of one replica's or validator's machine is an hour off."""

import asyncio
from typing import Final

from heptad.trials.faults.machinery import SHIMMED
from heptad.trials.faults.trial import Fault, Trial

HOUR_S: Final = 3_600
VICTIM, _, VALIDATOR = SHIMMED
EACH_LEADS_S: Final = 16.0
"""Within this time every replica leads once: a term is at most 64 rounds, most of 25 to 50 ms."""


async def jump_ahead(trial: Trial) -> str:
    """The clock jumps while the replica runs, which looks at it once in its life."""
    shim = trial.machinery.shims[VICTIM]
    trial.begins()
    try:
        shim.move_clock(HOUR_S)
        await trial.hold()
    finally:
        shim.move_clock(0)
        trial.ends()
    return f"{VICTIM}'s clock was an hour ahead for {trial.pace.hold_s:g} s"


async def _start_with(trial: Trial, seconds: int) -> str:
    """The clock is wrong when the replica starts, and that is what it goes by from then on."""
    shim = trial.machinery.shims[VICTIM]
    trial.begins()
    try:
        shim.move_clock(seconds)
        await trial.order("restart", VICTIM)
        await asyncio.sleep(max(trial.pace.hold_s, EACH_LEADS_S))
    finally:
        shim.move_clock(0)
        trial.ends()
        await trial.order("restart", VICTIM)
    return f"{VICTIM} started with a clock {abs(seconds)} s {'ahead' if seconds > 0 else 'behind'}"


async def start_ahead(trial: Trial) -> str:
    """A replica starts an hour ahead."""
    return await _start_with(trial, HOUR_S)


async def start_behind(trial: Trial) -> str:
    """A replica starts an hour behind."""
    return await _start_with(trial, -HOUR_S)


async def validator_jumps(trial: Trial) -> str:
    """A validator that went by it would refuse every request of its subjects as too old."""
    shim = trial.machinery.shims[VALIDATOR]
    trial.begins()
    try:
        shim.move_clock(HOUR_S)
        line = await trial.said(VALIDATOR, "clock_wrong")
        await trial.hold()
    finally:
        shim.move_clock(0)
        trial.ends()
    await trial.said(VALIDATOR, "clock_right")
    return f"{VALIDATOR} said clock_wrong, off by {line['off_ms']} ms, and went by the replicas'"


async def validator_starts_behind(trial: Trial) -> str:
    """A validator that went by it would admit again what its former life has admitted."""
    shim = trial.machinery.shims[VALIDATOR]
    trial.begins()
    try:
        shim.move_clock(-HOUR_S)
        await trial.order("restart", VALIDATOR)
        line = await trial.said(VALIDATOR, "clock_wrong")
        await trial.hold()
    finally:
        shim.move_clock(0)
        trial.ends()
    await trial.said(VALIDATOR, "clock_right")
    return f"{VALIDATOR} started with a clock off by {line['off_ms']} ms, and went by the replicas'"


FAULTS: Final = (
    Fault("clock-ahead", "a replica's clock jumps an hour ahead", "go on", True, jump_ahead),
    Fault(
        "clock-start-ahead",
        "a replica starts with a clock an hour ahead",
        "its proposals are refused; the others go on",
        True,
        start_ahead,
    ),
    Fault(
        "clock-start-behind",
        "a replica starts with a clock an hour behind",
        "it votes for nothing; the others go on",
        True,
        start_behind,
    ),
    Fault(
        "clock-validator",
        "a validator's clock jumps an hour ahead",
        "it says so, goes by the replicas' clocks, and goes on",
        True,
        validator_jumps,
    ),
    Fault(
        "clock-validator-start",
        "a validator starts with a clock an hour behind",
        "it says so, and goes by the replicas' clocks",
        True,
        validator_starts_behind,
    ),
)
