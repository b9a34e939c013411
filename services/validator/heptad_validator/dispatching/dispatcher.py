"""From records to commits: closes batches when it is time, hears the replicas, tells the tickets.

Everything here happens on the event loop, in callbacks: a record that was added asks for one `pump`
at the end of the turn, a commit makes room and pumps again, an open batch has one timer. No task
waits for anything.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.observability.traces import Tracer
from heptad.wire.streams import (
    CommittedBatch,
    CommittedFrame,
    RefusedFrame,
    ReplicaToValidator,
    StandingFrame,
)
from heptad_validator.clock import Clock
from heptad_validator.dispatching.batching import Batcher, Gathered
from heptad_validator.dispatching.settlement import NoticeContradictsError
from heptad_validator.dispatching.submission import Settled, Submission
from heptad_validator.tickets import Ticket
from heptad_validator.tracing import RequestTraces

FENCE: Final = Gathered()
"""The first batch of an incarnation: empty. It is committed before anything else is sent."""


class StaleIncarnationError(Exception):
    """f + 1 replicas know a newer incarnation of this validator: another process has its name."""


class Link(Protocol):
    """What the dispatcher needs of a `ReplicaLink`."""

    replica_id: str

    def wake(self) -> None:
        """There may be something to send."""

    def rewind(self, sequence: int) -> None:
        """Send again from this number on."""

    def pause(self, sequence: int) -> None:
        """The replica has no room for that one: try again after a pause."""

    def relax(self) -> None:
        """The replica takes part."""


class Measures(Protocol):
    """What the dispatcher tells of each batch."""

    def batch_sent(self, *, records: int, byte_count: int) -> None:
        """A batch went out for the first time."""

    def batch_settled(self, *, duration_s: float) -> None:
        """A batch is committed."""

    def batches_resent(self) -> None:
        """Batches go out again, since their commit did not come."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be under way, and after how long without a commit the group counts as stuck."""

    batches_outstanding_max: int
    records_max: int
    stuck_s: float


