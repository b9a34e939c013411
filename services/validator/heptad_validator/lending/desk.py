"""Gets leases: asks the vault for what the book wants, and believes nothing that is not proved.

Wants of one turn of the event loop travel in one question. Each key of an answer is proved against
the log before the lease goes into the book. A lease whose evidence does not hold is as good as
none, so a ledger that forges gets the treatment of one that does not answer, and an alarm.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from heptad.model.lending import (
    LEASE_SUBJECTS_MAX,
    LEASE_TTL_MS_MAX,
    Answer,
    Leases,
    LeaseSubjects,
    Question,
    SubjectLease,
)
from heptad.model.problems import Problem
from heptad.model.routing import ranked
from heptad.observability.logs import EventLog
from heptad_validator.clock import Clock
from heptad_validator.lending.evidence import EvidenceRefusedError, EvidenceVerifier
from heptad_validator.lending.leases import Lease, LeaseBook, usable_until_s

ANSWER_S_MAX: Final = 2.0
_PROOFS_AT_ONCE: Final = 16
"""Subjects; proving a key takes 0.1 to 0.3 ms; after so many, the event loop gets its turn."""

ADDED_WAIT_MS: Final = 2_000
"""How long the ledger may wait for the checkpoint over a key that was just added."""

Lent: TypeAlias = Lease | Problem


class _OutdatedError(Problem):
    """The lease ended while it was under way."""

    def __init__(self) -> None:
        super().__init__(
            "vault_unavailable", "the lease ended while it was under way", retry_after_s=1
        )


class Vault(Protocol):
    """What askers need of `VaultLink`."""

    @property
    def is_connected(self) -> bool:
        """Whether a question has a chance."""

    async def ask(self, question: Question, *, timeout_s: float) -> Answer:
        """The vault's answer. Raises: Problem, also where the answer is a refusal."""


@dataclass(frozen=True, slots=True)
class Home:
    """Who this validator is among all (for the ranking of subjects), and the cell's limit."""

    number: int
    validators: Sequence[int]
    lease_s_max: float

    def is_first(self, subject_id: str) -> bool:
        """Whether this validator is the subject's own."""
        return ranked(subject_id, self.validators)[0] == self.number


