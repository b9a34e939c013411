"""Scenario files: what is written is read again, and what no scenario can say is refused."""

import pytest

from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.machine import CutPoint
from heptad.simulation.scenario import Arm, Partition, Scenario, Submit
from heptad.simulation.scenario_file import ScenarioError, dumps, load, loads, save


@pytest.mark.parametrize("seed", range(60))
def test_every_random_scenario_survives_writing_and_reading(seed):
    scenario = random_scenario(seed, members=7, faults=frozenset(FAULTS))

    assert loads(dumps(scenario)) == scenario


def test_a_scenario_is_saved_to_a_file_and_loaded(tmp_path):
    scenario = random_scenario(3, members=4, faults=frozenset(FAULTS))
    save(scenario, tmp_path / "s.toml")

    assert load(tmp_path / "s.toml") == scenario


def test_what_is_as_by_default_is_left_out():
    assert "members" not in dumps(Scenario(seed=1))


def test_a_scenario_can_be_written_by_hand():
    text = """
        seed = 5
        story = "The leader dies with the vote on its disk."
        members = 4
        actions = [
            { act = "Submit", at_ms = 10, validator = "validator-1", count = 1 },
            { act = "Arm", at_ms = 11, node = "replica-1", point = "after_write" },
            { act = "Partition", at_ms = 12, groups = [["replica-1"], ["replica-2"]] },
        ]
    """

    assert loads(text).actions == (
        Submit(10, "validator-1", 1),
        Arm(11, "replica-1", CutPoint.AFTER_WRITE),
        Partition(12, (("replica-1",), ("replica-2",))),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = ", "not TOML"),
        ("members = 4", "needs seed"),
        ("seed = 1\nmembres = 4", "membres"),
        ('seed = "1"', "seed = '1'"),
        ("seed = true", "seed = True"),
        ('seed = 1\nmanners = ["rude"]', "none of honest"),
        ("seed = 1\nactions = 3", "list"),
        ('seed = 1\nactions = [{ act = "Explode", at_ms = 1 }]', "Explode"),
        ('seed = 1\nactions = [{ act = "Crash", at_ms = 1 }]', "needs node"),
        ('seed = 1\nactions = [{ act = "Heal", at_ms = 1, node = "replica-1" }]', "no node"),
        ("seed = 1\nweather = { loss = true }", "loss = True"),
    ],
)
def test_what_no_scenario_can_say_is_refused_by_name(text, said):
    with pytest.raises(ScenarioError, match=said):
        loads(text)
