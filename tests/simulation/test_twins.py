"""Twins, both controls: with up to f of them nothing breaks, with more the group forks.

The second is the control of the checkers: if three twins of seven did not fork, the silence of all
other histories would mean nothing.
"""

import pytest

from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.violations import Broken
from heptad.simulation.world import World

TWINS_ONLY = frozenset({"twins"})


@pytest.mark.parametrize("first", range(50_000, 50_060, 20))
def test_two_twins_of_seven_never_fork(histories, first):
    histories(range(first, first + 20), members=7, faults=TWINS_ONLY, twins=2)


@pytest.mark.parametrize("first", range(60_000, 60_020, 10))
def test_two_twins_of_seven_never_fork_whatever_else_happens(histories, first):
    histories(range(first, first + 10), members=7, faults=frozenset(FAULTS), twins=2)


@pytest.mark.parametrize("first", range(70_000, 70_060, 30))
def test_one_twin_of_four_never_forks(histories, first):
    histories(range(first, first + 30), members=4, faults=TWINS_ONLY, twins=1)


@pytest.mark.parametrize(("members", "twins"), [(7, 3), (4, 2)])
def test_one_twin_too_many_forks(members, twins):
    endings = []
    for seed in range(80_000, 80_020):
        scenario = random_scenario(seed, members=members, faults=TWINS_ONLY, twins_count=twins)
        endings.append(World(scenario).run().broken)

    assert Broken.FORK in endings
    assert set(endings) <= {Broken.FORK, None}
