"""Faults of the network: members that cannot hear each other, both ways or one way."""

from collections.abc import Callable, Sequence
from typing import Final

from heptad.trials.faults.machinery import CUT_OFF
from heptad.trials.faults.network import OUTSIDE, Network
from heptad.trials.faults.trial import Fault, Trial


async def _cut(trial: Trial, cut: Callable[[Network, Sequence[int]], str]) -> str:
    """Let `cut` do its work; it is given the network and the numbers, the leader's first."""
    network = trial.machinery.network
    assert network is not None
    names = trial.replicas(len(trial.stage.mesh.cell.replicas))
    numbers = [int(name.rpartition("-")[2]) for name in names]
    trial.begins()
    try:
        what = cut(network, numbers)
        await trial.hold()
    finally:
        network.heal()
        trial.ends()
    return f"{what}, for {trial.pace.hold_s:g} s"


async def part_two(trial: Trial) -> str:
    """The leader and one more on one side, the other five and everybody else on the other."""

    def cut(network: Network, numbers: Sequence[int]) -> str:
        network.part(numbers[:2], [*numbers[2:], trial.machinery.places[CUT_OFF], OUTSIDE])
        return f"replicas {numbers[0]} and {numbers[1]} cut off from all others"

    return await _cut(trial, cut)


async def part_three(trial: Trial) -> str:
    """Four and everybody else on one side: no quorum anywhere."""

    def cut(network: Network, numbers: Sequence[int]) -> str:
        network.part(numbers[:3], [*numbers[3:], trial.machinery.places[CUT_OFF], OUTSIDE])
        return f"replicas {sorted(numbers[:3])} cut off from all others"

    return await _cut(trial, cut)


async def mute_leader(trial: Trial) -> str:
    """Nothing that the leader sends arrives at another replica; it hears everything."""

    def cut(network: Network, numbers: Sequence[int]) -> str:
        network.cut(numbers[:1], numbers[1:])
        return f"no replica hears replica {numbers[0]}"

    return await _cut(trial, cut)


async def deafen_leader(trial: Trial) -> str:
    """Nothing that other replicas send arrives at the leader; all hear it."""

    def cut(network: Network, numbers: Sequence[int]) -> str:
        network.cut(numbers[1:], numbers[:1])
        return f"replica {numbers[0]} hears no replica"

    return await _cut(trial, cut)


async def ring(trial: Trial) -> str:
    """Each replica reaches its two neighbours only: no leader reaches a quorum."""

    def cut(network: Network, numbers: Sequence[int]) -> str:
        total = len(numbers)
        for number in numbers:
            near = {number, number % total + 1, (number - 2) % total + 1}
            network.cut([number], [other for other in numbers if other not in near])
        return "each replica reached its two neighbours only"

    return await _cut(trial, cut)


async def missing_links(trial: Trial) -> str:
    """Each replica is cut off from its next one: everybody still reaches a quorum."""

    def cut(network: Network, numbers: Sequence[int]) -> str:
        for number in numbers:
            network.part([number], [number % len(numbers) + 1])
        return "each replica was cut off from its two neighbours"

    return await _cut(trial, cut)


async def cut_validator_off(trial: Trial) -> str:
    """A validator reaches no replica; gateway and ledger reach it, and the replicas are well."""

    def cut(network: Network, numbers: Sequence[int]) -> str:
        network.part([trial.machinery.places[CUT_OFF]], numbers)
        return f"{CUT_OFF} reached no replica"

    return await _cut(trial, cut)


FAULTS: Final = (
    Fault("partition-2-5", "two cut off, the leader is one", "the five go on", True, part_two),
    Fault("partition-3-4", "three cut off from four", "come back", False, part_three),
    Fault("mute-leader", "one way: nobody hears the leader", "go on", True, mute_leader),
    Fault("deaf-leader", "one way: the leader hears nobody", "go on", True, deafen_leader),
    Fault("ring", "each reaches its two neighbours only", "come back", False, ring),
    Fault("missing-links", "each is cut off from its neighbours", "go on", True, missing_links),
    Fault(
        "cut-off-validator",
        "a validator is cut off from all replicas",
        "the other takes over what is new",
        True,
        cut_validator_off,
    ),
)
