"""One simulated replica: a machine with a disk and a clock, and processes that live and die on it.

The process is the real `Driver` with the real core. What arrives while it is busy waits and is
taken in as one wave, as in the replica service, so that merged waves are the rule under load.

A power cut may fall before the write of a wave, between the write and the release, or between two
messages of the release: `arm` says where the next one falls. Nothing of a wave is seen outside
before its release, so deciding a cut by wave instead of by time loses no interleaving. After a
death only the disk is left; `boot` makes a new process from it.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from heptad.consensus.committee import Cell
from heptad.consensus.decoding import Decoding
from heptad.consensus.driver import Driver
from heptad.consensus.errors import RecordDamagedError, RecordMissingError
from heptad.consensus.events import (
    BatchReceived,
    Event,
    MessageReceived,
    PeerConnected,
    PeerLost,
    TimerFired,
)
from heptad.consensus.limits import Limits
from heptad.consensus.ports import (
    Restored,
    SignatureVerifier,
    Signer,
    StoredCommit,
    StoredSnapshot,
)
from heptad.consensus.ready import Persist
from heptad.model.ids import BatchDigest, BlockId, Height, MemberIndex, ValidatorNumber
from heptad.simulation.byzantine import Villain
from heptad.simulation.checkers import Checkers
from heptad.simulation.clock import LocalClock, Timeline
from heptad.simulation.disk import Disk, DiskFaultError
from heptad.simulation.mouth import Mouth
from heptad.simulation.network import VALIDATORS_AT, Network, NodeId, Parcel
from heptad.simulation.transcript import Transcript
from heptad.simulation.violations import Broken, ViolationError
from heptad.transparency.subtrees import Growth

STEP_COST_US: Final = 60
WRITE_COST_US: Final = 400
INBOX_MAX: Final = 20_000
"""Events that a machine keeps while it is paused; a real one's streams are bounded too."""


class PowerCutError(Exception):
    """The machine dies here."""


class CutPoint(Enum):
    """Where in a wave the power goes."""

    BEFORE_WRITE = "before_write"
    AFTER_WRITE = "after_write"
    DURING_RELEASE = "during_release"


