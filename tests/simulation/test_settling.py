"""A replica settles only where an event has changed something: nothing may be lost by that."""

import pytest

from heptad.consensus.core.machine import Core
from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.world import World


@pytest.mark.parametrize(("members", "seed"), [(4, 95_000), (4, 95_001), (7, 95_002), (7, 95_003)])
def test_where_a_replica_did_not_settle_there_was_nothing_to_do(monkeypatch, members, seed):
    settle, step_all = Core._settle, Core.step_all
    settled, skipped = [], []

    def noted(self):
        settled.append(self)
        settle(self)

    def stepped(self, events, now_ms):
        settled.clear()
        ready = step_all(self, events, now_ms)
        if not settled:
            settle(self)
            again = self._ready(always=False)
            assert again.persist == ready.persist
            assert again.messages == ready.messages
            assert again.commits == ready.commits
            skipped.append(events)
        return ready

    monkeypatch.setattr(Core, "_settle", noted)
    monkeypatch.setattr(Core, "step_all", stepped)
    history = World(random_scenario(seed, members=members, faults=frozenset(FAULTS))).run()

    assert history.broken is None, history.detail
    assert len(skipped) > 20