class LeaseDesk:
    """Keeps the book supplied; `on_lease` and `on_refused` tell those who wait for a subject."""

    def __init__(
        self,
        *,
        book: LeaseBook,
        vault: Vault,
        evidence: EvidenceVerifier,
        home: Home,
        clock: Clock,
        log: EventLog,
    ) -> None:
        self._book = book
        self._vault = vault
        self._evidence = evidence
        self._home = home
        self._clock = clock
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_poked = False
        # Whose lease ended while it was under way: they are asked for once more, and not for ever.
        self._asked_again: set[str] = set()
        self.on_lease: Callable[[str], None] = lambda subject_id: None
        self.on_refused: Callable[[str, Problem], None] = lambda subject_id, problem: None

    @property
    def is_open(self) -> bool:
        """Whether asking has a chance."""
        return self._vault.is_connected

    def poke(self) -> None:
        """Ask for what is wanted, together with whatever else is wanted in this turn."""
        if self._book.wants and self._vault.is_connected and not self._is_poked:
            self._is_poked = True
            asyncio.get_running_loop().call_soon(self._ask_for_wanted)

    async def obtain(self, subject_id: str, *, wait_ms: int) -> Lease:
        """Wait until the vault can lend the key of a subject that was just registered here.

        The lease is kept if the subject is this validator's own. Else it goes back at once, before
        anything can be admitted under it: the ledger does not tell the subject's own of such a one.
        Raises: Problem, `vault_unavailable` or the code of the vault's refusal.
        """
        self._book.asking((subject_id,))
        question = LeaseSubjects((subject_id,), wait_ms, is_registering=True)
        [lent] = await self._lend(question)
        if isinstance(lent, Problem):
            raise lent
        return lent

    async def obtain_for_events(self, subject_ids: Sequence[str]) -> list[Lent]:
        """Ask for leases to seal events under: what came of it for each subject, in order.

        What is lent is in the book, apart from leases under which requests are admitted.
        """
        parts = [
            tuple(subject_ids[start : start + LEASE_SUBJECTS_MAX])
            for start in range(0, len(subject_ids), LEASE_SUBJECTS_MAX)
        ]
        answers = await asyncio.gather(*map(self._lend_for_events, parts))
        return [lent for answer in answers for lent in answer]

    async def _lend_for_events(self, subject_ids: tuple[str, ...]) -> list[Lent]:
        return await self._answered(LeaseSubjects(subject_ids, is_sealing=True))

    def _ask_for_wanted(self) -> None:
        self._is_poked = False
        while subject_ids := self._book.take_wanted(LEASE_SUBJECTS_MAX):
            for question in self._questions(subject_ids):
                task = asyncio.create_task(self._serve(question))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _questions(self, subject_ids: Sequence[str]) -> Iterator[LeaseSubjects]:
        """One question for all, and one for each subject that has just added a key."""
        sizes = {name: self._book.proved_size_min(name) for name in subject_ids}
        if plain := tuple(name for name, size in sizes.items() if not size):
            yield LeaseSubjects(plain)
        for name, size in sizes.items():
            if size:
                yield LeaseSubjects((name,), ADDED_WAIT_MS, proved_size_min=size)

    async def _serve(self, question: LeaseSubjects) -> None:
        lent = await self._lend(question)
        for subject_id, result in zip(question.subject_ids, lent, strict=True):
            is_again = subject_id in self._asked_again
            self._asked_again.discard(subject_id)
            if isinstance(result, _OutdatedError) and not is_again:
                self._asked_again.add(subject_id)
                self._book.want(subject_id)
            elif isinstance(result, Problem):
                self.on_refused(subject_id, result)
            else:
                self.on_lease(subject_id)
        self.poke()

    async def _lend(self, question: LeaseSubjects) -> list[Lent]:
        """What came of a question for each subject. What is proved is in the book."""
        try:
            return await self._answered(question)
        finally:
            # Also when the caller has gone meanwhile: else nobody could ask for these again.
            self._book.answered(question.subject_ids)

    async def _answered(self, question: LeaseSubjects) -> list[Lent]:
        asked_at_s = self._clock.monotonic_s()
        lent: list[Lent] = []
        put = self._book.put_sealing if question.is_sealing else self._book.put
        try:
            offers = await self._ask(question)
            for subject_id, offer in zip(question.subject_ids, offers, strict=True):
                lent.append(self._take(subject_id, offer, asked_at_s, put))
                if question.is_registering:
                    self._book.give_back_stray(subject_id)
                if len(lent) % _PROOFS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        except Problem as problem:
            lent = [problem] * len(question.subject_ids)
        return lent

    async def _ask(self, question: LeaseSubjects) -> Sequence[SubjectLease]:
        timeout_s = ANSWER_S_MAX + question.wait_ms / 1000
        answer = await self._vault.ask(question, timeout_s=timeout_s)
        if not isinstance(answer, Leases) or len(answer.leases) != len(question.subject_ids):
            raise _unavailable("the vault answered another question")
        return answer.leases

    def _take(
        self,
        subject_id: str,
        offer: SubjectLease,
        asked_at_s: float,
        put: Callable[[Lease], None],
    ) -> Lent:
        """Prove an offer and put it into the book, or say why not."""
        if offer.refused_code:
            return Problem(offer.refused_code, "the vault lends no key for this subject")
        if self._book.is_outdated(subject_id, asked_at_s):
            return _OutdatedError()
        try:
            lease = self._proved(subject_id, offer, asked_at_s)
        except EvidenceRefusedError as error:
            self._log.failure("key_evidence_refused", error)
            return _unavailable("the ledger does not prove the subject's key")
        put(lease)
        return lease

    def _proved(self, subject_id: str, offer: SubjectLease, asked_at_s: float) -> Lease:
        """The lease that an offer makes. Raises: EvidenceRefusedError."""
        if offer.subject_id != subject_id or not offer.keys:
            raise EvidenceRefusedError("a lease without a key, or for another subject")
        keys = self._evidence.prove(subject_id, offer.keys)
        ttl_s = min(offer.ttl_ms, LEASE_TTL_MS_MAX) / 1000
        ttl_s = min(ttl_s, self._home.lease_s_max)
        return Lease(
            subject_id=subject_id,
            key_ref=offer.key_ref,
            lease_id=offer.lease_id,
            lease_key=offer.lease_key,
            keys=keys,
            is_home=self._home.is_first(subject_id),
            renew_at_s=asked_at_s + ttl_s / 2,
            expires_at_s=usable_until_s(asked_at_s=asked_at_s, ttl_s=ttl_s),
            applied_size=offer.applied_size,
        )


def _unavailable(why: str) -> Problem:
    return Problem("vault_unavailable", why, retry_after_s=1)
