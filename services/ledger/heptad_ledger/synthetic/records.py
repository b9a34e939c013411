"""Records as validators would make them, at the pace at which a ledger takes them in.

What is random comes from a seed, so that two homes of one origin get the same public entries. What
would cost more than everything else, the signature of a subject under each request, is made once
for each subject and service, unless the plan says `is_signed`: so payload, commitment and seal of
every record are good, but records of one subject at one service share the signed request in them,
and their request references are random and not those of that request.
"""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from heptad.crypto.derivation import lease_key, request_ref
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registration import sign_registration
from heptad.crypto.requests import parse_request, sign_request
from heptad.crypto.sealing import Routing, RoutingKey, commitment, seal_record
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.own_actions import REGISTER
from heptad.model.subjects import subject_id
from heptad.vault.tree import KeyTree, SlotKey
from heptad.wire.convert.entry import encode_entry

Record = tuple[bytes, bytes]
"""An entry and its sealed half, which is empty where there is none."""

LIFETIME_S: Final = 300


class _Choice(NamedTuple):
    """What an entry may say, and how often out of 10,000."""

    weight: int
    kind: Kind
    service: str
    action: str
    outcome: Outcome


CHOICES: Final = (
    _Choice(6_000, Kind.REQUEST, "tax-portal", "authenticate", Outcome.ALLOWED),
    _Choice(2_500, Kind.REQUEST, "tax-portal", "record.access", Outcome.ALLOWED),
    _Choice(1_000, Kind.REQUEST, "health-records", "record.access", Outcome.ALLOWED),
    _Choice(390, Kind.REQUEST, "health-records", "consent.grant", Outcome.ALLOWED),
    _Choice(99, Kind.REQUEST, "health-records", "consent.withdraw", Outcome.DENIED),
    _Choice(10, Kind.REQUEST, "land-register", "record.access", Outcome.ALLOWED),
    _Choice(1, Kind.REQUEST, "land-register", "consent.grant", Outcome.DENIED),
)
"""Common, seldom and rare ones, so that a filter may find most of a log or one in 10,000."""


@dataclass(frozen=True, slots=True)
class FillPlan:
    """How large the log is to become, and of what.

    `entries` is its size at the end, whatever is there already. A block has `block_batches` batches
    of `batch_records`, and comes `block_ms` after the one before. There is a checkpoint at the
    first block after each `checkpoint_entries`, and at the end. Without `is_sealed` entries have no
    private half but for registrations, which is three times as fast; with `is_signed` each has a
    signed request of its own, and is found by it.
    """

    entries: int
    seed: int = 1
    subjects: int = 1_000
    batch_records: int = 1_000
    block_batches: int = 8
    block_ms: int = 200
    checkpoint_entries: int = 65_536
    is_sealed: bool = True
    is_signed: bool = False


@dataclass(frozen=True, slots=True)
class _Subject:
    """A registered subject, its lease, and requests that it has signed, one of a choice at most."""

    slot: int
    lease_id: bytes
    lease: bytes
    payloads: dict[int, bytes]
    key: Ed25519Key
    name: str

    def __repr__(self) -> str:
        return f"_Subject(slot={self.slot})"


