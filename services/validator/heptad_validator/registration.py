"""Registering a subject: a slot, an id that nobody could choose, and a key that proves itself.

The steps come in this order. The id follows from the record's own witness, so the witness is drawn
first. The record is sealed under a slot that is nobody's yet; once the entry is committed, the
ledger makes the slot the subject's. The answer waits until the vault can lend the new subject's key
under a checkpoint: from then on every validator can serve it. If that takes too long the answer
says PENDING, and the same bytes sent again wait for the rest.

Copies that arrive while the first is being started share its task, so one registration never makes
two subjects here.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from heptad.crypto.jwk import PublicKey
from heptad.crypto.registration import verify_registration
from heptad.crypto.requests import SignedRequest, claims_digest
from heptad.model.answers import Registered, RequestState
from heptad.model.entry import Kind, Outcome
from heptad.model.lending import LEASE_WAIT_MS_MAX
from heptad.model.own_actions import OWN_SERVICE
from heptad.model.problems import Problem
from heptad.model.requests import request_hash, request_id_of
from heptad.model.subjects import subject_id
from heptad.runtime.identity import Identity, Role
from heptad_validator.admission import Admission
from heptad_validator.checks.audience import check_audience
from heptad_validator.checks.replay import check_same_request
from heptad_validator.checks.service import check_service
from heptad_validator.checks.shape import check_shape
from heptad_validator.checks.size import check_size
from heptad_validator.memory.expiring import ExpiringMap
from heptad_validator.memory.replay import KEPT_AFTER_EXPIRY_S
from heptad_validator.parts import Parts
from heptad_validator.recording import PublicHalf
from heptad_validator.sinks import wait_for_commit
from heptad_validator.tickets import Ticket

REGISTRATIONS_MAX: Final = 100_000
LEASE_MARGIN_S: Final = 0.5
"""Left of the caller's patience for the way back."""


@dataclass(slots=True)
class _Registration:
    """A subject on its way; `is_usable` once the vault has lent its key.

    `is_former` where another life or another validator has recorded it.
    """

    kid: str
    subject_id: str
    ticket: Ticket
    is_former: bool = False
    is_usable: bool = False


