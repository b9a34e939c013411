"""The configurations: those that must hold, and those that must fail or the model is blind.

Each rule of the protocol is taken out once. What then must happen is written down beforehand: a
fork, or a time-out certificate that nobody can follow; two rules may go without harm to safety, and
the table says so. A counter-example from the thinned-out model counts only after `messages` has
taken every step of it and seen the same thing go wrong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from heptad.specification import messages, rounds
from heptad.specification.invariants import INVARIANTS, broken
from heptad.specification.messages import Protocol, Step
from heptad.specification.rounds import Rounds
from heptad.specification.rules import Group, Record, Rules
from heptad.specification.search import Model, search

ALL: Final = Rules()
FOUR: Final = Group(4, 1)
SEVEN: Final = Group(7, 2)
EVERYTHING: Final = tuple(INVARIANTS)
FORK: Final = ("agreement",)
STUCK: Final = ("TCs can be followed",)
DEADLOCK: Final = ("a calm group commits",)
STATES_MAX: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Configuration:
    """One row: rules, a group, how it is searched, and what must come out.

    `method` is "messages" (every order of all messages), "rounds" (thinned out, up to `limit`
    rounds) or "endless" (any number of rounds, up to `limit` blocks that can still be extended).
    `fails` names what must be violated; empty if everything that the method checks must hold.
    """

    name: str
    rules: Rules
    group: Group
    method: str
    limit: int
    fails: tuple[str, ...] = ()
    labels: int = 1

    @property
    def has_all_rules(self) -> bool:
        """True if the row is the protocol itself, in a group that it is made for."""
        is_group_sound = self.group == Group(self.group.members, self.group.faulty_max)
        return self.rules == ALL and is_group_sound


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found. `told` says what was violated, `steps` lead there one by one.

    `objection` is what the full rules say of those steps: which of them they refuse, and why.
    """

    configuration: Configuration
    states: int
    is_finished: bool
    told: str | None
    steps: tuple[Step, ...]
    objection: str | None

    @property
    def is_as_it_must_be(self) -> bool:
        """True if it failed as it must, or was exhausted without a violation."""
        if self.configuration.fails:
            return self.told is not None
        return self.told is None and self.is_finished


class _End(NamedTuple):
    states: int
    is_finished: bool
    told: str | None
    steps: tuple[Step, ...]


def run(configuration: Configuration, *, states_max: int = STATES_MAX) -> Outcome:
    """Exhaust one configuration, or find the shortest way to what is wrong with it."""
    if configuration.method == "messages":
        end = _run_messages(configuration, states_max)
    else:
        end = _run_rounds(configuration, states_max)
    told, objection = end.told, None
    if told is not None and end.steps:
        told = replayed(configuration, end.steps)
        objection = objected(configuration, end.steps)
    return Outcome(configuration, end.states, end.is_finished, told, end.steps, objection)


def replayed(configuration: Configuration, steps: Sequence[Step]) -> str | None:
    """What these steps violate in the unreduced model; None if it refuses one, or nothing is."""
    protocol = _protocol(configuration)
    state = protocol.initial()
    for step in steps:
        if protocol.refusal(state, step) is not None:
            return None
        state = protocol.after(state, step)
    return broken(
        configuration.rules, configuration.group, state, configuration.fails or EVERYTHING
    )


def objected(configuration: Configuration, steps: Sequence[Step]) -> str:
    """What the full rules, in a group that they are made for, say of these steps."""
    members = configuration.group.members
    sound = Group(members, Group(members, 0).faulty_max)
    if sound != configuration.group:
        return f"the rules are for {sound.byzantine} Byzantine and a quorum of {sound.quorum}"
    protocol = _protocol(replace(configuration, rules=ALL))
    state = protocol.initial()
    for number, step in enumerate(steps, start=1):
        refusal = protocol.refusal(state, step)
        if refusal is not None:
            return f"step {number} is refused: {refusal}"
        state = protocol.after(state, step)
    told = broken(ALL, sound, state, EVERYTHING)
    return "every step is allowed, and nothing is violated" if told is None else told


def _protocol(configuration: Configuration) -> Protocol:
    rounds_max = 64 if configuration.method != "messages" else configuration.limit
    return Protocol(configuration.rules, configuration.group, rounds_max, configuration.labels)


def _run_messages(configuration: Configuration, states_max: int) -> _End:
    protocol, rules, group = _protocol(configuration), configuration.rules, configuration.group
    names = configuration.fails or EVERYTHING

    def successors(state: messages.State) -> Iterator[tuple[Step, messages.State]]:
        return ((step, protocol.after(state, step)) for step in protocol.steps(state))

    def wrong(state: messages.State) -> str | None:
        return broken(rules, group, state, names)

    model = Model(protocol.initial(), successors, wrong, messages.canonical)
    found = search(model, states_max=states_max)
    steps = tuple(messages.unfolded(protocol, found.path))
    return _End(found.states, found.is_finished, found.violation, steps)


