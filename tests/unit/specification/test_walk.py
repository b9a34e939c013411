"""Random walks of seven members keep every invariant, and lose one as soon as a rule is gone."""

from dataclasses import replace
from random import Random

import pytest

from heptad.specification.messages import Protocol
from heptad.specification.rules import Group, Record, Rules
from heptad.specification.table import ALL, SEVEN
from heptad.specification.walk import walk

ROUNDS_MAX = 100


def walks(rules, group, count):
    protocol = Protocol(rules, group, ROUNDS_MAX)
    return [walk(protocol, Random(seed).randrange, steps_max=150) for seed in range(count)]


def test_walks_of_seven_members_violate_nothing_and_get_somewhere():
    ended = walks(ALL, SEVEN, 20)

    assert [each.told for each in ended] == [None] * 20
    assert sum(each.rounds for each in ended) > 200
    assert sum(each.certified for each in ended) > 100


@pytest.mark.parametrize(("rules", "group"), [
    (replace(ALL, vote_once=False), SEVEN),
    (replace(ALL, vote_sealed=False), SEVEN),
    (replace(ALL, entry_follows=False), SEVEN),
    (replace(ALL, tc_floor=False), SEVEN),
    (replace(ALL, claims_true=False), SEVEN),
    (replace(ALL, forgets=frozenset(Record._fields)), SEVEN),
    (ALL, Group(7, 3)),
    (ALL, Group(7, 2, 4)),
])  # fmt: skip
def test_with_a_rule_less_a_walk_goes_wrong(rules, group):
    assert any(each.told for each in walks(rules, group, 40))


def test_a_walk_that_goes_wrong_is_told_up_to_the_step_that_did_it():
    protocol = Protocol(replace(Rules(), vote_sealed=False), SEVEN, ROUNDS_MAX)
    ended = next(
        each for seed in range(40)
        if (each := walk(protocol, Random(seed).randrange, steps_max=150)).told is not None
    )  # fmt: skip

    assert "time-outs seal" in ended.told
    assert ended.steps[-1].said.kind == "vote"
