"""Twins, both controls: with up to f of them nothing breaks, with more the group forks.

The second is the control of the checkers: if three twins of seven did not fork, the silence of all
other histories would mean nothing.
"""

import pytest

from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.violations import Broken
from heptad.simulation.world import World

TWINS_ONLY = frozenset({"twins"})
SEEDS_MAX = 40
"""So many histories may go by before one forks; the larger the group, the rarer that is."""


@pytest.mark.parametrize("first", range(50_000, 50_060, 20))
def test_two_twins_of_seven_never_fork(histories, first):
    histories(range(first, first + 20), members=7, faults=TWINS_ONLY, twins=2)


@pytest.mark.parametrize("first", range(60_000, 60_020, 10))
def test_two_twins_of_seven_never_fork_whatever_else_happens(histories, first):
    histories(range(first, first + 10), members=7, faults=frozenset(FAULTS), twins=2)


@pytest.mark.parametrize("first", range(70_000, 70_060, 30))
def test_one_twin_of_four_never_forks(histories, first):
    histories(range(first, first + 30), members=4, faults=TWINS_ONLY, twins=1)


@pytest.mark.parametrize(
    ("members", "twins", "first"),
    [
        (4, 2, 80_000),
        (5, 3, 80_000),
        (6, 4, 80_000),
        (7, 3, 80_000),
        (10, 4, 80_026),
        (13, 5, 80_020),
    ],
)
def test_one_twin_too_many_forks(members, twins, first):
    """Two quorums of n - f meet in n - 2f members: f + 1 where n = 3f + 1, else more than that."""
    endings = set()
    for seed in range(first, first + SEEDS_MAX):
        scenario = random_scenario(seed, members=members, faults=TWINS_ONLY, twins_count=twins)
        endings.add(World(scenario).run().broken)
        if Broken.FORK in endings:
            break

    assert Broken.FORK in endings
    assert endings <= {Broken.FORK, None}


@pytest.mark.parametrize(("members", "twins"), [(5, 1), (6, 1), (10, 3), (13, 4)])
def test_with_f_twins_groups_of_other_sizes_never_fork(histories, members, twins):
    histories(range(75_000, 75_006), members=members, faults=TWINS_ONLY, twins=twins)
