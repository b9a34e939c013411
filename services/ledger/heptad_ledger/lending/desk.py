"""Answers the questions of validators: leases, slots, look-ups.

A lease is given only for a subject whose registration is under a published checkpoint, for without
one it could not be proved; a question may wait for that, and for a key that was added since.
Lending leaves no trace on disk.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from heptad.crypto.bundles import SignedBundle, bundle_digest
from heptad.crypto.derivation import LEASE_ID_BYTES, lease_key, request_ref
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.requests import claims_digest, parse_request
from heptad.crypto.sealing import Opened, open_stored
from heptad.model.entry import Kind
from heptad.model.lending import (
    Leases,
    LeaseSubjects,
    LentElsewhere,
    LookUpRequest,
    RequestFound,
    ReserveSlots,
    ReturnLeases,
    SlotLease,
    Slots,
    SubjectLease,
)
from heptad.model.problems import Problem
from heptad.model.requests import request_hash, request_id_of
from heptad.vault.errors import VaultFullError
from heptad.vault.tree import KeyTree
from heptad.wire.convert.entry_facts import entry_facts
from heptad_ledger.bundles import stated_bundle
from heptad_ledger.lending.elsewhere import ElsewhereBook
from heptad_ledger.lending.evidence import Evidence
from heptad_ledger.lending.loans import LoanBook
from heptad_ledger.registry import RegistrationRefusedError, Registry
from heptad_ledger.store import LogStore, Snapshot
from heptad_ledger.watermark import Watermark

LOOK_UP_WAIT_S_MAX: Final = 4.0
_AT_ONCE: Final = 8
"""Subjects for whom leases are made before the event loop gets a turn."""


EVIDENCE_BYTES_MAX: Final = 8 << 20
"""Of one answer: a subject with few keys needs 3 KB, one that has had all that it may have 380.

