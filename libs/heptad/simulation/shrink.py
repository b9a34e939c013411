"""Thinning out a failing scenario: what can be left out while the same promise still breaks?

A random history has a hundred actions and a bug needs three of them. Actions are left out in runs
of ever smaller length, then whatever else a scenario has is put back to its default, and each trial
is simply run again. The result is small enough to be read as a story.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from heptad.simulation.scenario import Scenario
from heptad.simulation.world import World


def shrunk(scenario: Scenario, *, tries_max: int, tell: Callable[[str], None]) -> Scenario:
    """The smallest scenario found that breaks what `scenario` breaks, in at most so many runs.

    Returns `scenario` itself if it breaks nothing. `tell` hears of each step forward.
    """
    wanted = World(scenario).run().broken
    if wanted is None:
        return scenario
    tries = 0
    has_shrunk = True
    while has_shrunk:
        has_shrunk = False
        for smaller in _smaller(scenario):
            if tries >= tries_max:
                return scenario
            tries += 1
            if World(smaller).run().broken is wanted:
                scenario, has_shrunk = smaller, True
                tell(f"{len(scenario.actions)} actions after {tries} runs")
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios with a little less, the boldest first."""
    actions = scenario.actions
    length = len(actions) // 2
    while length:
        for start in range(0, len(actions), length):
            yield replace(scenario, actions=actions[:start] + actions[start + length :])
        length //= 2
    for name in scenario.villains:
        rest = {key: tricks for key, tricks in scenario.villains.items() if key != name}
        yield replace(scenario, villains=rest)
    for name in scenario.limits:
        kept = {key: value for key, value in scenario.limits.items() if key != name}
        yield replace(scenario, limits=kept)
    if scenario.offsets_ms:
        yield replace(scenario, offsets_ms={})
