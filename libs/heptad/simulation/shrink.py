"""Thinning out a failing scenario: what can be left out while the same promise still breaks?

A random history has a hundred actions and a bug needs three of them. Actions are left out in runs
of ever smaller length, then whatever else a scenario has is put back to its default, and each trial
is simply run again. The result is small enough to be read as a story.
"""

from collections.abc import Callable
from dataclasses import replace

from heptad.simulation.scenario import Scenario
from heptad.simulation.violations import Broken
from heptad.simulation.world import World


class _Trials:
    """Runs smaller scenarios, and keeps those that still break the same promise."""

    def __init__(
        self, scenario: Scenario, wanted: Broken, tries_max: int, tell: Callable[[str], None]
    ) -> None:
        self.scenario = scenario
        self._wanted = wanted
        self._tries_left = tries_max
        self._tell = tell

    def accept(self, smaller: Scenario) -> bool:
        """True if this one will do as well; it is kept then."""
        if self._tries_left <= 0:
            return False
        self._tries_left -= 1
        if World(smaller).run().broken is not self._wanted:
            return False
        self.scenario = smaller
        self._tell(f"{len(smaller.actions)} actions, {self._tries_left} runs left")
        return True


def shrunk(scenario: Scenario, *, tries_max: int, tell: Callable[[str], None]) -> Scenario:
    """The smallest scenario found that breaks what `scenario` breaks, in at most so many runs.

    Returns `scenario` itself if it breaks nothing. `tell` hears of each step forward.
    """
    wanted = World(scenario).run().broken
    if wanted is None:
        return scenario
    trials = _Trials(scenario, wanted, tries_max, tell)
    _leave_out_actions(trials)
    _leave_out_the_rest(trials)
    _leave_out_actions(trials)
    return trials.scenario


def _leave_out_actions(trials: _Trials) -> None:
    """Runs of half the actions first, then of a quarter, down to one by one."""
    length = max(1, len(trials.scenario.actions) // 2)
    while length:
        at = 0
        while at < len(trials.scenario.actions):
            actions = trials.scenario.actions
            kept = actions[:at] + actions[at + length :]
            if not trials.accept(replace(trials.scenario, actions=kept)):
                at += length
        length //= 2


def _leave_out_the_rest(trials: _Trials) -> None:
    """Villains and limits one by one, then wrong clocks and slow reactions."""
    for name in trials.scenario.villains:
        rest = {key: value for key, value in trials.scenario.villains.items() if key != name}
        trials.accept(replace(trials.scenario, villains=rest))
    for name in trials.scenario.limits:
        kept = {key: value for key, value in trials.scenario.limits.items() if key != name}
        trials.accept(replace(trials.scenario, limits=kept))
    trials.accept(replace(trials.scenario, offsets_ms={}, reaction_us=0))
