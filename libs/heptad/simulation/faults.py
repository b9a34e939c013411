"""Random histories: what may go wrong, drawn from a seed and written down as a scenario.

Each history draws its own mix and strength of faults instead of a little of everything: a network
that loses a third of all messages, or a machine that dies at each second write, shows what an
average over all faults hides. Nothing that honest members suffer is limited, for safety must stand
whatever happens to them; only those who lie, have twins or lose their disks are counted, and stay
within f unless a scenario asks for more.

Limits are drawn too: short terms, small pools and small answers bring a replica's bounds, which
would else take gigabytes to reach, into a history of seconds.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from heptad.simulation import twins
from heptad.simulation.chance import stream
from heptad.simulation.disk import TOLERABLE, WriteFault
from heptad.simulation.machine import CutPoint
from heptad.simulation.network import Weather
from heptad.simulation.repertoire import NAMES
from heptad.simulation.scenario import (
    Action,
    Arm,
    BreakDisk,
    Change,
    Crash,
    Heal,
    LoseWrites,
    MendDisk,
    Partition,
    Pause,
    Prune,
    Restart,
    Resume,
    Scenario,
    SetClock,
    Sever,
    SlowDisk,
    Submit,
    Wipe,
)
from heptad.simulation.validators import Manner

FAULTS: Final = (
    "network", "crash", "disk", "clock", "byzantine", "twins", "validators", "limits",
)  # fmt: skip
"""The sorts of faults that a campaign may be restricted to."""

_REACTION_US: Final = (0, 300, 1_500, 4_000)
_QUIET_MS: Final = (2_000, 4_000, 8_000)


def random_scenario(
    seed: int, *, members: int, faults: frozenset[str], twins_count: int | None = None
) -> Scenario:
    """The scenario of a seed. `twins_count` fixes how many members have a second copy."""
    return _Draft(seed, members, faults, twins_count).scenario()


class _Draft:
    """One scenario in the making."""

    def __init__(
        self, seed: int, members: int, faults: frozenset[str], twins_count: int | None
    ) -> None:
        self.seed = seed
        self.rng = stream(seed, "scenario")
        self.faults = faults
        self.names = tuple(f"replica-{index + 1}" for index in range(members))
        self.quiet_ms = self.rng.choice(_QUIET_MS)
        self.actions: list[Action] = []
        self._draw_faulty(twins_count)
        self.nodes = self.names + tuple(twins.twin_name(name) for name in self.twins)

    def scenario(self) -> Scenario:
        """All of it."""
        self.manners = self._manners()
        for sort, draw in _DRAWN.items():
            if sort in self.faults and self.rng.random() < 0.75:
                draw(self)
        if self.twins:
            self._part_twins()
        self._break_disks()
        if "disk" in self.faults:
            self._prune()
        self._traffic()
        self.actions.sort(key=lambda action: action.at_ms)
        return Scenario(
            seed=self.seed,
            members=len(self.names),
            twins=self.twins,
            villains=self.villains,
            manners=self.manners,
            limits=self._limits() if "limits" in self.faults else {},
            weather=Weather(),
            offsets_ms={name: self.rng.randint(-100, 100) for name in self.nodes},
            reaction_us=self.rng.choice(_REACTION_US),
            quiet_at_ms=self.quiet_ms,
            actions=tuple(self.actions),
        )

    def _draw_faulty(self, twins_count: int | None) -> None:
        rng, f = self.rng, (len(self.names) - 1) // 3
        chosen = rng.sample(self.names, len(self.names))
        count = rng.randint(0, f) if "twins" in self.faults and rng.random() < 0.5 else 0
        count = count if twins_count is None else twins_count
        self.twins = tuple(sorted(chosen[:count]))
        rest = chosen[count : max(f, count)]
        villains = []
        if "byzantine" in self.faults and rng.random() < 0.6:
            villains = rest[: rng.randint(0, len(rest))]
        self.villains = {name: self._tricks() for name in sorted(villains)}
        rest = rest[len(villains) :]
        loses_disk = "disk" in self.faults and rng.random() < 0.3
        self.broken = tuple(sorted(rest[:1])) if loses_disk else ()

    def _break_disks(self) -> None:
        """One more faulty member: its disk is replaced, torn, or forgets what it promised."""
        rng = self.rng
        for name in self.broken:
            at_ms, chance = self._moment(), rng.random()
            if chance < 0.4:
                self.actions.append(Wipe(at_ms, name))
            elif chance < 0.6:
                self.actions.append(BreakDisk(at_ms, name, WriteFault.TORN))
                self.actions.append(Restart(at_ms + rng.randrange(2_000), name))
            else:
                self.actions.append(LoseWrites(at_ms, name))
                later_ms = at_ms + rng.randrange(2_000)
                self.actions += [Crash(later_ms, name), Restart(later_ms + 50, name)]

    def _tricks(self) -> tuple[str, ...]:
        return tuple(sorted(self.rng.sample(NAMES, self.rng.choice((1, 2, 3, 5, 8)))))

    def _manners(self) -> tuple[Manner, ...]:
        rng = self.rng
        manners = [Manner.HONEST] * rng.randint(1, 3)
        if "validators" in self.faults and rng.random() < 0.5:
            manners.append(rng.choice(tuple(Manner)))
        return tuple(manners)

    def _moment(self) -> int:
        return self.rng.randrange(self.quiet_ms)

    def _traffic(self) -> None:
        """Records all along, and some after all faults have ended."""
        rng = self.rng
        count = rng.choice((4, 12, 30))
        for index in range(len(self.manners)):
            name = f"validator-{index + 1}"
            times = [self._moment() for _ in range(count)]
            times += [self.quiet_ms + rng.randrange(500) for _ in range(2)]
            self.actions += [Submit(at_ms, name, rng.randint(1, 6)) for at_ms in times]

    def draw_network(self) -> None:
        """Weather and partitions, one change after the other."""
        at_ms = self._moment() // 4
        while at_ms < self.quiet_ms:
            self.actions.append(self._network_action(at_ms))
            at_ms += self.rng.choice((50, 200, 500, 1_500)) + self.rng.randrange(200)

    def _network_action(self, at_ms: int) -> Action:
        rng = self.rng
        everyone = [*self.nodes, *(f"validator-{i + 1}" for i in range(len(self.manners)))]
        chance = rng.random()
        if chance < 0.30:
            return Change(at_ms, self._weather())
        if chance < 0.45:
            return Change(at_ms, self._weather(), self._some(everyone), self._some(everyone))
        if chance < 0.65:
            side = self._some(everyone)
            return Partition(at_ms, (side,), holds=rng.random() < 0.5)
        if chance < 0.80:
            holds = rng.random() < 0.5
            return Sever(at_ms, self._some(everyone), self._some(everyone), holds)
        return Heal(at_ms)

    def _some(self, names: list[str]) -> tuple[str, ...]:
        return tuple(sorted(self.rng.sample(names, self.rng.randint(1, max(1, len(names) // 2)))))

    def _weather(self) -> Weather:
        rng = self.rng
        calm = Weather(delay_us_max=rng.choice((1_000, 5_000, 60_000)))
        strength = rng.choice((0.02, 0.1, 0.35))
        return replace(
            calm,
            loss=strength if rng.random() < 0.5 else 0.0,
            duplication=strength if rng.random() < 0.3 else 0.0,
            reordering=strength if rng.random() < 0.5 else 0.0,
            straggle=strength if rng.random() < 0.3 else 0.0,
            straggle_us_max=rng.choice((20_000, 400_000, 3_000_000)),
        )

    def draw_crashes(self) -> None:
        """Deaths at every point of a wave, pauses, and restarts with other clocks."""
        rng = self.rng
        for _ in range(rng.choice((2, 6, 20))):
            node, at_ms = rng.choice(self.nodes), self._moment()
            until_ms = at_ms + rng.choice((5, 50, 500, 2_000)) + rng.randrange(50)
            chance = rng.random()
            if chance < 0.2:
                self.actions += [Pause(at_ms, node), Resume(until_ms, node)]
                continue
            if chance < 0.4:
                self.actions.append(Crash(at_ms, node))
            else:
                point = rng.choice(tuple(CutPoint))
                self.actions.append(Arm(at_ms, node, point, rng.choice((0, 0, 1, 2, 5))))
            for later_ms in (until_ms, until_ms + rng.randrange(500)):
                self.actions.append(Restart(later_ms, node, rng.randint(-200, 200)))

    def draw_disks(self) -> None:
        """Writes that fail with and without a trace, full disks and slow ones."""
        rng = self.rng
        for _ in range(rng.choice((1, 4, 12))):
            node, at_ms, chance = rng.choice(self.nodes), self._moment(), rng.random()
            if chance < 0.25:
                self.actions.append(SlowDisk(at_ms, node, rng.choice((2_000, 20_000, 150_000))))
                continue
            fault, after = rng.choice(TOLERABLE), rng.choice((0, 0, 1, 5))
            self.actions.append(BreakDisk(at_ms, node, fault, after))
            back_ms = at_ms + rng.choice((20, 300, 1_500)) + rng.randrange(100)
            self.actions.append(Restart(back_ms, node, rng.randint(-200, 200)))
            if fault is WriteFault.FULL:
                back_ms += rng.randrange(1_000)
                self.actions.append(MendDisk(back_ms, node))
                self.actions.append(Restart(back_ms + rng.randrange(500), node))

    def draw_clocks(self) -> None:
        """Clocks that jump by seconds or by an hour, or run wildly, of f members at most.

        Of more the group could certify a block of the future, and would then wait for its time.
        """
        rng, f = self.rng, (len(self.names) - 1) // 3
        for node in rng.sample(self.names, rng.randint(1, f) if f else 0):
            for _ in range(rng.choice((1, 1, 3))):
                by_ms = rng.choice((-1, 1)) * rng.choice((0, 900, 5_000, 60_000, 3_600_000))
                drift_ppm = rng.choice((0, 0, -50_000, 50_000))
                self.actions.append(SetClock(self._moment(), node, by_ms, drift_ppm))

    def _prune(self) -> None:
        """Disks let go of what is committed; drawn apart, so that all else stays as it was."""
        rng = stream(self.seed, "pruning")
        for _ in range(rng.choice((0, 0, 1, 3))):
            self.actions.append(Prune(rng.randrange(self.quiet_ms), rng.choice((1, 4, 16))))

    def draw_validators(self) -> None:
        """Validators crash and come back as a new incarnation."""
        for index in range(len(self.manners)):
            for _ in range(self.rng.choice((0, 1, 4))):
                self.actions.append(Restart(self._moment(), f"validator-{index + 1}"))

    def _part_twins(self) -> None:
        how = twins.rounds_apart if self.rng.random() < 0.4 else twins.partitions
        self.actions += how(
            members=self.names, twins=self.twins, rng=self.rng, until_ms=self.quiet_ms
        )

    def _limits(self) -> dict[str, int]:
        """Some limits, drawn anew: each with values that a real cell could have, or smaller."""
        rng: Random = self.rng
        return {name: rng.choice(values) for name, values in _LIMITS.items() if rng.random() < 0.3}


_DRAWN: Final[dict[str, Callable[[_Draft], None]]] = {
    "network": _Draft.draw_network,
    "crash": _Draft.draw_crashes,
    "disk": _Draft.draw_disks,
    "clock": _Draft.draw_clocks,
    "validators": _Draft.draw_validators,
}

_LIMITS_ALWAYS: Final[dict[str, tuple[int, ...]]] = {
    "pace_ms": (0, 5, 25),
    "block_batches_max": (1, 2, 256),
}
"""Small blocks in quick succession: more rounds for the same traffic."""

# Up to `chain_gap_min` heights are walked down block by block, so fewer parked blocks than that
# would be no smaller cell but a broken one.
_LIMITS: Final[dict[str, tuple[int, ...]]] = {
    "term_rounds": (1, 2, 3, 7),
    "timeout_ms_min": (50, 100),
    "timeout_ms_first": (100, 300, 3_000),
    "relay_after_ms": (20, 400),
    "answer_interval_ms": (10, 500),
    "fetch_retry_ms": (50, 1_000),
    "block_bytes_max": (200, 1_000),
    "pool_batches_max_per_validator": (2, 8),
    "pool_bytes_max_per_validator": (1_000, 5_000),
    "round_window": (2, 4),
    "tree_blocks_max": (16, 64),
    "parked_blocks_max": (48, 128),
    "wants_max": (8, 32),
    "rebroadcast_ms_max": (100, 3_000),
    "censored_after_ms": (300, 10_000),
    "timeout_multiple": (3, 30),
    "chain_gap_min": (2, 6),
    "reply_bytes_max": (500, 3_000),
    "reply_blocks_max": (1, 2, 5),
    "reply_chain_batch_bytes_max": (500, 5_000),
}
