"""Who takes part in a history: the machines, villains, twins and validators of a scenario.

The only place where simulated parts are put together; everything that outlives a process is made
here, once.
"""

from dataclasses import dataclass
from typing import Final

from heptad.consensus.committee import Cell, Committee, Member
from heptad.consensus.committee import Validator as ValidatorKeys
from heptad.consensus.leaders import Schedule
from heptad.consensus.limits import Limits
from heptad.model.ids import Epoch, MemberIndex, ValidatorNumber
from heptad.simulation.chance import stream
from heptad.simulation.checkers import Checkers
from heptad.simulation.clock import Timeline
from heptad.simulation.disk import Disk, WriteFault
from heptad.simulation.keys import FakeKeys, Keys, RealKeys
from heptad.simulation.machine import Identity, Machine, Setting
from heptad.simulation.network import VALIDATORS_AT, Network, NodeId
from heptad.simulation.repertoire import villain_of
from heptad.simulation.scenario import BreakDisk, LoseWrites, Scenario, Wipe
from heptad.simulation.sharing import shared_decoding
from heptad.simulation.transcript import Transcript
from heptad.simulation.twins import twin_name
from heptad.simulation.validators import Manner, Validator

ORIGIN: Final = "simulation.heptad.example/cell"

_HONEST_BATCHES: Final = frozenset({Manner.HONEST, Manner.THREE_ONLY})
"""Manners in which every batch that carries the validator's signature is a right one."""


@dataclass(frozen=True, slots=True)
class Cast:
    """All parts of one world. `machines` by node name, members first, then second copies."""

    setting: Setting
    machines: dict[str, Machine]
    validators: dict[str, Validator]
    faulty: frozenset[MemberIndex]


def cast(scenario: Scenario, transcript: Transcript | None) -> Cast:
    """Make everybody, nobody started yet. Raises: ValueError if the scenario names a stranger."""
    keys: Keys = RealKeys(scenario.seed) if scenario.real_signatures else FakeKeys(scenario.seed)
    members = {f"replica-{index + 1}": MemberIndex(index) for index in range(scenario.members)}
    cell = _cell(scenario, keys)
    broken_disks = _faulty_disks(scenario, Wipe, LoseWrites, BreakDisk)
    bad = [*scenario.twins, *scenario.villains, *sorted(broken_disks)]
    strangers = sorted({name.removesuffix("-twin") for name in bad} - set(members))
    if strangers:
        raise ValueError(f"no such members: {', '.join(strangers)}")
    faulty = frozenset(members[name.removesuffix("-twin")] for name in bad)
    nodes = dict(members) | {twin_name(name): members[name] for name in scenario.twins}
    timeline = Timeline()
    limits = Limits(**scenario.limits)
    setting = Setting(
        cell=cell,
        limits=limits,
        verifier=keys.verifier,
        timeline=timeline,
        network=Network(timeline, stream(scenario.seed, "network"), scenario.weather),
        checkers=Checkers(
            cell=cell,
            verifier=keys.verifier,
            faulty=faulty,
            term_rounds=limits.term_rounds,
            equivocating=_of_manners(scenario, frozenset({Manner.EQUIVOCATING})),
        ),
        transcript=transcript,
        members={NodeId(place): member for place, member in enumerate(nodes.values())},
        reaction_us=scenario.reaction_us,
        honest_validators=_of_manners(scenario, _HONEST_BATCHES),
        decoding=shared_decoding(),
    )
    machines = {
        name: _machine(NodeId(place), name, setting=setting, keys=keys, scenario=scenario)
        for place, name in enumerate(nodes)
    }
    return Cast(setting, machines, _validators(scenario, setting, keys), faulty)


def _faulty_disks(
    scenario: Scenario, *kinds: type[Wipe | LoseWrites | BreakDisk]
) -> frozenset[str]:
    """Nodes whose disks do what no disk may, in one of these ways."""
    return frozenset(
        action.node
        for action in scenario.actions
        if isinstance(action, kinds)
        and not (isinstance(action, BreakDisk) and action.fault is not WriteFault.TORN)
    )


def _of_manners(scenario: Scenario, manners: frozenset[Manner]) -> frozenset[ValidatorNumber]:
    return frozenset(
        ValidatorNumber(index + 1)
        for index, manner in enumerate(scenario.manners)
        if manner in manners
    )


def _cell(scenario: Scenario, keys: Keys) -> Cell:
    committee = Committee(
        tuple(
            Member(keys.public_key("vote", index), keys.public_key("cosign", index))
            for index in range(scenario.members)
        )
    )
    validators = tuple(
        ValidatorKeys(ValidatorNumber(number), keys.public_key("batch", number))
        for number in range(1, len(scenario.manners) + 1)
    )
    return Cell(ORIGIN, Epoch(1), committee, validators)


def _machine(
    node: NodeId, name: str, *, setting: Setting, keys: Keys, scenario: Scenario
) -> Machine:
    member = setting.members[node]
    signer = keys.signer("vote", member)
    villain = None
    if name in scenario.villains:
        villain = villain_of(
            scenario.villains[name],
            me=member,
            cell=setting.cell,
            schedule=Schedule(setting.cell.committee, setting.limits.term_rounds),
            signer=signer,
            cosigner=keys.signer("cosign", member),
            rng=stream(scenario.seed, f"villain {name}"),
        )
    machine = Machine(
        identity=Identity(node, name, member, signer, keys.signer("cosign", member)),
        setting=setting,
        disk=Disk(stream(scenario.seed, f"disk {name}")),
        villain=villain,
        is_watched=villain is None and name not in _faulty_disks(scenario, LoseWrites),
        is_alone=name.removesuffix("-twin") not in scenario.twins,
    )
    setting.network.attach(node, machine)
    if machine.is_watched:
        setting.checkers.watch(machine)
    return machine


def _validators(scenario: Scenario, setting: Setting, keys: Keys) -> dict[str, Validator]:
    validators = {}
    for index, manner in enumerate(scenario.manners):
        number = ValidatorNumber(index + 1)
        validator = Validator(
            number=number,
            cell=setting.cell,
            signer=keys.signer("batch", number),
            manner=manner,
            replicas=tuple(setting.members),
            network=setting.network,
            timeline=setting.timeline,
            checkers=setting.checkers,
            rng=stream(scenario.seed, f"validator {number}"),
        )
        setting.network.attach(NodeId(VALIDATORS_AT + number), validator)
        validators[f"validator-{number}"] = validator
    return validators
