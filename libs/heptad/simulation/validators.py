"""A simulated validator: packs records, numbers and signs batches, sends them until they commit.

It follows the real one's rules: an incarnation is durable before it is used; after a restart the
first batch is an empty one, which fences the old incarnation; what of that one was committed is
learned from what f + 1 replicas report once they have committed the fence; only then are the
records that did not make it packed again. Re-sending means the same bytes. The checkers see every
record, so a rule broken here or in the replicas shows up as a record that is in the log twice or
not at all.

`Manner`s are the ways in which a validator may misbehave: towards three replicas only, with two
batches under one number, with gaps, with garbage.
"""

from collections import Counter, deque
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from random import Random
from typing import Final

from heptad.consensus.committee import Cell
from heptad.consensus.ports import Signer
from heptad.model.batch import Batch, batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.model.canonical import SIGNATURE_BYTES
from heptad.model.ids import MemberIndex, ValidatorNumber
from heptad.simulation.checkers import Checkers
from heptad.simulation.clock import START_MS, US_PER_MS, Timeline
from heptad.simulation.network import VALIDATORS_AT, Network, NodeId, Parcel
from heptad.simulation.reports import Report

RESEND_US: Final = 1_000_000
RESEND_US_MAX: Final = 8_000_000
"""Re-sending slows down to this while nothing commits."""

RESEND_MAX: Final = 4
"""So many of the oldest batches are sent again at a time."""

RECORDS_MAX: Final = 5
OUTSTANDING_MAX: Final = 32


class Manner(Enum):
    """How a validator behaves."""

    HONEST = "honest"
    THREE_ONLY = "three_only"
    """Each batch goes to three replicas only (to f + 1 where that is more: one of them is honest),
    and to the others not before it is committed."""
    EQUIVOCATING = "equivocating"
    """Now and then two batches carry one number."""
    GAPPY = "gappy"
    """Now and then a number is left out for ever."""
    GARBAGE = "garbage"
    """Now and then it sends bytes that are no batch, or a batch with a bad signature."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch on its way, and the records that it carries."""

    encoded: bytes
    records: tuple[bytes, ...]
    targets: tuple[NodeId, ...]


