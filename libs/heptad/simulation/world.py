"""One world, one history: carries a scenario out, and has everything judged as it happens.

A history has three parts. While the *faults* last, anything goes, and only safety is judged. Then
the world falls *calm*: cuts heal, machines that can start do, and all that honest validators were
given must commit on every honest machine within a bound, and so must a proof against whoever an
honest machine has caught signing two things; villains and twins go on. At last
everybody *rests*: with nothing left to order no replica may keep a timer or send a message, so the
timeline itself has to run dry.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from heptad.simulation.cast import cast
from heptad.simulation.clock import US_PER_MS
from heptad.simulation.machine import Machine
from heptad.simulation.scenario import Scenario
from heptad.simulation.stage import Stage
from heptad.simulation.tracing import Tracer
from heptad.simulation.transcript import Transcript
from heptad.simulation.validators import Manner, Validator
from heptad.simulation.violations import Broken, ViolationError

INSPECT_US: Final = 50_000
SCHEME_US: Final = 150_000
HAPPENINGS_MAX: Final = 5_000_000
"""No history of a sane group comes near; a livelock within one millisecond would never end."""

_OWED: Final = frozenset({Manner.HONEST, Manner.THREE_ONLY, Manner.GARBAGE})
"""Validators whose every record must commit; the others have only themselves to blame."""


@dataclass(frozen=True, slots=True)
class History:
    """How a history ended.

    `broken` is None if every promise was kept. `rounds` is the highest round that an honest machine
    voted in or gave up on, `fingerprint` a digest of all that was ever sent and when: two runs of
    one scenario have the same. `counts` are faults and events by name.
    """

    seed: int
    broken: Broken | None
    detail: str
    rounds: int
    blocks: int
    records: int
    simulated_ms: int
    fingerprint: int
    counts: Counter[str] = field(default_factory=Counter)


class World:
    """Runs one scenario, once: all of it by `run`, or by `open`, `run_until` and `close`."""

    def __init__(self, scenario: Scenario, *, transcript: Transcript | None = None) -> None:
        """Raises: ValueError if the scenario names nodes that it does not have."""
        self.scenario = scenario
        self.cast = cast(scenario, transcript)
        self.tracer = Tracer(self.cast)
        self.stage = Stage(scenario, self.cast)
        self._timeline = self.cast.setting.timeline
        self._checkers = self.cast.setting.checkers
        self._transcript = transcript
        self._happenings = 0
        self._is_resting = False

    def run(self) -> History:
        """The whole history, to its end or to the first broken promise."""
        broken, detail = None, ""
        try:
            self.open()
            self.run_until(self.scenario.quiet_at_ms)
            if self._checkers.is_tolerable:
                self.close()
        except ViolationError as violation:
            broken, detail = violation.broken, violation.detail
            if self._transcript is not None:
                self._transcript.note(self._timeline.now_us, "BROKEN", str(violation))
        return History(
            seed=self.scenario.seed,
            broken=broken,
            detail=detail,
            rounds=self._rounds(),
            blocks=len(self._checkers.log.chain),
            records=self._checkers.log.records,
            simulated_ms=self._timeline.now_us // US_PER_MS,
            fingerprint=self.cast.setting.network.fingerprint,
            counts=self._counts(),
        )

    def machine(self, name: str) -> Machine:
        """A machine by its node's name."""
        return self.cast.machines[name]

    def run_until(self, at_ms: int) -> None:
        """Let time pass. Raises: ViolationError."""
        until_us = at_ms * US_PER_MS
        count_max = HAPPENINGS_MAX - self._happenings + 1
        self._happenings += self._timeline.run(until_us, count_max=count_max)
        if self._happenings > HAPPENINGS_MAX:
            raise ViolationError(Broken.RESTLESS, f"{HAPPENINGS_MAX} things have happened")
        self._timeline.now_us = max(self._timeline.now_us, until_us)

    def open(self) -> None:
        """Start everybody, and plan all that the scenario says."""
        self.stage.open()
        for action in self.scenario.actions:
            self._timeline.at(action.at_ms * US_PER_MS, self.stage.perform, action)
        for machine in self.cast.machines.values():
            if machine.villain is not None:
                self._timeline.at(SCHEME_US, self._scheme, machine)

    def close(self) -> None:
        """End the faults, have everything committed, and see that silence follows.

        Raises: ViolationError.
        """
        self._become_calm()
        self._rest()

    def _become_calm(self) -> None:
        """Raises: ViolationError (STUCK) if something is not committed within the bound."""
        self.stage.clear_up()
        actions = self.scenario.actions
        last_ms = max([self.scenario.quiet_at_ms, *(action.at_ms for action in actions)])
        self.run_until(last_ms)
        until_us = self._timeline.now_us + self.scenario.calm_ms_max * US_PER_MS
        while not self._is_done():
            if self._timeline.now_us >= until_us:
                raise ViolationError(Broken.STUCK, self._what_is_missing())
            self.run_until((self._timeline.now_us + INSPECT_US) // US_PER_MS)

    def _rest(self) -> None:
        """Raises: ViolationError (RESTLESS) if the timeline does not run dry.

        Villains are shut down for it: their own cores may well be stuck on their own lies.
        """
        self._is_resting = True
        for machine in self.cast.machines.values():
            if machine.villain is not None:
                machine.crash()
        for validator in self.cast.validators.values():
            validator.is_asleep = True
        self.run_until(self._timeline.now_us // US_PER_MS + self.scenario.calm_ms_max)
        if not self._timeline.is_empty:
            raise ViolationError(Broken.RESTLESS, "; ".join(self._conditions()))
        if not self._is_done():
            raise ViolationError(Broken.STUCK, self._what_is_missing())

    def _scheme(self, machine: Machine) -> None:
        machine.scheme()
        if not self._is_resting:
            self._timeline.at(self._timeline.now_us + SCHEME_US, self._scheme, machine)

    def _honest_machines(self) -> list[Machine]:
        machines = self.cast.machines.values()
        return [m for m in machines if m.member not in self.cast.faulty or m.is_follower]

    def _owed_validators(self) -> list[Validator]:
        return [each for each in self.cast.validators.values() if each.manner in _OWED]

    def _is_done(self) -> bool:
        height = len(self._checkers.log.chain)
        return (
            all(validator.is_satisfied for validator in self._owed_validators())
            and all(machine.disk.height == height for machine in self._honest_machines())
            and not self._checkers.evidence.missing()
        )

    def _what_is_missing(self) -> str:
        waiting = [each.describe() for each in self._owed_validators() if not each.is_satisfied]
        return "; ".join([*waiting, *self._checkers.evidence.missing(), *self._conditions()])

    def _rounds(self) -> int:
        """Certificates of the last blocks may never have travelled, so both are looked at."""
        chain = self._checkers.log.chain
        return max(self._checkers.promises.round_max, chain[-1].round if chain else 0)

    def _conditions(self) -> list[str]:
        return [machine.describe() for machine in self.cast.machines.values()]

    def _counts(self) -> Counter[str]:
        counts = Counter(self.stage.counts)
        for name, count in self.cast.setting.network.counts.items():
            counts[f"messages {name}"] = count
        counts["steps by the specification"] = self.tracer.count
        for machine in self.cast.machines.values():
            counts.update(machine.counts())
        for charge in self._checkers.evidence.proven:
            counts[f"proofs of two {charge.offence.name.lower()}"] += 1
        counts.update([f"validator: {manner.value}" for manner in self.scenario.manners])
        counts["twins"] = len(self.scenario.twins)
        return +counts
