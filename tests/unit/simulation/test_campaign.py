"""Campaigns: many seeds, one summary, and failures that can be seen again."""

from dataclasses import replace

import pytest

from heptad.simulation import campaign
from heptad.simulation.campaign import Plan, run_campaign
from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.scenario import Crash, Scenario, Submit
from heptad.simulation.shrink import shrunk
from heptad.simulation.violations import Broken
from heptad.simulation.world import World

PLAN = Plan(seed=5, histories=4, rounds=None, members=4, faults=frozenset())


def test_a_campaign_runs_the_histories_it_was_asked_for():
    seen = []
    summary = run_campaign(PLAN, workers=1, progress=lambda summary: seen.append(summary.rounds))

    assert summary.histories == 4
    assert summary.failure is None
    assert seen == sorted(seen)
    assert summary.counts["Submit"] > 0


def test_a_campaign_runs_until_it_has_the_rounds_it_was_asked_for():
    summary = run_campaign(replace(PLAN, histories=None, rounds=50), workers=1)

    assert summary.rounds >= 50


def test_the_number_of_processes_changes_nothing():
    plan = replace(PLAN, faults=frozenset(FAULTS), histories=6)

    assert run_campaign(plan, workers=1) == run_campaign(plan, workers=2)


def test_a_campaign_ends_with_the_first_failure():
    plan = Plan(seed=0, histories=200, rounds=None, members=4, faults=frozenset({"twins"}), twins=2)
    summary = run_campaign(plan, workers=1)

    assert summary.failure.broken is Broken.FORK
    assert summary.histories < 200
    assert World(plan.scenario(summary.failure.seed)).run().fingerprint == (
        summary.failure.fingerprint
    )


def test_a_failure_of_the_simulator_names_its_seed(monkeypatch):
    def broken_world(_):
        raise ZeroDivisionError

    monkeypatch.setattr(campaign, "World", broken_world)

    with pytest.raises(RuntimeError, match="seed 5"):
        run_campaign(PLAN, workers=1)


@pytest.mark.parametrize("seed", range(200))
def test_no_random_scenario_has_more_faulty_members_than_f(seed):
    for members in (1, 4, 7):
        scenario = random_scenario(seed, members=members, faults=frozenset(FAULTS))
        wiped = {a.node for a in scenario.actions if type(a).__name__ == "Wipe"}
        faulty = wiped | set(scenario.twins) | set(scenario.villains)
        assert len(faulty) <= (members - 1) // 3


def test_faults_that_are_not_asked_for_do_not_occur():
    for seed in range(50):
        scenario = random_scenario(seed, members=7, faults=frozenset())
        assert {type(action) for action in scenario.actions} == {Submit}
        assert not scenario.twins
        assert not scenario.villains
        assert not scenario.limits


def test_shrinking_leaves_only_what_the_failure_needs():
    useless = [Submit(at_ms, "validator-1", 1) for at_ms in range(10, 100, 10)]
    needed = Crash(105, "replica-1")
    scenario = Scenario(
        seed=1, members=4, twins=(), limits={"pace_ms": 5}, calm_ms_max=0, quiet_at_ms=110,
        actions=(*useless, needed, Submit(106, "validator-1", 1)),
    )  # fmt: skip
    assert World(scenario).run().broken is Broken.STUCK
    small = shrunk(scenario, tries_max=100, tell=lambda _: None)

    assert World(small).run().broken is Broken.STUCK
    assert len(small.actions) <= 1
    assert not small.limits


def test_shrinking_leaves_a_scenario_alone_that_breaks_nothing():
    scenario = Scenario(seed=1, members=4, quiet_at_ms=100, actions=(Submit(10, "validator-1", 1),))

    assert shrunk(scenario, tries_max=10, tell=print) is scenario