def _run_rounds(configuration: Configuration, states_max: int) -> _End:
    is_endless = configuration.method == "endless"
    machine = Rounds(
        configuration.rules, configuration.group,
        rounds_max=0 if is_endless else configuration.limit,
        forgets_the_past=is_endless,
        blocks_max=configuration.limit if is_endless else rounds.BLOCKS_MAX,
    )  # fmt: skip
    model = Model(machine.initial(), machine.successors, machine.wrong, machine.canonical)
    found = search(model, states_max=states_max)
    steps = () if is_endless else tuple(rounds.unfolded(machine, found.path))
    return _End(found.states, found.is_finished, found.violation, steps)


def _without(name: str, rules: Rules, *, limit: int = 4) -> Configuration:
    return Configuration(f"without: {name}", rules, FOUR, "rounds", limit, FORK)


def _group(name: str, group: Group) -> Configuration:
    return Configuration(name, ALL, group, "rounds", 3, FORK)


def _forgetting(what: str, *fields: str) -> Configuration:
    rules = replace(ALL, forgets=frozenset(fields))
    return Configuration(f"a crash forgets {what}", rules, FOUR, "rounds", 4, FORK)


def _endless(group: Group, limit: int) -> Configuration:
    name = f"n = {group.members}, {group.byzantine} Byzantine, any number of rounds"
    return Configuration(name, ALL, group, "endless", limit)


def _harmless(name: str, rules: Rules, method: str, limit: int) -> Configuration:
    return Configuration(f"without: {name}", rules, FOUR, method, limit)


MUST_HOLD: Final = (
    Configuration("n = 4, all messages, one proposal a parent", ALL, FOUR, "messages", 2),
    Configuration("n = 4, all messages, rival proposals", ALL, FOUR, "messages", 2, labels=2),
    Configuration("n = 4, quorums, every round as it is", ALL, FOUR, "rounds", 6),
    Configuration("n = 7, quorums, every round as it is", ALL, SEVEN, "rounds", 5),
    _endless(FOUR, 32),
    _endless(Group(5, 1), 16),
    _endless(Group(6, 1), 16),
    _endless(SEVEN, 24),
    _endless(Group(10, 3), 16),
    _endless(Group(13, 4), 16),
    _harmless("time-outs only where one is", replace(ALL, timeout_entered=False), "rounds", 5),
    _harmless("time-outs go forward", replace(ALL, timeout_forward=False), "messages", 2),
    _harmless("time-outs go forward", replace(ALL, timeout_forward=False), "rounds", 5),
)
"""The protocol, and what it could do without as far as forks are concerned."""

MUST_FAIL: Final = (
    _without("one vote a round", replace(ALL, vote_once=False)),
    _without("no vote after a time-out", replace(ALL, vote_sealed=False)),
    _without("justify is of the round before, or there is a TC", replace(ALL, entry_follows=False)),
    _without("the TC is of the round before", replace(ALL, tc_follows=False)),
    _without("justify is no lower than the TC's claims", replace(ALL, tc_floor=False)),
    _without("a vote's justify is claimed ever after", replace(ALL, claims_true=False)),
    _without("commits need consecutive rounds", replace(ALL, commit_adjacent=False)),
    _without("commits need parent and child", replace(ALL, commit_child=False)),
    Configuration("without: claims lie below the TC's round", replace(ALL, claims_below=False),
                  FOUR, "messages", 2, STUCK),
    Configuration("without: a QC behind the greatest claim", replace(ALL, claims_backed=False),
                  FOUR, "messages", 2, STUCK),
    Configuration("without: time-outs only where one is", replace(ALL, timeout_entered=False),
                  FOUR, "messages", 2, DEADLOCK),
    _group("a quorum of n - f - 1 of 4", Group(4, 1, 2)),
    _group("a quorum of 2f + 1 of 5", Group(5, 1, 3)),
    _group("a quorum of 2f + 1 of 6", Group(6, 1, 3)),
    _group("two Byzantine of 4", Group(4, 2)),
    _group("three Byzantine of 7", Group(7, 3)),
    _forgetting("all of the record", *Record._fields),
    _forgetting("the last vote", "voted"),
    _forgetting("the last time-out", "timed_out"),
    _forgetting("high_qc", "high_qc"),
)  # fmt: skip
"""One rule less each, or one liar too many."""

CONFIGURATIONS: Final = MUST_HOLD + MUST_FAIL

DEEPER: Final = (
    Configuration("n = 4, all messages, three rivals", ALL, FOUR, "messages", 2, labels=3),
    Configuration("n = 4, quorums, every round as it is", ALL, FOUR, "rounds", 8),
    Configuration("n = 7, quorums, every round as it is", ALL, SEVEN, "rounds", 7),
    _endless(FOUR, 64),
    _endless(SEVEN, 64),
    _endless(Group(10, 3), 40),
    _endless(Group(13, 4), 40),
)
"""More of the same, for whom a minute is not long."""


def story(outcome: Outcome) -> list[str]:
    """A counter-example for people: numbered steps, what they lead to, what the rules say."""
    if outcome.told is None:
        return []
    steps = [f"{number:>3}. {step.text()}" for number, step in enumerate(outcome.steps, start=1)]
    objection = [] if outcome.objection is None else [f"with all rules: {outcome.objection}"]
    return [*steps, outcome.told, *objection]
