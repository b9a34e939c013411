"""Runs histories by seed, and tells of a failure what is needed to see it again."""

from collections import Counter

import pytest

from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.world import World

ALL = frozenset(FAULTS)


def run_seeds(seeds, *, members, faults=ALL, twins=None):
    """All histories of these seeds; none of them may break a promise."""
    counts = Counter()
    for seed in seeds:
        scenario = random_scenario(seed, members=members, faults=faults, twins_count=twins)
        history = World(scenario).run()
        options = "" if faults == ALL else f" --faults {','.join(sorted(faults)) or 'none'}"
        options += "" if twins is None else f" --twins {twins}"
        assert history.broken is None, (
            f"{history.broken.value}: {history.detail}\n"
            f"heptad simulate --seed {seed} --histories 1 --members {members}{options}"
        )
        counts += history.counts
        counts["rounds"] += history.rounds
        counts["blocks"] += history.blocks
    return counts


@pytest.fixture
def histories():
    """The function that runs histories by seed."""
    return run_seeds
