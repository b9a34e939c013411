"""Service bundles: one signature for many events, all of them recorded or none.

    size → shape → algorithm → audience → freshness → the same bytes lately? → key → signature
    → replay → events and root → replay elsewhere → limits → policy → leases → seal → one batch

The order is that of requests, for the same reason. What is particular: the signature comes before
the events are looked at, because it is dearer to hash a thousand events than to verify once, and
nobody but a service of the cell gets that far. Whether another life or another validator has the
bundle is always asked, as for registrations: there is no lease of a service by which the ledger
could tell, and one question is little for so many events.

What policy refuses is not recorded, unlike a subject's request: the refused act is the service's
own, and a refusal that cost log space would let one key fill it (docs/spec/bundles.md).

Copies that arrive while the first is being admitted share its task.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from heptad.crypto.bundles import (
    Bundle,
    SignedBundle,
    bundle_digest,
    parse_statement,
    public_events,
    verify_statement,
)
from heptad.crypto.errors import CryptoRefusalError
from heptad.model.answers import BundleRecorded, Wait
from heptad.model.bundles import BUNDLE_BYTES_MAX, PrivateEvent, PublicEvent
from heptad.model.entry import Outcome
from heptad.model.problems import Problem
from heptad.model.requests import request_hash
from heptad.runtime.identity import Identity, Role
from heptad.runtime.service_keys import ServiceKeys
from heptad_validator.admission import Admission
from heptad_validator.checks.audience import check_audience
from heptad_validator.checks.bundle import (
    check_actions,
    check_count,
    check_events,
    check_root,
    check_service_key,
    check_sizes,
    subject_unknown,
)
from heptad_validator.checks.replay import check_same_request
from heptad_validator.lending.leases import Lease
from heptad_validator.memory.limits import ServiceLimits
from heptad_validator.parts import Parts
from heptad_validator.sinks import wait_for_commit
from heptad_validator.tickets import Ticket

AT_ONCE_MAX: Final = 64
"""Bundles that are being admitted: each holds up to 1 MiB, and waits for leases."""

FRAME_BYTES: Final = 4_096
"""Of a batch, what is left for its frame and the statement's entry."""


@dataclass(frozen=True, slots=True)
class BundleRules:
    """What the cell says of bundles: their services' keys, and what one batch holds.

    `commit_wait_s` is how long a caller waits for the commit before it is told PENDING.
    """

    keys: ServiceKeys
    batch_records_max: int
    batch_bytes_max: int
    commit_wait_s: float

    @property
    def events_max(self) -> int:
        """Events of one bundle, whose own entry is a record too."""
        return self.batch_records_max - 1

    @property
    def bytes_max(self) -> int:
        """Bytes of all its events, as `heptad.model.bundles.event_bytes` counts them."""
        return min(BUNDLE_BYTES_MAX, self.batch_bytes_max - FRAME_BYTES)


class BundleCall(NamedTuple):
    """A bundle as it came; `bytes_key` is the name of the whole message's bytes.

    `trace` is the packed context of a sampled trace, mostly empty.
    """

    bundle: Bundle
    bytes_key: bytes
    wait: Wait
    trace: bytes = b""


class _Proved(NamedTuple):
    """A bundle whose statement is the service's, over exactly these events."""

    statement: SignedBundle
    events: Sequence[PrivateEvent]
    public: Sequence[PublicEvent]


