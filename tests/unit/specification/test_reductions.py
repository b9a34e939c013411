"""The thinned-out models lose nothing: they reach the same trees, states and forks."""

from collections import defaultdict
from dataclasses import replace
from random import Random

import pytest

from heptad.specification import messages
from heptad.specification.messages import GENESIS, Block, Knowledge, Protocol, Step, timeout
from heptad.specification.rounds import Act, Rounds, forgotten
from heptad.specification.rules import Group, Record, Rules
from heptad.specification.search import Model, search
from heptad.specification.walk import walk

ALL = Rules()
STATES_MAX = 200_000


def trees_of_messages(rules, group, rounds_max):
    protocol = Protocol(rules, group, rounds_max, labels=1)
    trees = set()

    def note(state):
        trees.add(tuple(Knowledge(rules, group, state).certified))

    model = Model(
        protocol.initial(),
        lambda state: ((step, protocol.after(state, step)) for step in protocol.steps(state)),
        note,
        messages.canonical,
    )
    assert search(model, states_max=STATES_MAX).is_finished
    return trees


def trees_of_rounds(rules, group, rounds_max):
    machine = Rounds(rules, group, rounds_max)
    trees = set()

    def note(state):
        blocks = [GENESIS]
        for node in state.blocks[1:]:
            blocks.append(Block(node.round, blocks[node.parent], 0))
        if len(set(blocks)) == len(blocks):
            trees.add(tuple(sorted(blocks)))

    model = Model(machine.initial(), machine.successors, note, machine.canonical)
    assert search(model, states_max=STATES_MAX).is_finished
    return trees


@pytest.mark.parametrize(("rules", "group", "rounds_max"), [
    (ALL, Group(4, 1), 2),
    (ALL, Group(4, 0), 2),
    (ALL, Group(3, 1, 3), 3),
    (replace(ALL, timeout_entered=False), Group(3, 1, 3), 3),
    (replace(ALL, timeout_forward=False), Group(3, 1, 3), 3),
    (replace(ALL, tc_floor=False), Group(3, 1, 3), 3),
])  # fmt: skip
def test_thinned_out_the_model_reaches_the_same_certified_trees(rules, group, rounds_max):
    trees = trees_of_messages(rules, group, rounds_max)

    assert len(trees) >= 5
    assert trees_of_rounds(rules, group, rounds_max) == trees


def walks(group, count=12):
    """Deep histories of all messages, at random."""
    protocol = Protocol(ALL, group, 100)
    for seed in range(count):
        yield protocol, list(walk(protocol, Random(seed).randrange, steps_max=150).steps)


def replayed(protocol, steps):
    """What is certified after these steps. Each must be allowed in its place."""
    state = protocol.initial()
    for number, step in enumerate(steps):
        assert protocol.refusal(state, step) is None, f"step {number}: {step.text()}"
        state = protocol.after(state, step)
    return Knowledge(protocol.rules, protocol.group, state).certified


def by_rounds(steps):
    return sorted(steps, key=lambda step: step.said.round)


def only_quorums(protocol, steps):
    """Of each certificate the first voters, or the lowest claims; nothing that is in none."""
    needed = protocol.group.honest_needed
    votes, claims = defaultdict(list), defaultdict(dict)
    for step in steps:
        if step.said.kind == "vote":
            votes[step.said.block].append(step)
        else:
            known = claims[step.said.round].get(step.member, step)
            claims[step.said.round][step.member] = min(known, step, key=lambda s: s.said.claim)
    kept = set()
    for cast in votes.values():
        kept.update(cast[:needed] if len(cast) >= needed else ())
    for given in claims.values():
        lowest = sorted(given.values(), key=lambda step: step.said.claim)
        kept.update(lowest[:needed] if len(lowest) >= needed else ())
    return [step for step in steps if step in kept]


def lowest_claims(protocol, steps):
    """Each claim as low as the rules allow when its turn comes."""
    state, lowered = protocol.initial(), []
    for step in steps:
        if step.said.kind == "time-out":
            options = (Step(step.member, timeout(step.said.round, c)) for c in range(100))
            step = next(each for each in options if protocol.refusal(state, each) is None)  # noqa: PLW2901
        lowered.append(step)
        state = protocol.after(state, step)
    return lowered


@pytest.mark.parametrize("group", [Group(4, 1), Group(7, 2)])
def test_a_history_may_be_put_into_the_order_of_its_rounds(group):
    for protocol, steps in walks(group):
        assert replayed(protocol, by_rounds(steps)) == replayed(protocol, steps)


@pytest.mark.parametrize("group", [Group(4, 1), Group(7, 2)])
def test_of_a_history_only_quorums_are_needed_and_only_the_lowest_claims(group):
    thinned = 0
    for protocol, steps in walks(group):
        ordered = by_rounds(steps)
        fewer = only_quorums(protocol, ordered)
        certified = replayed(protocol, ordered)
        thinned += len(steps) - len(fewer)
        assert replayed(protocol, fewer) == certified
        assert replayed(protocol, lowest_claims(protocol, fewer)) == certified
    assert thinned > 100


def boundaries(machine, rounds_max, *, simplify=lambda state: state):
    """For each round, the states in which it has just been opened."""
    opened = {machine.canonical(machine.initial())}
    found = []
    for _ in range(rounds_max):
        within, frontier, after = set(opened), list(opened), set()
        while frontier:
            for act, reached in machine.successors(frontier.pop()):
                state = machine.canonical(reached)
                if act == Act("next"):
                    after.add(state)
                elif state not in within:
                    within.add(state)
                    frontier.append(state)
        opened = after
        found.append({simplify(state) for state in opened})
    return found


@pytest.mark.parametrize(("group", "rounds_max"), [(Group(4, 1), 5), (Group(7, 2), 4)])
def test_forgetting_the_past_reaches_the_same_states_round_by_round(group, rounds_max):
    whole = Rounds(ALL, group, rounds_max + 1)
    endless = Rounds(ALL, group, 0, forgets_the_past=True)

    def simplify(state):
        return endless.canonical(forgotten(state, group.honest_needed))

    assert boundaries(whole, rounds_max, simplify=simplify) == boundaries(endless, rounds_max)


@pytest.mark.parametrize(("rules", "group"), [
    (ALL, Group(4, 2)),
    (ALL, Group(4, 1, 2)),
    (replace(ALL, vote_once=False), Group(4, 1)),
    (replace(ALL, vote_sealed=False), Group(4, 1)),
    (replace(ALL, claims_true=False), Group(4, 1)),
    (replace(ALL, entry_follows=False), Group(4, 1)),
    (replace(ALL, tc_floor=False), Group(4, 1)),
    (replace(ALL, forgets=frozenset(Record._fields)), Group(4, 1)),
])  # fmt: skip
def test_a_model_that_forgets_the_past_is_not_blind(rules, group):
    machine = Rounds(rules, group, 0, forgets_the_past=True, blocks_max=4)
    model = Model(machine.initial(), machine.successors, machine.wrong, machine.canonical)

    assert search(model, states_max=STATES_MAX).violation is not None


def test_any_number_of_rounds_means_that_the_search_ends():
    machine = Rounds(ALL, Group(4, 1), 0, forgets_the_past=True, blocks_max=6)
    model = Model(machine.initial(), machine.successors, machine.wrong, machine.canonical)
    found = search(model, states_max=STATES_MAX)

    assert found.is_finished
    assert found.depth > 6
