"""A thousand random histories, each with its own mix of faults, and no promise broken in any.

Seeds are fixed, so a failure here is a change in the code and not in the weather; `make sim` draws
new ones. Chunks are what pytest-xdist hands out to its workers.
"""

from dataclasses import replace
from typing import get_args

import pytest

from heptad.simulation.coverage import missing
from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.repertoire import NAMES
from heptad.simulation.scenario import Action
from heptad.simulation.world import World

CHUNK = 20

LIARS_MAY = frozenset({"network", "crash", "limits"})
"""Faults that leave it to the villain alone to be faulty."""


def chunks(first, count):
    return [range(at, at + CHUNK) for at in range(first, first + count, CHUNK)]


def name(seeds):
    return f"{seeds.start}-{seeds.stop - 1}"


@pytest.mark.parametrize("seeds", chunks(0, 560), ids=name)
def test_four_members_keep_every_promise(histories, seeds):
    histories(seeds, members=4)


@pytest.mark.parametrize("seeds", chunks(10_000, 140), ids=name)
def test_seven_members_keep_every_promise(histories, seeds):
    histories(seeds, members=7)


@pytest.mark.parametrize("members", [1, 2, 3, 5, 6, 10, 13])
def test_groups_of_any_size_keep_every_promise(histories, members):
    histories(range(20_000, 20_008), members=members)


@pytest.mark.parametrize("members", [1, 4, 7])
def test_without_faults_rounds_do_not_time_out(histories, members):
    counts = histories(range(30_000, 30_004), members=members, faults=frozenset())

    assert counts["round_timed_out"] == 0
    assert counts["message_refused"] == 0
    assert counts["blocks"] >= 100


@pytest.mark.parametrize("seed", range(35_000, 35_006))
def test_ed25519_signatures_keep_every_promise_too(seed):
    scenario = random_scenario(seed, members=4, faults=frozenset(FAULTS))
    history = World(replace(scenario, real_signatures=True)).run()

    assert history.broken is None, history.detail


def test_everything_that_honest_members_meet_occurs(histories):
    """A simulator that has gone blind finds nothing and looks healthy."""
    counts = histories(range(40_000, 40_070), members=4)

    assert [name for name in missing(counts) if not name.startswith("villain: ")] == []


def test_every_action_and_every_script_is_drawn():
    drawn = set()
    for seed in range(300):
        scenario = random_scenario(seed, members=7, faults=frozenset(FAULTS))
        drawn |= {type(action).__name__ for action in scenario.actions}
        drawn |= {f"villain: {name}" for names in scenario.villains.values() for name in names}

    actions = {each.__name__ for each in get_args(Action)} - {"Forbid"}
    assert actions | {f"villain: {name}" for name in NAMES} == drawn


@pytest.mark.parametrize("script", NAMES)
def test_each_script_of_a_villain_is_played_and_borne(script):
    played = 0
    for seed in range(45_000, 45_012):
        scenario = random_scenario(seed, members=4, faults=LIARS_MAY, twins_count=0)
        history = World(replace(scenario, villains={"replica-2": (script,)})).run()
        assert history.broken is None, f"seed {seed}: {history.detail}"
        played += history.counts[f"villain: {script}"]
        if played:
            return

    pytest.fail(f"in twelve histories no villain has done this: {script}")