class Registrar:
    """Takes registrations through, once each."""

    def __init__(
        self,
        parts: Parts,
        *,
        admission: Admission,
        registrations_max: int = REGISTRATIONS_MAX,
    ) -> None:
        self._parts = parts
        self._rules = parts.rules
        self._clock = parts.clock
        self._admission = admission
        self._known: ExpiringMap[bytes, _Registration] = ExpiringMap(size_max=registrations_max)
        self._starting: dict[bytes, asyncio.Task[_Registration]] = {}

    @property
    def waiting(self) -> int:
        """Registrations that are not yet on their way."""
        return len(self._starting)

    def sweep(self, now_s: int) -> None:
        """Forget what can come no more; `now_s` is the wall clock."""
        self._known.sweep(now_s)

    async def register(
        self, jws: bytes, *, caller: Identity, patience_s: float, trace: bytes = b""
    ) -> Registered:
        """The new subject; `patience_s` is how long the caller will wait.

        `trace` is the packed context of a sampled trace, mostly empty.

        Raises: Problem.
        """
        request, key = self._check(jws, caller)
        until_s = self._clock.monotonic_s() + patience_s
        name = request_hash(iss=request.iss, jti=request.jti)
        registration = self._known.get(name)
        is_first = registration is None and name not in self._starting
        if registration is None:
            registration = await self._started(name, request, key, trace)
        check_same_request(
            claims_digest=claims_digest(request),
            known_claims_digest=registration.ticket.claims_digest,
        )
        await wait_for_commit(registration.ticket, timeout_s=self._left_s(until_s))
        if not registration.is_usable and registration.ticket.state is RequestState.COMMITTED:
            await self._finish(registration, name, request, until_s)
        replayed = registration.is_former or not is_first
        recorded = registration.ticket.as_recorded(replayed=replayed)
        if not registration.is_usable:
            recorded = replace(recorded, state=RequestState.PENDING, index=0)
        return Registered(registration.subject_id, registration.kid, recorded)

    # Checks.

    def _check(self, jws: bytes, caller: Identity) -> tuple[SignedRequest, PublicKey]:
        """What the bytes and the caller decide, the signature last."""
        if caller.role is Role.GATEWAY and not self._rules.open_registration:
            raise Problem("registration_closed", "this cell's services register its subjects")
        self._admission.require_open()
        check_size(jws, bytes_max=self._rules.request_bytes_max)
        request = check_shape(jws)
        check_audience(request, origin=self._rules.origin)
        self._admission.check_fresh(request)
        self._check_service(request.svc, caller)
        return request, verify_registration(request)

    def _check_service(self, svc: str, caller: Identity) -> None:
        if svc == OWN_SERVICE:
            return
        check_service(svc, services=self._rules.policy)
        if caller.role is Role.SERVICE and svc != caller.id:
            raise Problem("claim_invalid", "svc is not the service that sends this", field="svc")

    # Steps.

    async def _started(
        self, name: bytes, request: SignedRequest, key: PublicKey, trace: bytes
    ) -> _Registration:
        """The registration once its record is in a batch; copies wait for the first one's task."""
        task = self._starting.get(name)
        if task is None:
            task = asyncio.create_task(self._start(name, request, key, trace))
            self._starting[name] = task
            task.add_done_callback(lambda done: self._start_ended(name, done))
        return await asyncio.shield(task)

    def _start_ended(self, name: bytes, task: asyncio.Task[_Registration]) -> None:
        del self._starting[name]
        if not task.cancelled():
            # Looked at, so that a refusal whose callers have all gone is no "lost" exception.
            task.exception()

    async def _start(
        self, name: bytes, request: SignedRequest, key: PublicKey, trace: bytes
    ) -> _Registration:
        registration = await self._former(name, request, key.kid)
        if registration is None:
            registration = await self._record(name, request, key, trace)
        elif self._known.is_full:
            return registration
        self._known.put(name, registration, expires_at_s=request.exp + KEPT_AFTER_EXPIRY_S)
        return registration

    async def _former(self, name: bytes, request: SignedRequest, kid: str) -> _Registration | None:
        """The same registration, if another life or another validator has admitted it.

        Always asked: a subject that is not there yet has no lease by which the ledger could tell
        who else works for it, and one question more is little in a registration.
        """
        found = await self._parts.look_ups.find(request, request_id=name, subject_id="")
        if found is None:
            return None
        ticket = self._parts.look_ups.ticket(request, request_id=name, found=found)
        return _Registration(kid, found.subject_id, ticket, is_former=True)

    async def _record(
        self, name: bytes, request: SignedRequest, key: PublicKey, trace: bytes
    ) -> _Registration:
        slot = await self._parts.slots.take()
        # Nothing waits from here on until the registration is known: what there is room for now,
        # there is room for then.
        self._require_room()
        witness = self._parts.recorder.new_witness()
        subject = subject_id(cell_code=self._rules.cell_code, witness=witness, payload=request.raw)
        ticket = Ticket(
            request_id=name,
            claims_digest=claims_digest(request),
            exp_s=request.exp,
            time_ms=self._clock.now_ms(),
        )
        public = PublicHalf(
            Kind.SUBJECT_REGISTERED, request.svc, request.act, Outcome.ALLOWED, ticket.time_ms
        )
        record = self._parts.recorder.record(
            public,
            payload=request.raw,
            request_id=request_id_of(name),
            slot=slot,
            witness=witness,
        )
        self._parts.window.add(ticket)
        self._parts.dispatcher.traces.enter(trace, "validator.gather")
        self._parts.dispatcher.add(record, ticket, trace)
        # Nothing else is sealed under it, and who erases the subject soon need not wait for it.
        self._parts.book.give_back(slot.lease_id)
        return _Registration(key.kid, subject, ticket)

    def _require_room(self) -> None:
        """Raises: Problem `overloaded`, `quorum_unavailable`; nothing may be recorded then."""
        self._parts.dispatcher.require_room()
        self._parts.window.require_room()
        if self._known.is_full:
            detail = f"{len(self._known)} registrations are remembered, more may not be"
            raise Problem("overloaded", detail, retry_after_s=1)

    async def _finish(
        self, registration: _Registration, name: bytes, request: SignedRequest, until_s: float
    ) -> None:
        """It is in the log: wait for the vault's first lease, as long as there is time.

        Another validator may have recorded the same registration in the same moment. Then the lower
        index counts, and the id that was drawn here is nobody's.
        """
        if await self._is_lent(registration, until_s):
            return
        try:
            former = await self._former(name, request, registration.kid)
        except Problem:
            return  # The vault does not know it yet: the answer says PENDING.
        if former is not None and former.subject_id not in ("", registration.subject_id):
            registration.subject_id, registration.ticket = former.subject_id, former.ticket
            registration.is_former = True
            await self._is_lent(registration, until_s)

    async def _is_lent(self, registration: _Registration, until_s: float) -> bool:
        wait_ms = min(int(self._left_s(until_s) * 1000), LEASE_WAIT_MS_MAX)
        try:
            lease = await self._parts.desk.obtain(registration.subject_id, wait_ms=wait_ms)
        except Problem:
            return False
        registration.is_usable = registration.kid in lease.keys
        return registration.is_usable

    def _left_s(self, until_s: float) -> float:
        return max(0.0, until_s - LEASE_MARGIN_S - self._clock.monotonic_s())