class Dispatcher:
    """Owns the open batch and the outstanding ones."""

    def __init__(
        self,
        *,
        batcher: Batcher,
        submission: Submission,
        bounds: Bounds,
        fault_count: int,
        clock: Clock,
        measures: Measures,
        log: EventLog,
        traces: RequestTraces | None = None,
    ) -> None:
        self._batcher = batcher
        self._submission = submission
        self._bounds = bounds
        self._fault_count = fault_count
        self._clock = clock
        self._measures = measures
        self._log = log
        self.traces = RequestTraces(Tracer()) if traces is None else traces
        """What is traced of requests and batches."""
        self._links: dict[str, Link] = {}
        self._stale_voices: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_pump_due = False
        self._settled = asyncio.Event()
        self.fence: CommittedBatch | None = None
        """Where the fence was committed: all that older lives wrote lies below its index."""
        self.knows_former_life = False
        """Whether a replica has told of batches of an older incarnation."""
        self.on_fenced: Callable[[CommittedBatch], None] = lambda fence: None
        """Told where the fence stands *before* anything is let in on the strength of it."""
        self.shortage: Callable[[], str | None] = lambda: None
        """Why the group cannot agree on anything, where that is known from elsewhere."""
        self.on_committed: Callable[[Sequence[Ticket]], None] = lambda tickets: None

    # What is under way.

    @property
    def records_pending(self) -> int:
        """Records admitted and not known to be committed."""
        return self._batcher.records_waiting + self._submission.records_outstanding

    @property
    def batches_outstanding(self) -> int:
        """Batches sent and not known to be committed."""
        return len(self._submission)

    @property
    def incarnation(self) -> int:
        """The number of this life."""
        return self._submission.incarnation

    @property
    def next_sequence(self) -> int:
        """The number that the next batch gets."""
        return self._submission.next_sequence

    def require_fenced(self) -> None:
        """Refuse to speak while batches of an earlier life may still be committed.

        Raises: Problem `quorum_unavailable`.
        """
        if self.fence is None:
            raise _no_quorum("the group of replicas has not yet heard this validator")

    def require_open(self) -> None:
        """Refuse everything while it would be of no use to look at it.

        Raises: Problem as `require_fenced` does; `overloaded` while too much is under way.
        """
        self.require_fenced()
        if self.records_pending >= self._bounds.records_max:
            detail = f"{self._bounds.records_max} requests are under way"
            raise Problem("overloaded", detail, retry_after_s=1)

    def require_room(self) -> None:
        """Refuse what could not be sent on soon.

        Asked for what is *new* only: whoever sends again what was admitted before the group stalled
        must hear that it is pending, and not a refusal, which says that nothing was recorded.
        Raises: Problem as `require_open` does, and `quorum_unavailable` while nothing commits, or
        too few replicas are up.
        """
        self.require_open()
        age_s = self._submission.oldest_age_s(self._clock.monotonic_s())
        reasons = [shortage] if (shortage := self.shortage()) is not None else []
        if age_s > self._bounds.stuck_s:
            reasons.append(f"nothing was committed for {age_s:.0f} s")
        if reasons:
            raise _no_quorum(", ".join(reasons))

    # Records in, batches out.

    def begin(self, links: Iterable[Link]) -> None:
        """Take up the links and send the fence."""
        self._links = {link.replica_id: link for link in links}
        self._send(FENCE, self._clock.monotonic_s())

    def add(self, record: tuple[bytes, bytes], ticket: Ticket, trace: bytes = b"") -> None:
        """Put a record on its way; its ticket is settled once it is committed."""
        self._batcher.add(record, ticket, self._clock.monotonic_s(), trace)
        self._ask_for_pump()

    def add_whole(
        self, records: Sequence[tuple[bytes, bytes]], ticket: Ticket, trace: bytes = b""
    ) -> None:
        """Put records on their way that stay together in one batch; the ticket is the first's."""
        self._batcher.add_whole(records, ticket, self._clock.monotonic_s(), trace)
        self._ask_for_pump()

    async def fenced(self) -> CommittedBatch:
        """Wait until the fence is committed; where it stands."""
        while self.fence is None:
            await self._next_settlement()
        return self.fence

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        while self.records_pending:
            await self._next_settlement()

    def tick(self) -> None:
        """Send again what has waited for too long; called a few times each second."""
        sequence = self._submission.rewind_due(self._clock.monotonic_s())
        if sequence is not None:
            self._measures.batches_resent()
            for link in self._links.values():
                link.rewind(sequence)

    def _ask_for_pump(self) -> None:
        if not self._is_pump_due:
            self._is_pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Send every batch that is due and has room, and set the timer for the next one."""
        self._is_pump_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.fence is None:
            return
        while len(self._submission) < self._bounds.batches_outstanding_max:
            now_s = self._clock.monotonic_s()
            gathered = self._batcher.take(now_s, outstanding=len(self._submission))
            if gathered is None:
                self._set_timer(now_s)
                return
            self._send(gathered, now_s)

    def _set_timer(self, now_s: float) -> None:
        if self._batcher.records_waiting:
            due_at_s = self._batcher.due_at_s(len(self._submission))
            delay_s = max(0.0, due_at_s - now_s)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._pump)

    def _send(self, gathered: Gathered, now_s: float) -> None:
        trace = self.traces.sent(gathered.traces)
        sent = self._submission.send(
            gathered, now_ms=self._clock.now_ms(), now_s=now_s, trace=trace
        )
        self._measures.batch_sent(records=len(sent.tickets), byte_count=len(sent.frame))
        for link in self._links.values():
            link.wake()

    # What replicas say.

    def received(self, replica_id: str, frame: ReplicaToValidator) -> None:
        """Take a frame in.

        Raises: StaleIncarnationError once f + 1 replicas know a newer incarnation.
        """
        match frame:
            case CommittedFrame(batches):
                self._links[replica_id].relax()
                for row in batches:
                    self._committed(replica_id, row)
            case RefusedFrame():
                self._refused(replica_id, frame)
            case StandingFrame(known, incarnation, _) if known:
                self.knows_former_life |= incarnation < self.incarnation
                if incarnation > self.incarnation:
                    self._stale(replica_id)

    def _committed(self, replica_id: str, row: CommittedBatch) -> None:
        try:
            settled = self._submission.notice(replica_id, row, self._clock.monotonic_s())
        except NoticeContradictsError as error:
            self._log.failure("commit_notice_contradicts", error, peer=replica_id)
            return
        if settled is not None:
            self._settle(settled)

    def _settle(self, settled: Settled) -> None:
        if self.fence is None and settled.row.sequence == 0:
            self.on_fenced(settled.row)
            self.fence = settled.row
        told: list[Ticket] = []
        for index, ticket in enumerate(settled.tickets, start=settled.row.first_index):
            if ticket is not None:
                ticket.settle(index)
                told.append(ticket)
        self.on_committed(told)
        self._measures.batch_settled(duration_s=settled.duration_s)
        if settled.trace is not None:
            facts = {
                "heptad.sequence": settled.row.sequence,
                "heptad.first_index": settled.row.first_index,
                "heptad.records": len(settled.tickets),
            }
            self.traces.settled(settled.trace, facts)
        self._settled.set()
        self._pump()

    def _refused(self, replica_id: str, frame: RefusedFrame) -> None:
        if frame.incarnation != self.incarnation:
            return
        if frame.code == "incarnation_stale":
            self._stale(replica_id)
        if frame.code != "overloaded":
            self._log.warning(
                "batch_refused", peer=replica_id, sequence=frame.sequence, code=frame.code
            )
        self._links[replica_id].pause(frame.sequence)

    def _stale(self, replica_id: str) -> None:
        """One replica may lie, f may; f + 1 cannot all."""
        self._stale_voices.add(replica_id)
        if len(self._stale_voices) > self._fault_count:
            raise StaleIncarnationError(
                f"{len(self._stale_voices)} replicas know a newer incarnation than "
                f"{self.incarnation}: another process has taken over this validator's name"
            )

    async def _next_settlement(self) -> None:
        self._settled.clear()
        await self._settled.wait()


def _no_quorum(detail: str) -> Problem:
    return Problem("quorum_unavailable", detail, retry_after_s=1)
