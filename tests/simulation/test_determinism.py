"""One seed, one history: in this process, in another one, and whatever PYTHONHASHSEED is."""

import os
import subprocess
import sys

import pytest

from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.scenario_file import dumps, loads
from heptad.simulation.world import World

SEEDS = range(90_000, 90_004)
SCRIPT = f"""
from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.world import World
for seed in range({SEEDS.start}, {SEEDS.stop}):
    history = World(random_scenario(seed, members=7, faults=frozenset(FAULTS))).run()
    print(history.fingerprint, history.rounds, history.records, sorted(history.counts.items()))
"""


def fingerprints(scenario):
    history = World(scenario).run()
    return history.fingerprint, history.rounds, history.records, sorted(history.counts.items())


def in_another_process(hash_seed):
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )  # fmt: skip
    return ran.stdout


def test_a_history_does_not_depend_on_hash_order():
    assert in_another_process("1") == in_another_process("2") != ""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_history_replays_from_its_seed_and_from_its_file(seed):
    scenario = random_scenario(seed, members=4, faults=frozenset(FAULTS))

    assert fingerprints(scenario) == fingerprints(scenario)
    assert fingerprints(loads(dumps(scenario))) == fingerprints(scenario)


def test_seeds_make_different_histories():
    drawn = [random_scenario(seed, members=4, faults=frozenset(FAULTS)) for seed in range(3)]

    assert len({fingerprints(scenario)[0] for scenario in drawn}) == 3