Who does not fit any more is told to ask again.
"""


class LendingDesk:
    """One for the ledger; `holder` is the validator's id from its certificate."""

    def __init__(
        self,
        *,
        store: LogStore,
        vault: KeyTree,
        registry: Registry,
        evidence: Evidence,
        loans: LoanBook,
        elsewhere: ElsewhereBook,
        applied_size: Watermark,
        published_size: Watermark,
        catch_up: Callable[[float], Awaitable[bool]],
        now_s: Callable[[], float],
        require_settled: Callable[[], None] = lambda: None,
    ) -> None:
        """`catch_up` waits, so many seconds at most, until what is committed now is applied.

        `require_settled` raises a Problem while keys may be here that were to be destroyed.
        """
        self._require_settled = require_settled
        self._store = store
        self._vault = vault
        self._registry = registry
        self._evidence = evidence
        self._loans = loans
        self._elsewhere = elsewhere
        self._applied_size = applied_size
        self._published_size = published_size
        self._catch_up = catch_up
        self._now_s = now_s
        self.on_lent_elsewhere: Callable[[str, LentElsewhere], None] = lambda home, lent: None
        """Called with the id of a first validator that has to be told, before the lease is out."""
        self.on_returned: Callable[[], None] = lambda: None
        """Called when leases have come back."""

    @property
    def ttl_ms(self) -> int:
        """How long a lease may be used."""
        return int(self._loans.ttl_s * 1000)

    async def lease(self, question: LeaseSubjects, *, holder: str) -> Leases:
        """A lease, or the reason why not, for each subject in its order."""
        self._require_settled()
        leases = []
        deadline_s = self._now_s() + question.wait_ms / 1000
        room_bytes = EVIDENCE_BYTES_MAX
        await self._until_proved(question.proved_size_min, deadline_s)
        for subject_id in question.subject_ids:
            lease = await self._lease_one(subject_id, holder, deadline_s, room_bytes)
            room_bytes -= _evidence_bytes(lease)
            leases.append(lease)
            if len(leases) % _AT_ONCE == 0:
                await asyncio.sleep(0)
        lent = [lease.subject_id for lease in leases if not lease.refused_code]
        if question.is_registering or question.is_sealing:
            return Leases(tuple(leases))
        for home, strays in self._elsewhere.lent(lent, holder=holder, now_s=self._now_s()).items():
            self.on_lent_elsewhere(home, strays)
        return Leases(tuple(leases))

    def lent_elsewhere(self, holder: str) -> Iterator[LentElsewhere]:
        """What a validator that connects has to know of its own subjects."""
        return self._elsewhere.of_home(holder, self._now_s())

    async def reserve(self, question: ReserveSlots, *, holder: str) -> Slots:
        """Fresh slots. Raises: Problem `vault_unavailable`, `overloaded`."""
        self._require_settled()
        try:
            fresh = await asyncio.to_thread(self._vault.allocate, question.count)
        except VaultFullError as error:
            raise Problem("vault_unavailable", str(error)) from error
        slots = []
        for slot_key in fresh:
            lease_id = self._lend(slot_key.slot, holder)
            key = lease_key(slot_key=slot_key.key, lease_id=lease_id)
            slots.append(SlotLease(slot_key.slot, lease_id, key))
        return Slots(tuple(slots), self.ttl_ms)

    async def look_up(self, question: LookUpRequest) -> RequestFound:
        """Whether the log has a request. Raises: Problem `vault_unavailable`.

        Answered for the log as it is committed, not only as far as it is applied here: whoever was
        told of a commit a moment ago and comes again through another door must be recognised.
        """
        self._require_settled()
        size_min = question.applied_size_min
        if not await self._applied_size.reached(size_min, timeout_s=LOOK_UP_WAIT_S_MAX):
            raise Problem(
                "vault_unavailable",
                f"{self._applied_size.value} entries are applied, not yet {size_min}",
                retry_after_s=1,
            )
        if not await self._catch_up(LOOK_UP_WAIT_S_MAX):
            raise Problem("vault_unavailable", "the ledger is behind the replicas", retry_after_s=1)
        with self._store.snapshot() as snapshot:
            return self._look_up(question, snapshot)

    def take_back(self, question: ReturnLeases, *, holder: str) -> None:
        """Leases are returned."""
        for lease_id in question.lease_ids:
            self._loans.take_back(lease_id, holder=holder)
        self.on_returned()

    async def _until_proved(self, size: int, deadline_s: float) -> None:
        """Wait for the checkpoint that a question asks for.

        Raises: Problem `vault_unavailable` if it does not come in time.
        """
        if size <= self._published_size.value:
            return
        rest_s = max(0.0, deadline_s - self._now_s())
        if not await self._published_size.reached(size, timeout_s=rest_s):
            detail = f"{self._published_size.value} entries are published, not yet {size}"
            raise Problem("vault_unavailable", detail, retry_after_s=1)

    async def _lease_one(
        self, subject_id: str, holder: str, deadline_s: float, room_bytes: int
    ) -> SubjectLease:
        if room_bytes <= 0:
            return SubjectLease(subject_id, refused_code="vault_unavailable")
        while (lease := self._try_to_lease(subject_id, holder)).refused_code:
            if lease.refused_code == "subject_erased":
                break
            published = self._published_size.value
            rest_s = deadline_s - self._now_s()
            if rest_s <= 0:
                break
            await self._published_size.reached(published + 1, timeout_s=rest_s)
        return lease

    def _try_to_lease(self, subject_id: str, holder: str) -> SubjectLease:
        with self._store.snapshot() as snapshot:
            subject = self._registry.find(snapshot, subject_id)
            if subject is None:
                is_erased = self._registry.erased(snapshot, subject_id) is not None
                code = "subject_erased" if is_erased else "key_unknown"
                return SubjectLease(subject_id, refused_code=code)
            case = snapshot.erasures.of_slot(subject.slot)
            if case is not None and case.order_index is not None:
                return SubjectLease(subject_id, refused_code="subject_erased")
            keys = self._evidence.keys_of(subject, snapshot, proved_size=self._published_size.value)
            applied_size = snapshot.state().size
        if not keys:
            return SubjectLease(subject_id, refused_code="vault_unavailable")
        lease_id = self._lend(subject.slot, holder)
        return SubjectLease(
            subject_id=subject_id,
            key_ref=subject.slot,
            lease_id=lease_id,
            lease_key=lease_key(slot_key=subject.slot_key, lease_id=lease_id),
            ttl_ms=self.ttl_ms,
            keys=keys,
            applied_size=applied_size,
        )

    def _lend(self, slot: int, holder: str) -> bytes:
        lease_id = os.urandom(LEASE_ID_BYTES)
        self._loans.lend(lease_id, slot=slot, holder=holder, now_s=self._now_s())
        return lease_id

    def _look_up(self, question: LookUpRequest, snapshot: Snapshot) -> RequestFound:
        name = request_id_of(question.request_id)
        ref = request_ref(cell_index_key=self._vault.index_key(), request_id=name)
        index = snapshot.request(ref)
        if index is None:
            return RequestFound(found=False)
        entry = snapshot.entry(index)
        if not question.subject_id:
            statement = stated_bundle(entry)
            if statement is not None:
                return _found_bundle(question, index, entry, statement)
        opened = self._open(question.subject_id, ref, index, entry, snapshot)
        if opened is None:
            return RequestFound(found=False)
        return self._found(question, index, entry, opened)

    def _open(
        self, subject_id: str, ref: bytes, index: int, entry: bytes, snapshot: Snapshot
    ) -> Opened | None:
        """The record of an entry, if it is one of this subject; '' stands for a registration."""
        if subject_id:
            subject = self._registry.find(snapshot, subject_id)
            slot_key = subject.slot_key if subject else None
        else:
            found = self._registry.slot_of_registration(snapshot, request_ref=ref, entry=entry)
            slot_key = found.key if found else None
        stored = snapshot.sealed(index)
        if slot_key is None or stored is None:
            return None
        try:
            return open_stored(stored, entry=entry, entry_index=index, slot_key=slot_key)
        except SealBrokenError:
            return None

    def _found(
        self, question: LookUpRequest, index: int, entry: bytes, opened: Opened
    ) -> RequestFound:
        """What a record says; a validator may have filed anything, so it is read with care."""
        [(kind, _)] = entry_facts([entry])
        is_registration = kind == Kind.SUBJECT_REGISTERED
        try:
            request = parse_request(opened.payload)
            subject_id = self._registry.subject_of(opened) if is_registration else ""
        except (Problem, RegistrationRefusedError):
            return RequestFound(found=False)
        if request_hash(iss=request.iss, jti=request.jti) != question.request_id:
            return RequestFound(found=False)
        return RequestFound(
            found=True,
            index=index,
            claims_digest=claims_digest(request),
            entry=entry,
            subject_id=subject_id,
        )


def _evidence_bytes(lease: SubjectLease) -> int:
    """About how long a lease's proofs are."""
    parts = [key.addition for key in lease.keys]
    parts += [key.revocation for key in lease.keys if key.revocation is not None]
    return sum(len(part.entry) + len(part.payload) + len(part.proof) for part in parts)


def _found_bundle(
    question: LookUpRequest, index: int, entry: bytes, statement: SignedBundle
) -> RequestFound:
    """A bundle's own entry: all that it says is public."""
    if request_hash(iss=statement.iss, jti=statement.jti) != question.request_id:
        return RequestFound(found=False)
    return RequestFound(
        found=True, index=index, claims_digest=bundle_digest(statement), entry=entry
    )