class RecordMaker:
    """Makes registrations first, then requests of those who are registered."""

    def __init__(
        self, plan: FillPlan, *, vault: KeyTree, origin: str, cell_code: str, start: int
    ) -> None:
        """`start` is the size of the log before; who goes on with a log gets new subjects."""
        self._plan = plan
        self._vault = vault
        self._origin = origin
        self._cell_code = cell_code
        self._rng = random.Random(f"{plan.seed} {start}")  # noqa: S311  to be the same again
        self._routing_key: RoutingKey = vault.current_routing_key().key
        self._subjects: list[_Subject] = []
        self._choices = range(len(CHOICES))
        self._weights = [choice.weight for choice in CHOICES]

    @property
    def registered(self) -> int:
        """Subjects made so far."""
        return len(self._subjects)

    def registrations(self, *, time_ms: int, count: int) -> Iterator[Record]:
        """Records of so many new subjects."""
        for slot_key in self._vault.allocate(count) if count else ():
            yield self._registration(slot_key, time_ms)

    def requests(self, *, time_ms: int, count: int) -> list[Record]:
        """So many records of a batch that was closed then."""
        if not count:
            return []
        rng = self._rng
        picks = rng.choices(self._choices, self._weights, k=count)
        subjects = rng.choices(self._subjects, k=count)
        make = self._sealed if self._plan.is_sealed else self._public
        times = sorted(rng.choices(range(time_ms - 10, time_ms + 1), k=count))
        pairs = zip(picks, subjects, times, strict=True)
        return [make(pick, subject, at_ms) for pick, subject, at_ms in pairs]

    def _sealed(self, pick: int, subject: _Subject, time_ms: int) -> Record:
        payload, randbytes = self._payload(subject, pick, time_ms), self._rng.randbytes
        witness = randbytes(32)
        reference = randbytes(16)
        if self._plan.is_signed:
            payload = self._signed(subject.key, subject.name, CHOICES[pick], time_ms // 1000)
            reference = request_ref(
                cell_index_key=self._vault.index_key(), request_id=parse_request(payload).request_id
            )
        entry = _entry(pick, time_ms, commitment(witness=witness, payload=payload))
        routing = Routing(subject.slot, subject.lease_id, reference)
        return entry, self._seal(entry, witness, payload, subject.lease, routing)

    def _public(self, pick: int, _subject: _Subject, time_ms: int) -> Record:
        return _entry(pick, time_ms, self._rng.randbytes(32)), b""

    def _registration(self, slot_key: SlotKey, time_ms: int) -> Record:
        key, witness = Ed25519Key(self._rng.randbytes(32)), self._rng.randbytes(32)
        lease_id, iat = self._rng.randbytes(16), time_ms // 1000
        lease = lease_key(slot_key=slot_key.key, lease_id=lease_id)
        payload = sign_registration(
            key, aud=self._origin, jti=self._jti(), iat=iat, exp=iat + LIFETIME_S, svc="heptad"
        )
        name = subject_id(cell_code=self._cell_code, witness=witness, payload=payload)
        self._subjects.append(_Subject(slot_key.slot, lease_id, lease, {}, key, name))
        entry = encode_entry(
            Entry(
                kind=Kind.SUBJECT_REGISTERED,
                service="heptad",
                action=REGISTER,
                outcome=Outcome.ALLOWED,
                time_ms=time_ms,
                validator=1,
                commitment=commitment(witness=witness, payload=payload),
            )
        )
        request_id = parse_request(payload).request_id
        ref = request_ref(cell_index_key=self._vault.index_key(), request_id=request_id)
        return entry, self._seal(
            entry, witness, payload, lease, Routing(slot_key.slot, lease_id, ref)
        )

    def _payload(self, subject: _Subject, pick: int, time_ms: int) -> bytes:
        """Signed when it is first needed: of a million subjects few make every kind of request."""
        payload = subject.payloads.get(pick)
        if payload is None:
            payload = self._signed(subject.key, subject.name, CHOICES[pick], time_ms // 1000)
            subject.payloads[pick] = payload
        return payload

    def _signed(self, key: Ed25519Key, name: str, choice: _Choice, iat: int) -> bytes:
        return sign_request(
            key,
            iss=name,
            aud=self._origin,
            jti=self._jti(),
            iat=iat,
            exp=iat + LIFETIME_S,
            svc=choice.service,
            act=choice.action,
            data={},
        )

    def _seal(
        self, entry: bytes, witness: bytes, payload: bytes, lease: bytes, routing: Routing
    ) -> bytes:
        return seal_record(
            entry=entry,
            witness=witness,
            payload=payload,
            lease=lease,
            routing=routing,
            routing_key=self._routing_key,
            entropy=self._rng.randbytes,
        )

    def _jti(self) -> str:
        return str(uuid.UUID(bytes=self._rng.randbytes(16), version=4))


def _entry(pick: int, time_ms: int, committed: bytes) -> bytes:
    choice = CHOICES[pick]
    return encode_entry(
        Entry(
            kind=choice.kind,
            service=choice.service,
            action=choice.action,
            outcome=choice.outcome,
            time_ms=time_ms,
            validator=1,
            commitment=committed,
        )
    )