@dataclass(frozen=True, slots=True)
class Cut:
    """A power cut to come: at the `after`-th time (from 0) that its point is passed."""

    point: CutPoint
    after: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a machine is. The two copies of a twin share `member` and keys, but not `node`."""

    node: NodeId
    name: str
    member: MemberIndex
    vote_signer: Signer
    cosigner: Signer


@dataclass(frozen=True, slots=True)
class Setting:
    """What all machines of one world share. `members` says whose copy each replica node is."""

    cell: Cell
    limits: Limits
    verifier: SignatureVerifier
    timeline: Timeline
    network: Network
    checkers: Checkers
    transcript: Transcript | None
    members: dict[NodeId, MemberIndex]
    reaction_us: int
    honest_validators: frozenset[ValidatorNumber]
    decoding: Decoding


class Machine:
    """A replica's machine, and the `Store` of its process. `is_up` while a process lives."""

    def __init__(
        self,
        *,
        identity: Identity,
        setting: Setting,
        disk: Disk,
        villain: Villain | None,
        is_watched: bool,
        is_alone: bool = True,
    ) -> None:
        self.identity = identity
        self.key, self.name, self.member = identity.node, identity.name, identity.member
        self.disk = disk
        self.villain = villain
        self.write_cost_us = WRITE_COST_US
        self.is_paused = False
        self.is_follower = False
        self.is_lost = False
        self.is_clock_wrong = False
        self.driver: Driver | None = None
        self.waves = 0
        self.when_dead: Callable[[Machine], None] = lambda _: None
        self._setting = setting
        self._mouth = Mouth(self, setting)
        self._clock = LocalClock(0, 0)
        self._life = 0
        self._inbox: list[Event] = []
        self._is_waking = False
        self._busy_until_us = 0
        self._timer_us: int | None = None
        self._timer_for_ms = 0
        self._timer_number = 0
        self._cut: Cut | None = None
        self._has_written = False
        self.is_watched = is_watched
        # A copy that retired at its twin's first signature, or a villain at its own, would be tame.
        self._heeds_own_past = is_watched and is_alone
        self._deaths: Counter[str] = Counter()

    @property
    def is_up(self) -> bool:
        """True while a process lives here (paused or not)."""
        return self.driver is not None

    def describe(self) -> str:
        """How it is, for people."""
        if self.driver is None:
            return f"{self.name}: down"
        status, timer = self.driver.status(), self.driver.timer_at_ms
        return (
            f"{self.name}: round {status.round} (leader {status.leader}), QC "
            f"{status.high_qc_round}, TC {status.highest_tc_round}, height "
            f"{status.committed_height}, {status.batches_pending} batches pending, "
            f"{'idle' if timer is None else 'timer set'}"
            f"{', catching up' if status.is_catching_up else ''}"
        )

    def counts(self) -> Counter[str]:
        """What happened to it and what it noticed, by name."""
        counts = self._deaths + self._mouth.facts
        counts.update({f"says {kind}": count for kind, count in self._mouth.said.items()})
        counts["batches OVERLOADED"] = self._mouth.overloads
        counts["waves"] = self.waves
        counts["disk writes"] = self.disk.writes
        if self.villain is not None:
            counts.update({f"villain: {name}": n for name, n in self.villain.played.items()})
        return counts

    # --- life and death ---------------------------------------------------------------------

    def boot(self, clock: LocalClock, *, is_new: bool) -> None:
        """Start a process from the disk. Without its record a member comes back as a follower."""
        assert self.driver is None, f"{self.name} is up"
        setting = self._setting
        self._clock, self.is_clock_wrong = clock, False
        self._life += 1
        self._inbox.clear()
        self._is_waking = False
        self._busy_until_us = setting.timeline.now_us
        try:
            self.driver = self._new_driver(is_new=is_new, signs=True)
            if self.disk.is_torn or (self.disk.record is None and not is_new):
                raise ViolationError(Broken.CRASH, f"{self.name} starts without its safety record")
            self._note("starts")
        except RecordMissingError:
            self._follow()
        except RecordDamagedError as error:
            if not self.disk.is_torn:
                raise
            self._stay_down(str(error))
            return
        self._mouth.restart()
        if self.is_watched:
            setting.checkers.restarted(self)
        self._wave(None)
        if self.driver is not None and self.is_watched:
            self._require_restored()

    def _new_driver(self, *, is_new: bool, signs: bool) -> Driver:
        setting, identity = self._setting, self.identity
        return Driver(
            cell=setting.cell, me=self.member, limits=setting.limits,
            vote_signer=identity.vote_signer if signs else None,
            cosigner=identity.cosigner if signs else None,
            verifier=setting.verifier, store=self, outbox=self._mouth, sink=self._mouth,
            is_new=is_new, decoding=setting.decoding, heeds_own_past=self._heeds_own_past,
        )  # fmt: skip

    def _follow(self) -> None:
        self.driver = self._new_driver(is_new=False, signs=False)
        self.is_follower = True
        if self.is_watched:
            self._setting.checkers.follows(self)
        self._note("follows: it has lost its safety record")

    def _stay_down(self, why: str) -> None:
        self.is_lost = True
        self._deaths["stays down for ever"] += 1
        self._note(f"stays down: {why}")

    def crash(self) -> None:
        """Pull the plug now, between two waves."""
        if self.driver is not None:
            self._die("a crash")

    def arm(self, cut: Cut | None) -> None:
        """Pull the plug at this point of a coming wave; None: not after all."""
        self._cut = cut

    def set_clock(self, by_ms: int, drift_ppm: int) -> None:
        """The clock jumps, and drifts from now on; a timer may so be due at once."""
        now_us = self._setting.timeline.now_us
        self._clock = self._clock.changed(now_us, by_ms=by_ms, drift_ppm=drift_ppm)
        self.is_clock_wrong = True
        self._stop_timer()
        if self.driver is not None:
            self._plan_timer()

    def pause(self) -> None:
        """Stop the process for a while; what arrives waits."""
        self.is_paused = True

    def resume(self) -> None:
        """Go on, with everything that has arrived meanwhile in one wave."""
        self.is_paused = False
        if self.driver is not None:
            self._wake_at(self._setting.timeline.now_us)
        if self.driver is not None:
            self._plan_timer()

    def _die(self, how: str) -> None:
        self._note(f"dies: {how}")
        self._deaths[f"death by {how}"] += 1
        self.driver = None
        self.disk.lose_power()
        self._stop_timer()
        self._cut = None
        self._inbox.clear()
        self.when_dead(self)

    # --- what arrives -----------------------------------------------------------------------

    def receive(self, source: NodeId, parcel: Parcel) -> None:
        """A parcel comes off the network."""
        if self.driver is None or type(parcel) is not bytes:
            return
        if self.villain is not None and not self.villain.hears(source, parcel):
            return
        if source >= VALIDATORS_AT:
            self.post(BatchReceived(ValidatorNumber(source - VALIDATORS_AT), parcel))
            return
        sender = self._setting.members[source]
        if self.villain is not None:
            self.villain.overhear(parcel)
        self.post(MessageReceived(sender, parcel))

    def connected(self, peer: MemberIndex) -> None:
        """A connection to `peer` has come up."""
        if self.driver is not None:
            self.post(PeerConnected(peer))

    def lost(self, peer: MemberIndex) -> None:
        """The connection to `peer` has broken."""
        if self.driver is not None:
            self.post(PeerLost(peer))

    def post(self, event: Event) -> None:
        """Queue an event for the process."""
        if len(self._inbox) < INBOX_MAX:
            self._inbox.append(event)
        if not (self.is_paused or self._is_waking):
            now_us = self._setting.timeline.now_us
            self._wake_at(max(self._busy_until_us, now_us + self._setting.reaction_us))

    def scheme(self) -> None:
        """A villain acts of his own accord."""
        if self.villain is not None and self.driver is not None and not self.is_paused:
            for sending in self.villain.initiative():
                self._mouth.spit(sending)

    def _wake_at(self, at_us: int) -> None:
        if self._is_waking:
            return
        if at_us <= self._setting.timeline.now_us:
            self._work()
        else:
            self._is_waking = True
            self._setting.timeline.at(at_us, self._wake, self._life)

    def _wake(self, life: int) -> None:
        if life == self._life:
            self._is_waking = False
            if self.driver is not None and not self.is_paused:
                self._work()

    def _work(self) -> None:
        if self._inbox:
            events, self._inbox = self._inbox, []
            self._wave(events)

    # --- one wave ---------------------------------------------------------------------------

    def _wave(self, events: Sequence[Event] | None) -> None:
        """Run one wave (None: the first of a process), and die where it was arranged."""
        driver = self.driver
        assert driver is not None
        now_us = self._setting.timeline.now_us
        self.waves += 1
        self._has_written = False
        try:
            if events is None:
                driver.start(self._clock.now_ms(now_us))
            else:
                driver.run(events, self._clock.now_ms(now_us))
        except (PowerCutError, DiskFaultError) as fault:
            self._require_dead(driver, fault)
            self._die(str(fault))
        except ViolationError:
            raise
        except Exception as error:
            raise ViolationError(Broken.CRASH, _told(self.name, error)) from error
        cost_us = STEP_COST_US * (1 if events is None else len(events))
        self._busy_until_us = now_us + cost_us + self.write_cost_us * self._has_written
        self._mouth.close(self._busy_until_us)
        if self.is_watched:
            self._setting.checkers.settled(self, is_whole=self.driver is not None)
        if self.driver is not None:
            self._plan_timer()

    def _require_dead(self, driver: Driver, fault: Exception) -> None:
        """A driver whose write has failed must not be talked into going on."""
        if not isinstance(fault, DiskFaultError):
            return
        try:
            driver.run([TimerFired()], self._clock.now_ms(self._setting.timeline.now_us))
        except AssertionError:
            return
        raise ViolationError(Broken.CRASH, f"{self.name} goes on after its disk has failed")

    def _require_restored(self) -> None:
        assert self.driver is not None
        status = self.driver.status()
        if status.committed_height != self.disk.height:
            raise ViolationError(
                Broken.LOST,
                f"{self.name} restarts at height {status.committed_height}, its disk holds "
                f"{self.disk.height}",
            )

    def pass_point(self, point: CutPoint) -> None:
        """Raises: PowerCutError, if the cut that is armed falls here."""
        cut = self._cut
        if cut is None or cut.point is not point:
            return
        if cut.after > 0:
            self._cut = Cut(point, cut.after - 1)
            return
        raise PowerCutError(f"a power cut {point.value.replace('_', ' ')}")

    def pass_cut_in_release(self) -> None:
        """Raises: PowerCutError, if the cut that is armed falls before the next message."""
        if self._cut is not None:
            self.pass_point(CutPoint.DURING_RELEASE)

    def _plan_timer(self) -> None:
        assert self.driver is not None
        due_ms = self.driver.timer_at_ms
        if due_ms is None or (self._timer_us is not None and due_ms >= self._timer_for_ms):
            return  # The timer goes off no later, and looks again.
        due_us = max(self._clock.when_us(due_ms), self._busy_until_us)
        if self._timer_us is None or due_us < self._timer_us:
            self._stop_timer()
            self._timer_us, self._timer_for_ms = due_us, due_ms
            self._timer_number = self._setting.timeline.at(due_us, self._timer)

    def _stop_timer(self) -> None:
        if self._timer_us is not None:
            self._setting.timeline.cancel(self._timer_number)
            self._timer_us = None

    def _timer(self) -> None:
        self._timer_us = None
        if self.driver is None or self.is_paused or self.driver.timer_at_ms is None:
            return
        if self._clock.when_us(self.driver.timer_at_ms) > self._setting.timeline.now_us:
            self._plan_timer()
        else:
            self.post(TimerFired())

    # --- the store of the process -----------------------------------------------------------

    def load(self) -> Restored | None:
        """See `Store.load`."""
        return self.disk.load()

    def write(self, persist: Persist) -> None:
        """See `Store.write`; the power may go before or after."""
        self.pass_point(CutPoint.BEFORE_WRITE)
        try:
            self.disk.write(persist)
        except DiskFaultError as fault:
            if fault.is_kept:
                self._show_write(persist)
            raise
        self._has_written = True
        self._show_write(persist)
        self.pass_point(CutPoint.AFTER_WRITE)

    def _show_write(self, persist: Persist) -> None:
        if self.is_watched:
            self._setting.checkers.written(self, persist)

    def block(self, block_id: BlockId) -> bytes | None:
        """See `Store.block`."""
        return self.disk.block(block_id)

    def batch(self, digest: BatchDigest) -> bytes | None:
        """See `Store.batch`."""
        return self.disk.batch(digest)

    def committed(self, height: Height) -> StoredCommit | None:
        """See `Store.committed`."""
        return self.disk.committed(height)

    def snapshot(self) -> StoredSnapshot | None:
        """See `Store.snapshot`."""
        return self.disk.snapshot()

    def growth(self, size: int) -> Growth | None:
        """See `Store.growth`."""
        return self.disk.growth(size)

    def _note(self, text: str) -> None:
        if self._setting.transcript is not None:
            self._setting.transcript.note(self._setting.timeline.now_us, self.name, text)


def _told(name: str, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{name}: {type(error).__name__}: {error} (in {places})"
