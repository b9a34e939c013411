"""Stage 1: each request is checked from cheap to dear, sealed, and put on its way.

    size → shape → algorithm → audience → freshness → the same bytes lately? → key → signature
    → replay → limits → policy → keys to add or revoke → seal → batch

Requests come in lists, as they arrived together, and are taken through in chunks, so that their
signatures are verified together and the event loop gets its turn in between. There is no task and
no future for each of them. A request that has to wait (for its subject's lease, or for the ledger's
word on a replay) is put aside as a `Candidate`, and goes on where it stopped or is refused in time.

What fails before its signature is proved leaves no trace but a count: it may be anybody's. What
policy denies after that is recorded, as denied. A limit is no such denial: recording what is over
it would let a subject fill the log, and the same bytes may pass later.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from heptad.crypto.errors import CryptoRefusalError
from heptad.crypto.jwk import PublicKey
from heptad.crypto.requests import SignedRequest, claims_digest
from heptad.crypto.verifier import SignatureCheck
from heptad.model.answers import SubmitItem
from heptad.model.entry import Outcome
from heptad.model.lending import RequestFound
from heptad.model.problems import Problem
from heptad.model.requests import request_hash, request_id_of
from heptad_validator.checks.audience import check_audience
from heptad_validator.checks.freshness import Timed, check_freshness
from heptad_validator.checks.key import check_key, check_subject
from heptad_validator.checks.replay import check_same_request
from heptad_validator.checks.shape import check_shape
from heptad_validator.checks.signature import signature_to_verify
from heptad_validator.checks.size import check_size
from heptad_validator.key_changes import KeyChanges
from heptad_validator.lending.leases import Lease
from heptad_validator.measures import Tally
from heptad_validator.memory.recent_answers import RecentAnswers
from heptad_validator.parts import Parts
from heptad_validator.policy import judge
from heptad_validator.recording import PublicHalf
from heptad_validator.tickets import Sink, Ticket
from heptad_validator.waiting import Candidate, CommitWaits, LeaseQueue

LOOK_UPS_MAX: Final = 10_000


class Verifier(Protocol):
    """Verifies lists of signatures: `heptad.crypto.verifier.BatchVerifier`."""

    def verify(self, checks: Sequence[SignatureCheck]) -> list[CryptoRefusalError | None]:
        """For each check, in order: None, or why it fails."""


@dataclass(frozen=True, slots=True)
class Queues:
    """Where requests wait."""

    for_lease: LeaseQueue
    for_commit: CommitWaits


class Admission:
    """Takes requests through stage 1; answers go to their sinks."""

    def __init__(self, parts: Parts, *, verifier: Verifier, queues: Queues) -> None:
        self._parts = parts
        self._rules = parts.rules
        self._clock = parts.clock
        self._window = parts.window
        self._recent = parts.recent
        self._book = parts.book
        self._desk = parts.desk
        self.traces = parts.dispatcher.traces
        self._key_changes = KeyChanges(book=parts.book, clock=parts.clock)
        self._verifier = verifier
        self._queues = queues
        self._looking: dict[bytes, list[Candidate]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_draining = False
        self.tally = Tally()
        parts.desk.on_lease = self._lease_came
        parts.desk.on_refused = self._lease_refused

    @property
    def waiting(self) -> int:
        """Requests that are put aside."""
        return len(self._queues.for_lease) + len(self._looking)

    def require_open(self) -> None:
        """Refuse everything, also what was sent before, where it would be of no use to look at it.

        Raises: Problem `draining`, `vault_unavailable`, `quorum_unavailable`, `overloaded`.
        """
        if self._is_draining:
            raise Problem("draining", "this validator is about to stop", retry_after_s=1)
        if not self._parts.recorder.has_keys:
            raise Problem("vault_unavailable", "the cell's keys have not come", retry_after_s=1)
        self._parts.dispatcher.require_open()

    def trouble(self) -> Problem | None:
        """What a new request would be refused with at this moment, whoever has signed it."""
        try:
            self.require_open()
            self._parts.dispatcher.require_room()
        except Problem as problem:
            return problem
        return None

    def drain(self) -> None:
        """Take nothing new from now on; what was put aside still goes its way."""
        self._is_draining = True

    async def submit(self, items: Sequence[SubmitItem], sink: Sink) -> None:
        """Take all items through; each gets exactly one answer, now or later."""
        chunk = self._rules.chunk
        for start in range(0, len(items), chunk):
            if start:
                await asyncio.sleep(0)
            self._take(items[start : start + chunk], sink)

    def tick(self, now_s: float) -> None:
        """Tell those who have waited too long; `now_s` is of the monotonic clock."""
        for candidate in self._queues.for_lease.overdue(now_s):
            problem = Problem("vault_unavailable", "the key did not come in time", retry_after_s=1)
            self._refuse(candidate, problem)
        for ticket in self._queues.for_commit.overdue(now_s):
            ticket.tell()
        self._queues.for_commit.sweep()

    # The way of a request, in its order.

    def _take(self, items: Sequence[SubmitItem], sink: Sink) -> None:
        candidates = []
        try:
            self.require_open()
        except Problem as problem:
            for item in items:
                self._count_refusal(problem)
                sink.refused(item.id, problem)
            return
        for item in items:
            try:
                candidate = self._read(item, sink)
            except Problem as problem:
                self._refuse_item(item, sink, problem)
            else:
                if candidate is not None:
                    candidates.append(candidate)
        self._verify(candidates)

    def _read(self, item: SubmitItem, sink: Sink) -> Candidate | None:
        """The checks that need nobody else; None where the answer is known already."""
        rules = self._rules
        if item.trace:
            self.traces.begin(item.trace)
        check_size(item.jws, bytes_max=rules.request_bytes_max)
        request = check_shape(item.jws)
        check_audience(request, origin=rules.origin)
        self.check_fresh(request)
        bytes_key = RecentAnswers.key(item.jws)
        candidate = Candidate(item, sink, request, bytes_key)
        answer = self._recent.find(bytes_key)
        if answer is None:
            check_subject(request, cell_code=rules.cell_code)
            return candidate
        if isinstance(answer, Problem):
            self._refuse(candidate, answer)
        else:
            self._answer(candidate, answer, replayed=True)
        return None

    def check_fresh(self, request: Timed) -> None:
        """The check of freshness by the clock here. Raises: Problem, see `check_freshness`."""
        check_freshness(
            request,
            now_s=self._clock.now_ms() // 1000,
            skew_s_max=self._rules.skew_s_max,
            lifetime_s_max=self._rules.lifetime_s_max,
        )

    def _verify(self, candidates: Iterable[Candidate]) -> None:
        """Key and signature, of all together; whoever passes goes on to `_conclude`."""
        keyed: list[Candidate] = []
        checks: list[SignatureCheck] = []
        for candidate in candidates:
            try:
                lease = self._lease(candidate)
                if lease is None:
                    continue
                if candidate.item.trace:
                    self.traces.enter(candidate.item.trace, "validator.admission")
                key = self._key(candidate.request, lease)
            except Problem as problem:
                self._refuse(candidate, problem)
            else:
                keyed.append(candidate)
                checks.append(signature_to_verify(candidate.request, key))
        for candidate, refusal in zip(keyed, self._verifier.verify(checks), strict=True):
            if refusal is not None:
                # Kept without its traceback, which would keep this whole chunk in memory.
                self._recent.add(candidate.bytes_key, refusal.with_traceback(None))
                self._refuse(candidate, refusal)
                continue
            try:
                self._conclude(candidate)
            except Problem as problem:
                self._refuse(candidate, problem)
        self._desk.poke()

    def _key(self, request: SignedRequest, lease: Lease) -> PublicKey:
        """The key that must have signed the request.

        One that was revoked lets nothing new in. But what was admitted here is never refused, so a
        retry of it is verified and gets its answer: that of a device which has revoked itself, too.
        Raises: Problem, see `check_key`.
        """
        registered = lease.keys.get(request.kid)
        if registered is None or not registered.revoked:
            return check_key(request, keys=lease.keys)
        name = request_hash(iss=request.iss, jti=request.jti)
        is_known = self._window.find(name) is not None
        return check_key(request, keys=lease.keys, allow_revoked=is_known)

    def _lease(self, candidate: Candidate) -> Lease | None:
        """The subject's live lease; without one the candidate waits for it.

        Raises: Problem `vault_unavailable`.
        """
        now_s = self._clock.monotonic_s()
        lease = self._book.live(candidate.request.iss, now_s)
        if lease is None:
            self._require_use_in_asking(candidate.request)
            self._queues.for_lease.add(candidate, now_s)
            if candidate.item.trace:
                self.traces.enter(candidate.item.trace, "validator.lease")
            self._book.want(candidate.request.iss)
        return lease

    def _require_use_in_asking(self, request: SignedRequest) -> None:
        """Refuse what a lease would not help. Raises: Problem `vault_unavailable`.

        A key that is lent to another than the subject's own validator has both look its requests up
        for a minute and a half, so it is not borrowed for what is new where nothing can be recorded
        anyway.
        """
        if not self._desk.is_open:
            raise Problem("vault_unavailable", "the vault is not connected", retry_after_s=1)
        name = request_hash(iss=request.iss, jti=request.jti)
        if self._parts.home.is_first(request.iss) or self._window.find(name) is not None:
            return
        if (trouble := self.trouble()) is not None:
            detail = f"no other validator's subject is served: {trouble.detail}"
            raise Problem("vault_unavailable", detail, retry_after_s=1)

    def _conclude(self, candidate: Candidate) -> None:
        """A request that is proved to be its subject's: known already, or new."""
        request = candidate.request
        name = request_hash(iss=request.iss, jti=request.jti)
        known = self._window.find(name)
        if known is not None:
            self._repeat(candidate, known)
            return
        if name in self._looking:
            self._looking[name].append(candidate)
            return
        # Asked for again: it may have run out or been revoked while signatures were verified.
        lease = self._lease(candidate)
        if lease is None:
            return
        if self._parts.look_ups.is_needed(request, is_home=lease.is_home):
            self._look_up(name, candidate)
        else:
            self._admit(candidate, name, lease)

    def _repeat(self, candidate: Candidate, known: Ticket) -> None:
        check_same_request(
            claims_digest=claims_digest(candidate.request), known_claims_digest=known.claims_digest
        )
        self._answer(candidate, known, replayed=True)

    def _admit(self, candidate: Candidate, name: bytes, lease: Lease) -> None:
        """Limits, policy, what is asked of the cell itself, seal, batch."""
        request, parts, trace = candidate.request, self._parts, candidate.item.trace
        # Asked again: since the signature was verified the key may have been revoked.
        check_key(request, keys=lease.keys)
        parts.dispatcher.require_room()
        self._window.require_room()
        parts.limits.take(request.iss, self._clock.monotonic_s())
        verdict = judge(request.svc, request.act, policy=self._rules.policy)
        change = self._key_changes.check(request, kind=verdict.kind, lease=lease)
        ticket = Ticket(
            request_id=name,
            claims_digest=claims_digest(request),
            exp_s=request.exp,
            time_ms=self._clock.now_ms(),
            outcome=Outcome.DENIED if verdict.denied_code else Outcome.ALLOWED,
            denied_code=verdict.denied_code,
        )
        public = PublicHalf(
            verdict.kind, verdict.service, verdict.action, ticket.outcome, ticket.time_ms
        )
        if trace:
            self.traces.enter(trace, "validator.seal")
        record = parts.recorder.record(
            public, payload=request.raw, request_id=request_id_of(name), slot=lease
        )
        if trace:
            self.traces.enter(trace, "validator.gather")
        self._window.add(ticket)
        self._recent.add(candidate.bytes_key, ticket)
        if change is not None:
            change.follow(ticket)
        parts.dispatcher.add(record, ticket, trace)
        self.tally.admitted[request.algorithm] += 1
        self._answer(candidate, ticket, replayed=False)

    # Answers.

    def _answer(self, candidate: Candidate, ticket: Ticket, *, replayed: bool) -> None:
        self.tally.replayed += replayed
        if replayed and candidate.item.trace:
            self.traces.replayed(candidate.item.trace)
        now_s = self._clock.monotonic_s()
        self._queues.for_commit.add(candidate, ticket, now_s, replayed=replayed)

    def _refuse(self, candidate: Candidate, problem: Problem) -> None:
        self._refuse_item(candidate.item, candidate.sink, problem)

    def _refuse_item(self, item: SubmitItem, sink: Sink, problem: Problem) -> None:
        self._count_refusal(problem)
        if item.trace:
            self.traces.refused(item.trace, problem.code)
        sink.refused(item.id, problem)

    def _count_refusal(self, problem: Problem) -> None:
        self.tally.refused[problem.code] += 1

    # What comes later.

    def _lease_came(self, subject_id: str) -> None:
        self._verify(self._queues.for_lease.take(subject_id))

    def _lease_refused(self, subject_id: str, problem: Problem) -> None:
        for candidate in self._queues.for_lease.take(subject_id):
            self._refuse(candidate, problem)

    def _look_up(self, name: bytes, candidate: Candidate) -> None:
        if len(self._looking) >= LOOK_UPS_MAX:
            raise Problem("overloaded", "too many requests are looked up", retry_after_s=1)
        self._looking[name] = [candidate]
        if candidate.item.trace:
            self.traces.enter(candidate.item.trace, "validator.look_up")
        task = asyncio.create_task(self._finish_look_up(name, candidate.request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish_look_up(self, name: bytes, request: SignedRequest) -> None:
        try:
            found = await self._parts.look_ups.find(
                request, request_id=name, subject_id=request.iss
            )
        except Problem as problem:
            for candidate in self._looking.pop(name):
                self._refuse(candidate, problem)
            return
        for candidate in self._looking.pop(name):
            try:
                self._conclude_looked_up(candidate, name, found)
            except Problem as problem:
                self._refuse(candidate, problem)
        # Its lease may have ended meanwhile; then a new one is wanted.
        self._desk.poke()

    def _conclude_looked_up(
        self, candidate: Candidate, name: bytes, found: RequestFound | None
    ) -> None:
        known = self._window.find(name)
        if known is None and found is not None:
            known = self._parts.look_ups.ticket(candidate.request, request_id=name, found=found)
            self._window.add(known)
            self._window.committed((known,))
        if known is not None:
            self._repeat(candidate, known)
            return
        lease = self._lease(candidate)
        if lease is not None:
            self._admit(candidate, name, lease)