class Bundles:
    """Takes bundles through, once each."""

    def __init__(
        self, parts: Parts, *, admission: Admission, rules: BundleRules, limits: ServiceLimits
    ) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._admission = admission
        self._rules = rules
        self._limits = limits
        self._starting: dict[bytes, asyncio.Task[tuple[Ticket, bool]]] = {}

    @property
    def waiting(self) -> int:
        """Bundles that are not yet on their way."""
        return len(self._starting)

    def sweep(self, now_s: float) -> None:
        """Forget services that have been quiet; `now_s` is of the monotonic clock."""
        self._limits.sweep(now_s)

    async def submit(
        self, call: BundleCall, *, caller: Identity, patience_s: float
    ) -> BundleRecorded:
        """Record a bundle, or all of it refused; `patience_s` is how long the caller will wait.

        Raises: Problem; then nothing was recorded, unless it is `deadline_exceeded`.
        """
        until_s = self._clock.monotonic_s() + patience_s
        try:
            statement = self._read(call.bundle, caller)
            answer = self._parts.recent.find(call.bytes_key)
            if isinstance(answer, Problem):
                raise answer
            if answer is None:
                ticket, replayed = await self._judged(statement, call, until_s)
                self._parts.recent.add(call.bytes_key, ticket)
            else:
                ticket, replayed = answer, True
        except Problem as problem:
            self._admission.tally.refused[problem.code] += 1
            raise
        self._admission.tally.replayed += replayed
        if call.wait is not Wait.ADMITTED:
            left_s = max(0.0, until_s - self._clock.monotonic_s())
            timeout_s = min(left_s, self._rules.commit_wait_s)
            await wait_for_commit(ticket, timeout_s=timeout_s)
        return BundleRecorded(ticket.as_recorded(replayed=replayed), statement.count)

    # Checks.

    def _read(self, bundle: Bundle, caller: Identity) -> SignedBundle:
        """What the bytes and the caller decide."""
        self._admission.require_open()
        check_sizes(
            bundle.statement,
            bundle.events,
            events_max=self._rules.events_max,
            bytes_max=self._rules.bytes_max,
        )
        statement = parse_statement(bundle.statement)
        check_count(statement, bundle.events)
        check_audience(statement, origin=self._parts.rules.origin)
        self._admission.check_fresh(statement)
        if caller.role is Role.SERVICE and statement.iss != caller.id:
            raise Problem("claim_invalid", "iss is not the service that sends this", field="iss")
        return statement

    async def _judged(
        self, statement: SignedBundle, call: BundleCall, until_s: float
    ) -> tuple[Ticket, bool]:
        """The bundle's ticket, and whether somebody brought it before."""
        key = check_service_key(statement, keys=self._rules.keys)
        try:
            verify_statement(statement, key)
        except CryptoRefusalError as refusal:
            self._parts.recent.add(call.bytes_key, refusal.with_traceback(None))
            raise
        name = request_hash(iss=statement.iss, jti=statement.jti)
        ticket, replayed = self._parts.window.find(name), True
        if ticket is None:
            proved = self._proved(statement, call.bundle.events)
            ticket, replayed = await self._started(name, proved, until_s, call.trace)
        check_same_request(
            claims_digest=bundle_digest(statement), known_claims_digest=ticket.claims_digest
        )
        return ticket, replayed

    def _proved(self, statement: SignedBundle, events: Sequence[PrivateEvent]) -> _Proved:
        rules = self._parts.rules
        time_ms_max = (statement.iat + 1 + rules.skew_s_max) * 1000
        check_events(events, cell_code=rules.cell_code, time_ms_max=time_ms_max)
        public = public_events(events)
        check_root(statement, public)
        return _Proved(statement, events, public)

    # Steps.

    async def _started(
        self, name: bytes, proved: _Proved, until_s: float, trace: bytes
    ) -> tuple[Ticket, bool]:
        """The bundle's ticket once it is in a batch; copies wait for the first one's task."""
        task, is_first = self._starting.get(name), False
        if task is None:
            if len(self._starting) >= AT_ONCE_MAX:
                detail = f"{len(self._starting)} bundles are being admitted"
                raise Problem("overloaded", detail, retry_after_s=1)
            task, is_first = asyncio.create_task(self._start(name, proved, trace)), True
            self._starting[name] = task
            task.add_done_callback(lambda done: self._start_ended(name, done))
        left_s = max(0.0, until_s - self._clock.monotonic_s())
        try:
            ticket, was_known = await asyncio.wait_for(asyncio.shield(task), left_s)
        except TimeoutError:
            raise Problem("deadline_exceeded", "the bundle is still being admitted") from None
        return ticket, was_known or not is_first

    def _start_ended(self, name: bytes, task: asyncio.Task[tuple[Ticket, bool]]) -> None:
        del self._starting[name]
        if not task.cancelled():
            # Looked at, so that a refusal whose callers have all gone is no "lost" exception.
            task.exception()

    async def _start(self, name: bytes, proved: _Proved, trace: bytes) -> tuple[Ticket, bool]:
        """Admit a bundle that this life does not know; or find that another one has."""
        statement, parts = proved.statement, self._parts
        former = await self._former(name, statement)
        if former is not None:
            return former, True
        parts.dispatcher.require_room()
        parts.window.require_room()
        self._limits.take(statement.iss, self._clock.monotonic_s(), len(proved.events))
        check_actions(proved.events, allowed=parts.rules.policy[statement.iss])
        enter = parts.dispatcher.traces.enter
        enter(trace, "validator.lease")
        leases = await self._leases(proved.events)
        enter(trace, "validator.seal")
        # Nothing waits from here on: what is live now is live when it seals.
        parts.dispatcher.require_room()
        parts.window.require_room()
        ticket = Ticket(
            request_id=name,
            claims_digest=bundle_digest(statement),
            exp_s=statement.exp,
            time_ms=self._clock.now_ms(),
            outcome=Outcome.NONE,
        )
        head = parts.recorder.bundle(statement.iss, statement.raw, time_ms=ticket.time_ms)
        rows = [
            (private, public, leases[private.subject])
            for private, public in zip(proved.events, proved.public, strict=True)
        ]
        records = parts.recorder.events(statement.iss, rows)
        parts.window.add(ticket)
        enter(trace, "validator.gather")
        parts.dispatcher.add_whole([head, *records], ticket, trace)
        self._admission.tally.admitted[statement.algorithm] += 1
        self._admission.tally.events += len(records)
        return ticket, False

    async def _former(self, name: bytes, statement: SignedBundle) -> Ticket | None:
        """The same bundle, if another life or another validator has admitted it."""
        parts = self._parts
        found = await parts.look_ups.find(statement, request_id=name, subject_id="")
        if found is None:
            return None
        # Somebody else may have found it meanwhile, and the window holds it once.
        known = parts.window.find(name)
        if known is None:
            known = parts.look_ups.bundle_ticket(statement, request_id=name, found=found)
            parts.window.add(known)
            parts.window.committed((known,))
        return known

    async def _leases(self, events: Sequence[PrivateEvent]) -> Mapping[str, Lease]:
        """The live lease of every subject. Raises: Problem, naming the event by its place."""
        places: dict[str, int] = {}
        for place, event in enumerate(events):
            places.setdefault(event.subject, place)
        missing = [subject for subject in places if self._live(subject) is None]
        if missing:
            if not self._parts.desk.is_open:
                raise Problem("vault_unavailable", "the vault is not connected", retry_after_s=1)
            lent = await self._parts.desk.obtain_for_events(missing)
            for subject, result in zip(missing, lent, strict=True):
                if isinstance(result, Problem):
                    raise _refused(result, places[subject])
        self._parts.desk.poke()
        leases: dict[str, Lease] = {}
        for subject in places:
            # Asked for again: it may have run out or been revoked while others were waited for.
            lease = self._live(subject)
            if lease is None:
                raise Problem("vault_unavailable", "a lease ran out meanwhile", retry_after_s=1)
            leases[subject] = lease
        return leases

    def _live(self, subject: str) -> Lease | None:
        return self._parts.book.sealable(subject, self._clock.monotonic_s())


def _refused(problem: Problem, place: int) -> Problem:
    """The vault's refusal of one subject, as that of its event."""
    if problem.code == "key_unknown":
        return subject_unknown(place)
    return Problem(
        problem.code,
        problem.detail,
        field=f"events[{place}].subject",
        retry_after_s=problem.retry_after_s,
    )
