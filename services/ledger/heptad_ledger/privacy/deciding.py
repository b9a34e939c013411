"""What the ledger states about a case, signed and kept before anybody is asked to record it.

Three statements: the order or the refusal of a case that is received, and the certificate of one
whose key is destroyed and whose leases are drained. The signed bytes are written into the case
first, and the same bytes are offered until the log holds them, so that a lost answer or a crash
leads to no second decision.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from heptad.crypto.erasures import sign_certificate, sign_order, sign_refusal
from heptad.crypto.jwk import PublicKey
from heptad.crypto.keys import RequestKey
from heptad.model.entry import Kind
from heptad.model.erasure import (
    REMAINS,
    ErasureCertificate,
    ErasureOrder,
    ErasureRefusal,
    ErasureState,
    OrderedBy,
    RefusalGround,
)
from heptad.vault.root_keys import RootKeyStore
from heptad.vault.steps import OnStep, Step, unheard
from heptad_ledger.filing import Filer
from heptad_ledger.privacy.drops import Drops
from heptad_ledger.privacy.holds import HoldHistory
from heptad_ledger.privacy.rows import subject_id_of
from heptad_ledger.routing_keys import linked_until_ms
from heptad_ledger.store import LogStore, Snapshot
from heptad_ledger.store.erasure_rows import Decision, ErasureCase, Progress

CASES_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Attestation:
    """With what the ledger signs, and what it says of itself.

    `is_reviewed` tells that an officer decides about subjects' requests. `copies_ms` is how long
    replicas may keep blocks that hold an erased subject's ciphertexts.
    """

    origin: str
    key: RequestKey
    keys: Mapping[str, PublicKey]
    software: str
    is_reviewed: bool
    copies_ms: int


class Decider:
    """For the thread that writes to the store."""

    def __init__(
        self,
        *,
        store: LogStore,
        filer: Filer,
        roots: RootKeyStore,
        attestation: Attestation,
        beyond_use_ms: Callable[[int], int | None],
        now_ms: Callable[[], int],
        on_step: OnStep = unheard,
    ) -> None:
        """`beyond_use_ms` gives, for an epoch, until when a backup may open what was erased then;
        None: there is none. `on_step` is told of steps 6 and 7.
        """
        self._store = store
        self._filer = filer
        self._roots = roots
        self._own = attestation
        self._beyond_use_ms = beyond_use_ms
        self._now_ms = now_ms
        self._on_step = on_step

    def look_ahead(self) -> None:
        """Read the holds on those about whom it has to be decided: for another thread, so that the
        one that writes does not have to look through all that a subject has.

        Raises: StoreError.
        """
        with self._store.snapshot() as snapshot:
            for case in snapshot.erasures.to_do(count_max=CASES_AT_ONCE):
                if case.state is ErasureState.RECEIVED and not case.statement:
                    self._holds_on(case.slot, snapshot)

    def decide(self) -> None:
        """Sign an order or a refusal for each case that can be decided. Raises: StoreError."""
        after = 0
        while True:
            with self._store.snapshot() as snapshot:
                cases = snapshot.erasures.to_do(after=after, count_max=CASES_AT_ONCE)
                decided = [case for each in cases if (case := self._decided(each, snapshot))]
            if decided:
                self._put(decided)
            if len(cases) < CASES_AT_ONCE:
                return
            after = cases[-1].number

    def attest(self, numbers: Sequence[int]) -> None:
        """Sign the certificates of these cases, whose keys are gone and whose leases are drained.

        Raises: StoreError; KeyBookError.
        """
        self._on_step(Step.LEASES_DRAINED)
        now_ms = self._now_ms()
        with self._store.editing() as edit:
            for number in numbers:
                case = edit.cases.case(number)
                if case is not None and is_to_attest(case):
                    certificate = self._certificate(case, now_ms)
                    statement = sign_certificate(self._own.key, certificate)
                    edit.cases.put(replace(case, statement=statement))
            drops = Drops.decode(edit.kept(Drops.NAME))
            due_ms = now_ms + self._own.copies_ms
            edit.keep(Drops.NAME, drops.with_one(due_ms, self._store.state.height).encode())
        self._on_step(Step.ATTESTED)

    # Orders and refusals.

    def _put(self, decided: Sequence[ErasureCase]) -> None:
        with self._store.editing() as edit:
            for case in decided:
                edit.cases.put(case)

    def _decided(self, case: ErasureCase, snapshot: Snapshot) -> ErasureCase | None:
        """The case with its order or refusal, or as one that waits; None if nothing changes."""
        if case.state is not ErasureState.RECEIVED or case.statement:
            return None
        history = self._holds_on(case.slot, snapshot)
        if history.holds:
            return self._refused(case, history.holds[0].ground)
        if case.decision is Decision.REFUSE and case.refusal is not None:
            return self._refused(case, case.refusal)
        waits = self._own.is_reviewed and case.ordered_by is OrderedBy.SUBJECT
        if case.decision is Decision.OPEN and waits:
            return replace(case, waits=True)
        return self._ordered(case, history.orders_from_ms)

    def _holds_on(self, slot: int, snapshot: Snapshot) -> HoldHistory:
        """Those on whoever has this slot."""
        slot_key = self._filer.slot_key(slot)
        if slot_key is None:
            return HoldHistory()
        subject_id = subject_id_of(self._filer.registry, snapshot, slot_key=slot_key)
        if subject_id is None:
            return HoldHistory()
        return self._filer.holds.history(
            snapshot,
            subject_id=subject_id,
            slot_key=slot_key,
            origin=self._own.origin,
            keys=self._own.keys,
        )

    def _ordered(self, case: ErasureCase, from_ms: int) -> ErasureCase:
        """With an order that counts: see `HoldHistory.orders_from_ms`."""
        now_ms = max(self._now_ms(), from_ms)
        order = ErasureOrder(
            origin=self._own.origin,
            slot=case.slot,
            ground=case.ground,
            ordered_by=case.ordered_by,
            request_digest=case.request_digest,
            ordered_at_ms=now_ms,
        )
        statement = sign_order(self._own.key, order)
        return replace(
            case, decision=Decision.ORDER, refusal=None, decided_ms=now_ms, statement=statement
        )

    def _refused(self, case: ErasureCase, ground: RefusalGround) -> ErasureCase:
        now_ms = self._now_ms()
        refusal = ErasureRefusal(
            origin=self._own.origin,
            ground=ground,
            refusal_digest=case.refusal_digest,
            refused_at_ms=now_ms,
        )
        statement = sign_refusal(self._own.key, refusal)
        return replace(
            case, decision=Decision.REFUSE, refusal=ground, decided_ms=now_ms, statement=statement
        )

    # Certificates.

    def _certificate(self, case: ErasureCase, now_ms: int) -> ErasureCertificate:
        assert case.order_index is not None, "only what was ordered is attested"
        return ErasureCertificate(
            origin=self._own.origin,
            order_index=case.order_index,
            slot=case.slot,
            ground=case.ground,
            ordered_by=case.ordered_by,
            request_digest=case.request_digest,
            subject_pseudonym=case.pseudonym,
            ordered_at_ms=case.decided_ms,
            erased_at_ms=now_ms,
            epoch_old=case.epoch - 1,
            epoch_new=case.epoch,
            root_hash=case.root_hash,
            backend=self._roots.backend,
            caveat=self._roots.caveat,
            # `KeyTree.erase` raises unless the place was read back, and the case says that it has
            # returned.
            read_back=True,
            ciphertexts=case.ciphertexts,
            index_rows=case.index_rows,
            leases_drained_at_ms=now_ms,
            replicas_drop_by_ms=now_ms + self._own.copies_ms + Drops.PAUSE_MS,
            link_until_ms=linked_until_ms(case.destroyed_ms),
            beyond_use_until_ms=self._beyond_use_ms(case.epoch),
            remains=REMAINS,
            software=self._own.software,
        )


def is_to_attest(case: ErasureCase) -> bool:
    """The key is destroyed, and nobody has said so yet."""
    is_destroyed = case.progress is Progress.DESTROYED
    return case.state is ErasureState.ORDERED and is_destroyed and not case.statement


def statement_kind(case: ErasureCase) -> Kind:
    """The kind of entry that records the case's statement."""
    if case.state is ErasureState.ORDERED:
        return Kind.ERASED
    is_refused = case.decision is Decision.REFUSE
    return Kind.ERASURE_REFUSED if is_refused else Kind.ERASURE_ORDERED
