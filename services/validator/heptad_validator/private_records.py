"""What the ledger has to say about one subject, sealed under that subject's key.

    form → signature → age → said before? → limits → lease → seal → batch → committed

It is the private counterpart of `statements`: who opened personal data is nobody's business but the
subject's. The record takes the way of any other, so that it is exported, proved and erased like any
other; and it is named as a request is, so that the ledger finds it by that name.

The same words within five minutes are the same entry. An older record is refused, so the window
never has forgotten what could still come.
"""

from hashlib import sha256
from typing import ClassVar, Final

from heptad.crypto.accesses import SignedAccess
from heptad.model.access import PrivateRecord
from heptad.model.answers import RequestState
from heptad.model.entry import Outcome
from heptad.model.own_actions import OWN_SERVICE
from heptad.model.problems import Problem
from heptad.model.requests import request_hash
from heptad.runtime.attestation import AttestationKeys
from heptad.runtime.identity import Identity
from heptad_validator.admission import Admission
from heptad_validator.checks.private import AGE_S_MAX, check_age, check_private
from heptad_validator.checks.replay import check_same_request
from heptad_validator.lending.leases import Lease
from heptad_validator.memory.limits import SubjectLimits
from heptad_validator.parts import Parts
from heptad_validator.recording import PublicHalf
from heptad_validator.sinks import wait_for_commit
from heptad_validator.tickets import Ticket

RECORDS_PER_MINUTE_MAX: Final = 60_000
"""A thousand a second: as many as erasures may come in one group, and far below a batch's share."""

_DOMAIN: Final = b"heptad/v1/private-record\0"


class PrivateLimits(SubjectLimits):
    """How much a ledger may record."""

    __slots__ = ()

    CODE: ClassVar[str] = "overloaded"
    DETAIL: ClassVar[str] = "a ledger may record {} private records a minute"


class PrivateRecords:
    """Takes private records through, once each."""

    def __init__(
        self,
        parts: Parts,
        *,
        admission: Admission,
        keys: AttestationKeys,
        limits: PrivateLimits,
    ) -> None:
        self._parts = parts
        self._admission = admission
        self._keys = keys
        self._limits = limits

    async def record(self, record: PrivateRecord, *, caller: Identity, patience_s: float) -> int:
        """The log index of the record's entry; `patience_s` is how long the caller will wait.

        Raises: Problem; then nothing was recorded, unless it is `deadline_exceeded`, after which
        asking for the same again is safe.
        """
        clock = self._parts.clock
        until_s = clock.monotonic_s() + patience_s
        self._admission.require_open()
        signed = self._checked(record, caller)
        ticket = await self._ticket(record, signed, caller)
        await wait_for_commit(ticket, timeout_s=max(0.0, until_s - clock.monotonic_s()))
        if ticket.state is not RequestState.COMMITTED:
            raise Problem("deadline_exceeded", "the record is not committed yet")
        return ticket.index

    def _checked(self, record: PrivateRecord, caller: Identity) -> SignedAccess:
        rules = self._parts.rules
        signed = check_private(
            record,
            caller=caller,
            origin=rules.origin,
            cell_code=rules.cell_code,
            keys=self._keys,
        )
        now_s = self._parts.clock.now_ms() // 1000
        check_age(signed, now_s=now_s, skew_s_max=rules.skew_s_max)
        return signed

    async def _ticket(
        self, record: PrivateRecord, signed: SignedAccess, caller: Identity
    ) -> Ticket:
        """The record's ticket: the one that is known, or a new one, on its way."""
        name = request_hash(iss=signed.record.ledger, jti=signed.record.jti)
        digest = _digest(record)
        ticket = self._parts.window.find(name)
        if ticket is None:
            self._parts.dispatcher.require_room()
            self._limits.take(caller.id, self._parts.clock.monotonic_s())
            lease = await self._lease(record.subject_id)
            # The same may have been asked for again while the lease was waited for.
            ticket = self._parts.window.find(name)
            ticket = ticket or self._admit(record, signed, name, digest, lease)
        check_same_request(claims_digest=digest, known_claims_digest=ticket.claims_digest)
        return ticket

    def _admit(
        self,
        record: PrivateRecord,
        signed: SignedAccess,
        name: bytes,
        digest: bytes,
        lease: Lease,
    ) -> Ticket:
        parts = self._parts
        parts.dispatcher.require_room()
        ticket = Ticket(
            request_id=name,
            claims_digest=digest,
            exp_s=signed.record.time_s + AGE_S_MAX,
            time_ms=parts.clock.now_ms(),
            outcome=Outcome.NONE,
        )
        own = PublicHalf(record.kind, OWN_SERVICE, record.action, Outcome.NONE, ticket.time_ms)
        sealed = parts.recorder.record(
            own, payload=record.payload, request_id=signed.record.request_id, slot=lease
        )
        parts.window.add(ticket)
        parts.dispatcher.add(sealed, ticket)
        return ticket

    async def _lease(self, subject_id: str) -> Lease:
        """A live lease to seal under. Raises: Problem, the vault's."""
        parts = self._parts
        lease = parts.book.sealable(subject_id, parts.clock.monotonic_s())
        if lease is not None:
            return lease
        if not parts.desk.is_open:
            raise Problem("vault_unavailable", "the vault is not connected", retry_after_s=1)
        [lent] = await parts.desk.obtain_for_events((subject_id,))
        if isinstance(lent, Problem):
            raise lent
        lease = parts.book.sealable(subject_id, parts.clock.monotonic_s())
        if lease is None:
            raise Problem("vault_unavailable", "the lease ran out meanwhile", retry_after_s=1)
        return lease


def _digest(record: PrivateRecord) -> bytes:
    """32 bytes that are equal for two records iff they say the same of the same subject."""
    texts = (record.action.encode(), record.subject_id.encode(), record.payload)
    framed = b"".join(len(text).to_bytes(4, "big") + text for text in texts)
    return sha256(_DOMAIN + record.kind.to_bytes(4, "big") + framed).digest()
