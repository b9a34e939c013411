"""What must never be seen, as predicates over a state of `messages`, each with the reason for it.

They are listed from the promise itself down to what its proof rests on: `agreement` is what users
need; the others break earlier, and tell which link gave way.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeAlias

from heptad.specification.messages import (
    Block,
    Knowledge,
    Member,
    Protocol,
    State,
    Step,
    committed_by,
    round_max,
    timeout,
    vote,
)
from heptad.specification.rules import Group, Rules

Invariant: TypeAlias = Callable[[Rules, Group, State, Knowledge], str | None]
"""Says what is wrong, or None."""


def agreement(rules: Rules, _group: Group, _state: State, knowledge: Knowledge) -> str | None:
    """No two committed blocks conflict: one extends the other."""
    final = committed_by(rules, knowledge.certified)
    for older, newer in _pairs(final):
        if not newer.extends(older):
            return f"{older.name()} and {newer.name()} are both committed"
    return None


def one_chain(rules: Rules, _group: Group, _state: State, knowledge: Knowledge) -> str | None:
    """Every certified block of a committed block's round or later extends it."""
    for final in committed_by(rules, knowledge.certified):
        for block in knowledge.certified:
            if block.round >= final.round and not block.extends(final):
                return f"{block.name()} is certified and leaves out {final.name()}, committed"
    return None


def one_certificate(
    _rules: Rules, _group: Group, _state: State, knowledge: Knowledge
) -> str | None:
    """At most one block of a round is certified."""
    for first, second in _pairs(knowledge.certified):
        if first.round == second.round:
            return f"{first.name()} and {second.name()} are both certified"
    return None


def tc_seals(rules: Rules, _group: Group, state: State, knowledge: Knowledge) -> str | None:
    """A TC of a later round than a committed block's claims at least that block's round."""
    for final in committed_by(rules, knowledge.certified):
        for round_ in range(final.round + 1, round_max(state) + 1):
            for tc in knowledge.tcs(round_):
                if tc.claim < final.round:
                    return f"TC {tc.round} claims {tc.claim} only: {final.name()} is committed"
    return None


def tc_is_followable(
    _rules: Rules, _group: Group, state: State, knowledge: Knowledge
) -> str | None:
    """Whoever holds a TC can propose: a certificate satisfies its claim and enters by it."""
    for round_ in range(1, round_max(state) + 1):
        for tc in knowledge.tcs(round_):
            if not any(tc.claim <= certified <= round_ for certified in knowledge.rounds_certified):
                return f"no block can follow TC {tc.round} with its claim {tc.claim}"
    return None


def votes_once(_rules: Rules, _group: Group, state: State, _knowledge: Knowledge) -> str | None:
    """A member's votes are for ever later rounds."""
    for member in state:
        rounds = [said.round for said in member.said if said.kind == "vote"]
        for before, after in pairwise(rounds):
            if after <= before:
                return f"a member votes in round {after} after round {before}"
    return None


def timeouts_seal(_rules: Rules, _group: Group, state: State, _knowledge: Knowledge) -> str | None:
    """No member votes in a round that it has given up on, or in one before."""
    return next((broken for member in state if (broken := _unsealed(member))), None)


def _unsealed(member: Member) -> str | None:
    given_up = 0
    for said in member.said:
        if said.kind == "time-out":
            given_up = max(given_up, said.round)
        elif said.round <= given_up:
            return f"a member votes in round {said.round} after giving up on {given_up}"
    return None


def calm_commits(rules: Rules, group: Group, state: State, knowledge: Knowledge) -> str | None:
    """From here on honest members alone can commit, once they hear each other.

    They share what they know, give up together on the round that it enters, follow the TC with a
    block on the highest certificate and that one with a second block; no Byzantine member helps.
    """
    if group.honest < group.quorum:
        return None
    protocol = Protocol(rules, group, rounds_max=0)
    top = knowledge.certified[-1]
    entered = 1 + max(top.round, *(r for r in range(round_max(state) + 1) if knowledge.tcs(r)), 0)
    first = Block(entered + 1, top, 0)
    for said in (timeout(entered, top.round), vote(first), vote(Block(entered + 2, first, 0))):
        for index in range(group.honest):
            refusal = protocol.refusal_of(knowledge, state[index].record, said)
            if refusal is not None:
                return f"a calm group is stuck in round {entered}: {refusal}"
        for index in range(group.honest):
            state = protocol.after(state, Step(index, said))
        knowledge = Knowledge(rules, group, state)
    return None


INVARIANTS: Final[dict[str, Invariant]] = {
    "agreement": agreement,
    "one chain": one_chain,
    "one certificate a round": one_certificate,
    "TCs seal": tc_seals,
    "TCs can be followed": tc_is_followable,
    "a calm group commits": calm_commits,
    "votes once": votes_once,
    "time-outs seal": timeouts_seal,
}


def broken(rules: Rules, group: Group, state: State, names: tuple[str, ...]) -> str | None:
    """The first of the named invariants that this state violates, in words; None if none."""
    knowledge = Knowledge(rules, group, state)
    for name in names:
        told = INVARIANTS[name](rules, group, state, knowledge)
        if told is not None:
            return f"{name}: {told}"
    return None


def _pairs(blocks: list[Block]) -> list[tuple[Block, Block]]:
    return [(a, b) for place, a in enumerate(blocks) for b in blocks[place + 1 :]]
