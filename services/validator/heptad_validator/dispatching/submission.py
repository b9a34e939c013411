"""Batches on their way: numbered once, sent until f + 1 replicas report them, never changed.

A batch gets its number when it is sent first, in order and without gaps, because replicas take a
validator's batches in the order of their numbers. It is signed and encoded once; sending it again
means the same bytes, so whichever copies arrive, it is committed once. The first batch of a life is
the fence: empty, number 0 of a new incarnation. Once it is committed, nothing of an older life can
be any more, and only then are requests admitted.

No I/O here: links to replicas read `frame_from` at their own pace, and whoever has the clock calls
`rewind_due`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from heptad.model.batch import batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.model.ids import ValidatorNumber
from heptad.wire.streams import BatchFrame, CommittedBatch
from heptad.wire.streams import encode_batch as encode_batch_frame
from heptad_validator.dispatching.batching import Gathered
from heptad_validator.dispatching.settlement import Settlement
from heptad_validator.tickets import Ticket
from heptad_validator.tracing import BatchTrace

_RESEND_GROWTH: Final = 2.0
_RESEND_S_MAX: Final = 16.0


@dataclass(slots=True)
class Outstanding:
    """A batch that was sent and is not known to be committed.

    `frame` is what each replica gets. Times are of the monotonic clock.
    """

    sequence: int
    frame: bytes
    tickets: list[Ticket | None]
    settlement: Settlement
    sent_at_s: float
    resend_at_s: float
    resend_wait_s: float
    trace: BatchTrace | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A batch that is committed: its row, a ticket or None for each of its records in order, and
    how long it took."""

    row: CommittedBatch
    tickets: list[Ticket | None]
    duration_s: float
    trace: BatchTrace | None = None


class Submission:
    """The outstanding batches of one incarnation, oldest first."""

    def __init__(
        self,
        *,
        validator: ValidatorNumber,
        origin: str,
        incarnation: int,
        fault_count: int,
        resend_s: float,
        sign: Callable[[bytes], bytes],
    ) -> None:
        """`sign` is the batch key's; `fault_count` is f of the group of replicas."""
        self.incarnation = incarnation
        self._validator = validator
        self._origin = origin
        self._fault_count = fault_count
        self._resend_s = resend_s
        self._sign = sign
        self._outstanding: dict[int, Outstanding] = {}
        self.next_sequence = 0
        self.records_outstanding = 0

    def __len__(self) -> int:
        return len(self._outstanding)

    def send(
        self, gathered: Gathered, *, now_ms: int, now_s: float, trace: BatchTrace | None = None
    ) -> Outstanding:
        """Number, sign and encode a batch; from now on it is outstanding."""
        unsigned = unsigned_batch(
            validator=self._validator,
            incarnation=self.incarnation,
            sequence=self.next_sequence,
            created_ms=now_ms,
            records=gathered.records,
        )
        message = batch_signing_bytes(origin=self._origin, digest=unsigned.digest)
        batch = encode_batch(signed(unsigned, self._sign(message)))
        sent = Outstanding(
            sequence=self.next_sequence,
            frame=encode_batch_frame(BatchFrame(batch, trace.packed if trace else b"")),
            tickets=gathered.tickets,
            settlement=Settlement(unsigned.digest, self._fault_count),
            sent_at_s=now_s,
            resend_at_s=now_s + self._resend_s,
            resend_wait_s=self._resend_s,
            trace=trace,
        )
        self._outstanding[sent.sequence] = sent
        self.next_sequence += 1
        self.records_outstanding += len(gathered.records)
        return sent

    def notice(self, replica_id: str, row: CommittedBatch, now_s: float) -> Settled | None:
        """Count a replica's notice; the batch as soon as f + 1 agree on it.

        Notices about batches that are settled already, or of former lives, say nothing new.
        Raises: NoticeContradictsError.
        """
        if row.incarnation != self.incarnation:
            return None
        sent = self._outstanding.get(row.sequence)
        if sent is None or sent.settlement.notice(replica_id, row) is None:
            return None
        del self._outstanding[row.sequence]
        self.records_outstanding -= len(sent.tickets)
        return Settled(row, sent.tickets, now_s - sent.sent_at_s, sent.trace)

    def frame_from(self, sequence: int) -> tuple[int, bytes] | None:
        """The first outstanding batch numbered `sequence` or above: its number and its frame."""
        for number, sent in self._outstanding.items():
            if number >= sequence:
                return number, sent.frame
        return None

    def rewind_due(self, now_s: float) -> int | None:
        """The lowest number that is due to be sent again, to everybody, or None.

        The wait doubles up to 16 s: a group that has stalled is not helped by a flood.
        """
        due = [sent for sent in self._outstanding.values() if now_s >= sent.resend_at_s]
        for sent in due:
            sent.resend_wait_s = min(sent.resend_wait_s * _RESEND_GROWTH, _RESEND_S_MAX)
            sent.resend_at_s = now_s + sent.resend_wait_s
        return due[0].sequence if due else None

    def oldest_age_s(self, now_s: float) -> float:
        """For how long the oldest outstanding batch has been on its way; 0 without any."""
        for sent in self._outstanding.values():
            return now_s - sent.sent_at_s
        return 0.0
