"""Plays scenarios that tell a story, and offers what the stories look at."""

import pytest

from heptad.simulation.scenario import Scenario, Submit
from heptad.simulation.world import World


class Play:
    """A scenario under way."""

    def __init__(self, **fields):
        self.world = World(Scenario(**{"seed": 1, **fields}))
        self.world.open()
        self.checkers = self.world.cast.setting.checkers

    def until(self, at_ms):
        """Let time pass; a broken promise raises."""
        self.world.run_until(at_ms)

    def close(self):
        """The faults end; everything commits, and silence follows, or it raises."""
        self.world.close()

    @property
    def records(self):
        """How many records the group has committed."""
        return self.checkers.log.records

    @property
    def chain(self):
        """The blocks that the group has committed."""
        return self.checkers.log.chain

    def heights(self):
        """How many blocks each machine has on its disk, by name."""
        return {name: len(machine.disk.chain) for name, machine in self.world.cast.machines.items()}

    def status(self, name):
        """A live replica's own view of itself."""
        return self.world.machine(name).driver.status()

    def noticed(self, fact):
        """How often all machines together have noticed a fact."""
        return sum(machine.counts()[fact] for machine in self.world.cast.machines.values())


@pytest.fixture
def play():
    """Begin a scenario: its fields as keyword arguments."""
    return Play


@pytest.fixture
def submit():
    """A client hands records to a validator."""

    def action(at_ms, count=1, validator="validator-1"):
        return Submit(at_ms, validator, count)

    return action
