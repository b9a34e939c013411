"""Carries out the actions of a scenario upon its cast."""

from collections import Counter
from typing import Final

from heptad.simulation.cast import Cast
from heptad.simulation.chance import stream
from heptad.simulation.clock import LocalClock
from heptad.simulation.machine import WRITE_COST_US, Cut, Machine
from heptad.simulation.network import VALIDATORS_AT, NodeId
from heptad.simulation.rules import RoundPartitions, Rule
from heptad.simulation.scenario import (
    Action,
    Allow,
    Arm,
    BreakDisk,
    Change,
    Crash,
    Forbid,
    Heal,
    LoseWrites,
    MendDisk,
    Partition,
    PartitionRounds,
    Pause,
    Prune,
    Restart,
    Resume,
    Scenario,
    SetClock,
    Sever,
    SlowDisk,
    Submit,
    Wipe,
)
from heptad.simulation.transcript import describe_action

DRIFT_PPM_MAX: Final = 200
CONNECT_US_MAX: Final = 5_000
SILENT_DEATHS: Final = 0.3
"""The share of deaths that nobody notices but by what is not said any more."""


class Stage:
    """The acts of one history. `counts` says how often each was done."""

    def __init__(self, scenario: Scenario, cast: Cast) -> None:
        """Every name in the scenario must be somebody's. Raises: ValueError."""
        self.counts: Counter[str] = Counter()
        self._scenario = scenario
        self._cast = cast
        self._network = cast.setting.network
        self._timeline = cast.setting.timeline
        self._rng = stream(scenario.seed, "stage")
        self._nodes: dict[str, NodeId] = {
            name: machine.identity.node for name, machine in cast.machines.items()
        }
        for name, validator in cast.validators.items():
            self._nodes[name] = NodeId(VALIDATORS_AT + validator.number)
        for machine in cast.machines.values():
            machine.when_dead = self._disconnect
        for action in scenario.actions:
            _require_known(action, set(self._nodes))

    def open(self) -> None:
        """Start every machine for the first time."""
        for name, machine in self._cast.machines.items():
            self._boot(machine, self._scenario.offsets_ms.get(name, 0), is_new=True)

    def perform(self, action: Action) -> None:
        """Do what the action says, now."""
        if self._cast.setting.transcript is not None:
            self._cast.setting.transcript.note(self._timeline.now_us, "—", describe_action(action))
        self.counts[type(action).__name__] += 1
        match action:
            case Partition() | Sever() | Heal() | Change():
                self._change_network(action)
            case Forbid() | Allow() | PartitionRounds():
                self._change_verdicts(action)
            case Submit(_, validator, count):
                self._cast.validators[validator].submit(count)
            case Restart(_, node, offset_ms):
                self._restart(node, offset_ms)
            case Prune(_, keep):
                for machine in self._cast.machines.values():
                    machine.disk.prune(keep)
            case _:
                self._change_machine(action, self._cast.machines[action.node])

    def clear_up(self) -> None:
        """The end of all faults: whatever can work works again."""
        for machine in self._cast.machines.values():
            machine.arm(None)
            machine.disk.mend()
            if machine.is_clock_wrong and machine.is_up:
                self.counts["clocks set right"] += 1
                machine.crash()
            machine.write_cost_us = WRITE_COST_US
        healed = self._network.clear_up(self._scenario.weather)
        self._reconnect(healed)
        for name, machine in self._cast.machines.items():
            if machine.is_paused:
                machine.resume()
            if not machine.is_up:
                self._restart(name, self._scenario.offsets_ms.get(name, 0))

    def _change_network(self, action: Partition | Sever | Heal | Change) -> None:
        match action:
            case Partition(_, groups, holds):
                healed = self._network.heal()
                self._part(groups, holds=holds)
                self._reconnect(healed)
            case Sever(_, sources, targets, holds):
                for link in self._links(sources, targets):
                    self._network.cut(*link, holds=holds)
            case Heal():
                self._reconnect(self._network.heal())
            case Change(_, weather, (), ()):
                self._network.weather = weather
            case Change(_, weather, sources, targets):
                for link in self._links(sources, targets):
                    self._network.set_local_weather(*link, weather)

    def _change_verdicts(self, action: Forbid | Allow | PartitionRounds) -> None:
        match action:
            case Forbid():
                self._network.verdicts.append(self._rule(action))
            case PartitionRounds(_, round_first, rounds):
                self._network.verdicts.append(self._round_partitions(round_first, rounds))
            case Allow():
                self._network.verdicts.clear()

    def _change_machine(
        self,
        action: Crash
        | Arm
        | BreakDisk
        | MendDisk
        | LoseWrites
        | Wipe
        | SetClock
        | Pause
        | Resume
        | SlowDisk,
        machine: Machine,
    ) -> None:
        match action:
            case Crash():
                machine.crash()
            case Arm(_, _, point, after):
                machine.arm(Cut(point, after))
            case BreakDisk(_, _, fault, after):
                machine.disk.break_down(fault, after=after)
            case MendDisk():
                machine.disk.mend()
            case LoseWrites():
                machine.disk.lose_writes()
            case SetClock(_, _, by_ms, drift_ppm):
                machine.set_clock(by_ms, drift_ppm)
            case Wipe():
                machine.crash()
                machine.disk.wipe()
            case Pause():
                machine.pause()
            case Resume():
                machine.resume()
            case SlowDisk(_, _, write_us):
                machine.write_cost_us = write_us

    def _restart(self, node: str, offset_ms: int) -> None:
        if node in self._cast.validators:
            self._cast.validators[node].restart()
            return
        machine = self._cast.machines[node]
        if not (machine.is_up or machine.is_lost):
            self.counts["machine restarts"] += 1
            self._boot(machine, offset_ms, is_new=False)

    def _boot(self, machine: Machine, offset_ms: int, *, is_new: bool) -> None:
        drift_ppm = self._rng.randint(-DRIFT_PPM_MAX, DRIFT_PPM_MAX)
        machine.boot(LocalClock(offset_ms, drift_ppm), is_new=is_new)
        for other in self._cast.machines.values():
            if other is not machine and other.is_up:
                self._connect(machine, other)

    def _part(self, groups: tuple[tuple[str, ...], ...], *, holds: bool) -> None:
        group_of = {name: index for index, group in enumerate(groups) for name in group}
        for source, source_id in self._nodes.items():
            for target, target_id in self._nodes.items():
                if group_of.get(source) != group_of.get(target):
                    self._network.cut(source_id, target_id, holds=holds)

    def _reconnect(self, healed: list[tuple[NodeId, NodeId]]) -> None:
        by_node = {machine.identity.node: machine for machine in self._cast.machines.values()}
        pairs = dict.fromkeys((min(link), max(link)) for link in healed)
        for one, other in pairs:
            if one in by_node and other in by_node:
                self._connect(by_node[one], by_node[other])

    def _connect(self, one: Machine, other: Machine) -> None:
        """A connection comes up, if nothing is in its way; both ends hear of it, soon."""
        here, there = one.identity.node, other.identity.node
        if self._network.is_cut(here, there) or self._network.is_cut(there, here):
            return
        if one.member == other.member:
            return
        for end, peer in ((one, other), (other, one)):
            at_us = self._timeline.now_us + self._rng.randrange(CONNECT_US_MAX)
            self._timeline.at(at_us, end.connected, peer.member)

    def _disconnect(self, dead: Machine) -> None:
        """A process has died: mostly the others hear of it soon, for its connections break.

        Not where the network is cut, nor where the whole machine lost its power.
        """
        if self._rng.random() < SILENT_DEATHS:
            return
        for other in self._cast.machines.values():
            is_cut = self._network.is_cut(dead.identity.node, other.identity.node)
            if other.member != dead.member and not is_cut:
                at_us = self._timeline.now_us + self._rng.randrange(CONNECT_US_MAX)
                self._timeline.at(at_us, other.lost, dead.member)

    def _links(
        self, sources: tuple[str, ...], targets: tuple[str, ...]
    ) -> list[tuple[NodeId, NodeId]]:
        """All links from one to the other; no names mean all nodes."""
        return [
            (self._nodes[source], self._nodes[target])
            for source in sources or self._nodes
            for target in targets or self._nodes
        ]

    def _round_partitions(
        self, round_first: int, rounds: tuple[tuple[tuple[str, ...], ...], ...]
    ) -> RoundPartitions:
        places = [
            {self._nodes[name]: number for number, group in enumerate(groups) for name in group}
            for groups in rounds
        ]
        decode = self._cast.setting.decoding.message
        return RoundPartitions(round_first=round_first, rounds=places, decode=decode)

    def _rule(self, forbid: Forbid) -> Rule:
        return Rule(
            forbid,
            sources=frozenset(self._nodes[name] for name in forbid.sources),
            targets=frozenset(self._nodes[name] for name in forbid.targets),
        )


def _require_known(action: Action, known: set[str]) -> None:
    names: list[str] = []
    match action:
        case Partition(_, groups):
            names = [name for group in groups for name in group]
        case Sever(_, sources, targets) | Change(_, _, sources, targets):
            names = [*sources, *targets]
        case PartitionRounds(_, _, rounds):
            names = [name for groups in rounds for group in groups for name in group]
        case Forbid():
            names = [*action.sources, *action.targets]
        case Submit(_, validator, _):
            names = [validator]
        case Heal() | Allow() | Prune():
            names = []
        case _:
            names = [action.node]
    strangers = sorted(set(names) - known)
    if strangers:
        raise ValueError(f"{type(action).__name__} names {', '.join(strangers)}: no such node")