class Validator:
    """One validator, with what it keeps in memory and what it keeps for ever.

    Durable: `incarnation`, and the records that its clients have not seen committed yet. Volatile:
    everything else.
    """

    def __init__(
        self,
        *,
        number: ValidatorNumber,
        cell: Cell,
        signer: Signer,
        manner: Manner,
        replicas: tuple[NodeId, ...],
        network: Network,
        timeline: Timeline,
        checkers: Checkers,
        rng: Random,
    ) -> None:
        self.number = number
        self.manner = manner
        self.node = NodeId(VALIDATORS_AT + number)
        self.made = 0
        self.is_asleep = False
        self._rivals = 0
        self._cell = cell
        self._signer = signer
        self._replicas = replicas
        self._network = network
        self._timeline = timeline
        self._checkers = checkers
        self._rng = rng
        self._incarnation = 0
        self._waiting: deque[bytes] = deque()
        self._unresolved: dict[tuple[int, int], tuple[bytes, ...]] = {}
        self._outstanding: dict[int, Sent] = {}
        self._sequence_next = 0
        self._is_fenced = True
        self._last: dict[MemberIndex, dict[int, int]] = {}
        self._resend_planned = False
        self._resend_us = RESEND_US

    @property
    def is_satisfied(self) -> bool:
        """True if all that it was given is known to be committed."""
        return not (self._waiting or self._unresolved or self._outstanding)

    def describe(self) -> str:
        """What it still waits for, for people."""
        return (
            f"validator-{self.number} ({self.manner.value}, incarnation {self._incarnation}): "
            f"{len(self._waiting)} records unsent, {len(self._outstanding)} batches from "
            f"{min(self._outstanding, default='-')} on outstanding, {len(self._unresolved)} of "
            f"older incarnations unresolved"
        )

    def submit(self, count: int) -> None:
        """Clients hand in `count` records."""
        for _ in range(count):
            self.made += 1
            self._waiting.append(b"record %d of validator %d" % (self.made, self.number))
        self._pack()

    def restart(self) -> None:
        """Crash, and start again with the next incarnation."""
        for sequence, sent in self._outstanding.items():
            if sent.records:
                self._unresolved[self._incarnation, sequence] = sent.records
        self._outstanding.clear()
        self._last.clear()
        self._incarnation += 1
        self._sequence_next = 0
        self._is_fenced = False
        self._send_batch(())

    def receive(self, source: NodeId, parcel: Parcel) -> None:
        """A replica reports how far it has committed."""
        if not isinstance(parcel, Report):
            return
        known = self._last.setdefault(parcel.member, {})
        for incarnation, sequence in parcel.last:
            known[incarnation] = max(known.get(incarnation, -1), sequence)
        while self._outstanding:
            oldest = next(iter(self._outstanding))
            if not self._is_committed(self._incarnation, oldest):
                break
            del self._outstanding[oldest]
            self._resend_us = RESEND_US
        if not self._is_fenced and self._is_committed(self._incarnation, 0):
            self._resolve()
        self._pack()

    def _is_committed(self, incarnation: int, sequence: int) -> bool:
        claims = sum(last.get(incarnation, -1) >= sequence for last in self._last.values())
        return claims > self._cell.committee.f

    def _is_said_to_be_committed(self, sequence: int) -> bool:
        return any(last.get(self._incarnation, -1) >= sequence for last in self._last.values())

    def _ask_the_others(self, sent: Sent) -> None:
        """Outside, whoever connects is told what is committed; here it takes the batch once more.

        Of f + 1 that have it up to f may say nothing, and the reports of all others may be lost.
        """
        others = tuple(replica for replica in self._replicas if replica not in sent.targets)
        self._send(replace(sent, targets=others))

    def _resolve(self) -> None:
        """The fence stands: what of the old incarnations is not in the log by now never will be.

        Only members that have committed the fence know the end, and f + 1 of them must agree on it.
        """
        witnesses = [last for last in self._last.values() if last.get(self._incarnation, -1) >= 0]
        ends: dict[int, int] = {}
        for incarnation, _ in self._unresolved:
            claims = Counter(last.get(incarnation, -1) for last in witnesses)
            end, count = claims.most_common(1)[0]
            if count <= self._cell.committee.f:
                return
            ends[incarnation] = end
        for (incarnation, sequence), records in self._unresolved.items():
            if sequence > ends[incarnation]:
                self._waiting.extend(records)
        self._unresolved.clear()
        self._is_fenced = True

    def _pack(self) -> None:
        while self._is_fenced and self._waiting and len(self._outstanding) < OUTSTANDING_MAX:
            count = min(len(self._waiting), self._rng.choice((1, RECORDS_MAX, RECORDS_MAX)))
            self._send_batch(tuple(self._waiting.popleft() for _ in range(count)))

    def _send_batch(self, records: tuple[bytes, ...]) -> None:
        sequence = self._sequence_next
        self._sequence_next += 1
        batch = self._signed_batch(sequence, records)
        targets = self._replicas
        if self.manner is Manner.THREE_ONLY:
            few = min(max(3, self._cell.committee.f + 1), len(targets))
            targets = tuple(sorted(self._rng.sample(self._replicas, few)))
        sent = Sent(encode_batch(batch), records, targets)
        self._outstanding[sequence] = sent
        self._misbehave(sequence)
        self._send(sent)
        if not self._resend_planned:
            self._resend_planned = True
            self._timeline.at(self._timeline.now_us + self._resend_us, self._resend)

    def _misbehave(self, sequence: int) -> None:
        if self._rng.random() >= 0.2:
            return
        match self.manner:
            case Manner.EQUIVOCATING:
                self._rivals += 1
                record = b"rival %d of validator %d" % (self._rivals, self.number)
                rival = self._signed_batch(sequence, (record,))
                some = self._rng.sample(self._replicas, self._rng.randint(1, len(self._replicas)))
                self._send(Sent(encode_batch(rival), (), tuple(some)))
            case Manner.GAPPY:
                self._sequence_next += 1
            case Manner.GARBAGE:
                unsigned = signed(self._batch(sequence, (b"forged",)), bytes(SIGNATURE_BYTES))
                rubbish = self._rng.randbytes(self._rng.randrange(200))
                self._send(Sent(rubbish, (), self._replicas))
                self._send(Sent(encode_batch(unsigned), (), self._replicas))
            case _:
                return

    def _resend(self) -> None:
        self._resend_planned = bool(self._outstanding) and not self.is_asleep
        if self.is_asleep:
            return
        for sequence, sent in islice(self._outstanding.items(), RESEND_MAX):
            self._send(sent)
            if self._is_said_to_be_committed(sequence):
                self._ask_the_others(sent)
        if self._resend_planned:
            self._resend_us = min(2 * self._resend_us, RESEND_US_MAX)
            self._timeline.at(self._timeline.now_us + self._resend_us, self._resend)

    def _send(self, sent: Sent) -> None:
        for target in sent.targets:
            self._network.send(self.node, target, sent.encoded, self._timeline.now_us)

    def _signed_batch(self, sequence: int, records: tuple[bytes, ...]) -> Batch:
        batch = self._batch(sequence, records)
        message = batch_signing_bytes(origin=self._cell.origin, digest=batch.digest)
        batch = signed(batch, self._signer.sign(message))
        self._checkers.submitted(batch)
        return batch

    def _batch(self, sequence: int, records: tuple[bytes, ...]) -> Batch:
        return unsigned_batch(
            validator=self.number,
            incarnation=self._incarnation,
            sequence=sequence,
            created_ms=START_MS + self._timeline.now_us // US_PER_MS,
            records=[(record, b"") for record in records],
        )
