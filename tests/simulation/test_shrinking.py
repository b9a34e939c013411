"""A failing history is thinned out to one that can be read."""

from dataclasses import replace

from heptad.consensus.kernel.rules import Kernel
from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.scenario_file import dumps, loads
from heptad.simulation.shrink import shrunk
from heptad.simulation.world import World

SEEDS = range(100_000, 100_060)
ACTIONS_MAX = 20


def test_a_missing_rule_is_shown_by_a_few_actions(monkeypatch):
    original = Kernel._require_votable

    def forgetful(self, block):
        record = self._record
        self._record = replace(record, round_timed_out=0)
        try:
            original(self, block)
        finally:
            self._record = record

    monkeypatch.setattr(Kernel, "_require_votable", forgetful)
    drawn = (random_scenario(seed, members=4, faults=frozenset(FAULTS)) for seed in SEEDS)
    failing = next(each for each in drawn if World(each).run().broken is not None)
    small = shrunk(failing, tries_max=300, tell=lambda _: None)

    assert len(small.actions) <= ACTIONS_MAX < len(failing.actions)
    assert World(loads(dumps(small))).run().broken is World(failing).run().broken
