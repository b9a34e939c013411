"""Thinning out a failing scenario: what can be left out while the same promise still breaks?

A random history has a hundred actions and a bug needs three of them. Actions are left out in runs
of ever smaller length, then members' misdeeds, then whatever else a scenario has is put back to its
default, and each trial is simply run again. The result is small enough to be read as a story.
"""

from collections.abc import Callable
from dataclasses import replace

from heptad.simulation.scenario import (
    Action,
    Arm,
    BreakDisk,
    Partition,
    Restart,
    Scenario,
    Sever,
    Submit,
)
from heptad.simulation.twins import twin_name
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

    @property
    def is_patient(self) -> bool:
        """True while there are runs left."""
        return self._tries_left > 0

    def accept(self, smaller: Scenario) -> bool:
        """True if this one will do as well; it is kept then."""
        if not self.is_patient or smaller == self.scenario:
            return False
        self._tries_left -= 1
        if World(smaller).run().broken is not self._wanted:
            return False
        self.scenario = smaller
        self._tell(f"{len(smaller.actions)} actions, {self._tries_left} runs left")
        return True


def shrunk(scenario: Scenario, *, tries_max: int, tell: Callable[[str], None]) -> Scenario:
    """The smallest scenario found that breaks what `scenario` breaks, in at most so many runs.

    Returns `scenario` itself if it breaks nothing. `tell` hears of each step forward. Passes are
    repeated until one brings nothing: what stands in the way of one thing often goes with another.
    """
    wanted = World(scenario).run().broken
    if wanted is None:
        return scenario
    trials = _Trials(scenario, wanted, tries_max, tell)
    before = None
    while trials.scenario != before and trials.is_patient:
        before = trials.scenario
        _leave_out_actions(trials)
        _leave_out_members(trials)
        _leave_out_the_rest(trials)
        _make_plain(trials)
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


def _leave_out_members(trials: _Trials) -> None:
    """Villains, their scripts one by one, second copies of twins, and idle validators."""
    for name, scripts in trials.scenario.villains.items():
        rest = {key: value for key, value in trials.scenario.villains.items() if key != name}
        if trials.accept(replace(trials.scenario, villains=rest)):
            continue
        if len(scripts) > 1 and any(
            trials.accept(_with_scripts(trials.scenario, name, (script,))) for script in scripts
        ):
            continue
        for script in scripts:
            fewer = tuple(s for s in trials.scenario.villains[name] if s != script)
            if fewer:
                trials.accept(_with_scripts(trials.scenario, name, fewer))
    for name in trials.scenario.twins:
        trials.accept(_without_node(trials.scenario, name))
    while len(trials.scenario.manners) > 1:
        if not trials.accept(_without_last_validator(trials.scenario)):
            break


def _with_scripts(scenario: Scenario, villain: str, scripts: tuple[str, ...]) -> Scenario:
    return replace(scenario, villains={**scenario.villains, villain: scripts})


def _without_node(scenario: Scenario, twin: str) -> Scenario:
    """The scenario without the second copy of `twin`, which no action may name then."""
    copy = twin_name(twin)
    return replace(
        scenario,
        twins=tuple(name for name in scenario.twins if name != twin),
        offsets_ms={name: ms for name, ms in scenario.offsets_ms.items() if name != copy},
        actions=tuple(action for action in scenario.actions if copy not in repr(action)),
    )


def _without_last_validator(scenario: Scenario) -> Scenario:
    name = f"validator-{len(scenario.manners)}"
    actions = tuple(action for action in scenario.actions if name not in repr(action))
    return replace(scenario, manners=scenario.manners[:-1], actions=actions)


def _leave_out_the_rest(trials: _Trials) -> None:
    """Limits one by one, then wrong clocks and slow reactions."""
    for name in trials.scenario.limits:
        kept = {key: value for key, value in trials.scenario.limits.items() if key != name}
        trials.accept(replace(trials.scenario, limits=kept))
    trials.accept(replace(trials.scenario, offsets_ms={}))
    trials.accept(replace(trials.scenario, reaction_us=0))


def _make_plain(trials: _Trials) -> None:
    """Put every number of every action that has a default back to it, and submit one record."""
    for index, action in enumerate(trials.scenario.actions):
        plain = _plain(action)
        if plain != action:
            actions = list(trials.scenario.actions)
            actions[index] = plain
            trials.accept(replace(trials.scenario, actions=tuple(actions)))


def _plain(action: Action) -> Action:
    match action:
        case Submit():
            return replace(action, count=1)
        case Restart():
            return replace(action, offset_ms=0)
        case Arm() | BreakDisk():
            return replace(action, after=0)
        case Partition() | Sever():
            return replace(action, holds=False)
        case _:
            return action
