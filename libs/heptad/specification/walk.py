"""At random and deep: what no exhaustion reaches, all messages of a large group over many rounds.

A walk makes one allowed step after the other near the front, where things still happen. What was
once violated stays so, for signatures are never taken back; so a walk is judged at its end, and
only a walk that ends badly is looked through for the step that did it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from heptad.specification.invariants import INVARIANTS, broken
from heptad.specification.messages import (
    Block,
    Knowledge,
    Protocol,
    Said,
    State,
    Step,
    timeout,
    vote,
)

Choose: TypeAlias = Callable[[int], int]
"""A number from 0 up to and without the argument, at random."""

TRIES_MAX: Final = 400
"""Suggestions in a row that the rules may refuse before a walk ends."""

ROUNDS_BACK: Final = 3
"""Steps are suggested for rounds so far behind the front, and for parents so far back."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a walk went: its steps, the rounds it saw, the blocks certified and committed.

    `told` is what it violated, after `steps`; None if nothing.
    """

    steps: tuple[Step, ...]
    rounds: int
    certified: int
    told: str | None


def walk(protocol: Protocol, choose: Choose, *, steps_max: int) -> Walk:
    """One walk of up to `steps_max` steps from the beginning."""
    state, steps = protocol.initial(), []
    for _ in range(steps_max):
        step = _step(protocol, state, choose)
        if step is None:
            break
        steps.append(step)
        state = protocol.after(state, step)
    knowledge = Knowledge(protocol.rules, protocol.group, state)
    front = max(said.round for member in state for said in member.said) if steps else 0
    told = _judged(protocol, state)
    if told is not None:
        steps = _shortest(protocol, steps)
    return Walk(tuple(steps), front, len(knowledge.certified) - 1, told)


def _judged(protocol: Protocol, state: State) -> str | None:
    return broken(protocol.rules, protocol.group, state, tuple(INVARIANTS))


def _step(protocol: Protocol, state: State, choose: Choose) -> Step | None:
    """An allowed step at random; None if none was found."""
    knowledge = Knowledge(protocol.rules, protocol.group, state)
    front = knowledge.rounds_certified[-1] + 1
    while knowledge.tcs(front):
        front += 1
    for _ in range(TRIES_MAX):
        member = choose(len(state))
        if protocol.rules.forgets and choose(20) == 0:
            return Step(member, None)
        said = _suggested(protocol, knowledge, front, choose)
        is_new = said is not None and said not in state[member].said
        if is_new and protocol.refusal_of(knowledge, state[member].record, said) is None:
            return Step(member, said)
    return None


def _suggested(protocol: Protocol, knowledge: Knowledge, front: int, choose: Choose) -> Said | None:
    round_ = front - (choose(ROUNDS_BACK) if choose(4) == 0 else 0)
    if not 1 <= round_ <= protocol.rounds_max:
        return None
    recent = knowledge.certified[-1 - choose(min(ROUNDS_BACK, len(knowledge.certified)))]
    if choose(3) == 0:
        return timeout(round_, recent.round)
    label = 0 if choose(4) else choose(protocol.labels)
    return vote(Block(round_, recent, label)) if recent.round < round_ else None


def _shortest(protocol: Protocol, steps: list[Step]) -> list[Step]:
    """The steps up to the first after which something is violated."""
    state = protocol.initial()
    for count, step in enumerate(steps, start=1):
        state = protocol.after(state, step)
        if _judged(protocol, state) is not None:
            return steps[:count]
    return steps
