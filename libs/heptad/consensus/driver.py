"""The shell's logic without the shell: steps, then one synced write, then release.

A replica service or the simulator uses it like this:

    driver = Driver(cell=…, me=…, limits=…, vote_signer=…, cosigner=…, verifier=…,
                    store=…, outbox=…, sink=…, is_new=False)
    driver.start(now_ms)                      # loads, then re-sends the last messages
    while True:
        events = …                            # all that have arrived, in order; wait until
                                              # driver.timer_at_ms at most, then [TimerFired()]
        driver.run(events, now_ms)

One `run` is one *wave*: every event is taken in, the core settles once, the store writes once, and
only then outbox and sink see anything. Under load a wave takes in whatever has arrived meanwhile,
so one fsync serves many events. A shell that wants the write in a thread of its own calls the
three parts itself: `wave = driver.begin(events, now_ms)`, `driver.write(wave)` (the only part that
may run in another thread), `driver.release(wave)`; waves do not overlap, and it is an error to try.

`now_ms` is Unix time in milliseconds that never decreases within a process: take the wall clock
once at the start and add a monotonic clock to it.

If the store raises, the driver lets the exception pass and is dead: every later call raises. What
the crashed wave wanted to say was never said, so a restart from the last durable state is safe.
"""

from collections.abc import Sequence
from typing import NamedTuple

from heptad.consensus.committee import Cell
from heptad.consensus.core import Core, may_sign
from heptad.consensus.decoding import PLAIN, Decoding
from heptad.consensus.errors import RecordMissingError
from heptad.consensus.events import Event
from heptad.consensus.limits import Limits
from heptad.consensus.messages import Message, encode_message
from heptad.consensus.objects import BatchId
from heptad.consensus.ports import Outbox, SignatureVerifier, Signer, Sink, Store
from heptad.consensus.ready import Ready
from heptad.consensus.serving import answer
from heptad.consensus.status import Status
from heptad.model.ids import MemberIndex, ValidatorNumber


class Wave(NamedTuple):
    """The result of some events, on its way through the disk."""

    ready: Ready


class Driver:
    """Drives one core: the only place where `Ready` is taken apart, and in the right order."""

    def __init__(
        self,
        *,
        cell: Cell,
        me: MemberIndex,
        limits: Limits,
        vote_signer: Signer | None,
        cosigner: Signer | None,
        verifier: SignatureVerifier,
        store: Store,
        outbox: Outbox,
        sink: Sink,
        is_new: bool,
        decoding: Decoding = PLAIN,
        heeds_own_past: bool = True,
    ) -> None:
        """Load what the last process left; nothing is sent before `start`.

        `is_new` is an operator's statement that this member's keys were never used: without it an
        empty store is refused, for a member that lost its record must never sign again. Without
        signers this replica is a *follower*: it commits what the others agree on, serves it, and
        signs nothing; nor will any later process over the same store. `heeds_own_past`: it retires
        where it sees that its key has signed what its record does not know.
        Raises: RecordMissingError, RecordDamagedError, and whatever `store.load` raises.
        """
        restored = store.load()
        if vote_signer is not None and not may_sign(restored, is_new=is_new):
            raise RecordMissingError(f"member {me} has no safety record to sign by, and is not new")
        self._core = Core(
            cell=cell,
            me=me,
            limits=limits,
            vote_signer=vote_signer,
            cosigner=cosigner,
            verifier=verifier,
            restored=restored,
            decoding=decoding,
            heeds_own_past=heeds_own_past,
        )
        self._limits = limits
        self._store = store
        self._outbox = outbox
        self._sink = sink
        self._status = self._core.status()
        self._timer_at_ms: int | None = None
        self._in_flight: Wave | None = None
        self._is_written = False
        self._is_dead = False

    @property
    def timer_at_ms(self) -> int | None:
        """When `TimerFired` is due; None while the replica is idle."""
        return self._timer_at_ms

    def status(self) -> Status:
        """How the replica is, as far as that is durable.

        While a wave is not written, and for ever after a write has failed, it is what was said
        last: who sees a log's size must never see the next process with a smaller one.
        """
        if self._in_flight is None or self._is_written:
            self._status = self._core.status()
        return self._status

    def last_committed(self, validator: ValidatorNumber) -> BatchId | None:
        """The last batch of this validator that is final; None if none is."""
        return self._core.last_committed(validator)

    def start(self, now_ms: int) -> None:
        """The first wave: persist a new record, send the last messages again, say hello."""
        wave = self._launch(self._core.start(now_ms))
        self.write(wave)
        self.release(wave)

    def run(self, events: Sequence[Event], now_ms: int) -> None:
        """One whole wave: step every event, write once, release. No events: nothing happens."""
        if events:
            wave = self.begin(events, now_ms)
            self.write(wave)
            self.release(wave)

    def begin(self, events: Sequence[Event], now_ms: int) -> Wave:
        """Take in all `events` (at least one) in order; nothing leaves the process yet."""
        assert not self._is_dead, "a write has failed: the process must stop"
        assert self._in_flight is None, "the last wave has not been released"
        return self._launch(self._core.step_all(events, now_ms))

    def write(self, wave: Wave) -> None:
        """Make the wave durable, unless it has nothing to keep. May run in another thread.

        If the store raises, this replica is dead: what it holds in memory is ahead of its disk.
        """
        assert wave is self._in_flight, "this wave is not the one in flight"
        assert not self._is_dead, "a write has failed: the process must stop"
        self._is_dead = True
        if not wave.ready.persist.is_empty:
            self._store.write(wave.ready.persist)
        self._is_dead = False
        self._is_written = True

    def release(self, wave: Wave) -> None:
        """Let out what the wave wanted to say: messages first, for others wait for them."""
        assert wave is self._in_flight, "this wave is not the one in flight"
        assert self._is_written, "nothing is released before it is durable"
        ready = wave.ready
        for outgoing in ready.messages:
            self._send(outgoing.targets, outgoing.message)
        for lookup in ready.lookups:
            reply = answer(lookup.request, store=self._store, limits=self._limits)
            if reply is not None:
                self._send((lookup.peer,), reply)
        if ready.commits:
            self._sink.committed(ready.commits)
        if ready.cosignatures:
            self._sink.cosigned(ready.cosignatures)
        if ready.outcomes:
            self._sink.answered(ready.outcomes)
        if ready.facts:
            self._sink.observed(ready.facts)
        self._in_flight, self._is_written = None, False

    def _send(self, targets: tuple[MemberIndex, ...], message: Message) -> None:
        payload = encode_message(message)
        self._outbox.send(targets, payload)
        self._core.sent(targets, message, len(payload))

    def _launch(self, ready: Ready) -> Wave:
        self._in_flight = Wave(ready)
        self._timer_at_ms = ready.timer_at_ms
        return self._in_flight
