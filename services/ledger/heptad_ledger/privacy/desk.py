"""How erasures stand, for the doors of the privacy service (`heptad_ledger.privacy.ports`)."""

from collections.abc import Callable, Sequence

from heptad.crypto.derivation import erasure_salt
from heptad.model.erasure import ErasureState, refusal_digest, request_digest
from heptad_ledger.filing import Filer
from heptad_ledger.privacy.ports import ErasureRow
from heptad_ledger.privacy.rows import subject_id_of
from heptad_ledger.registry import Registry
from heptad_ledger.store import LogStore, Snapshot
from heptad_ledger.store.erasure_rows import NO_SLOT, Decision, ErasureCase


class ErasureDesk:
    """Reads of one snapshot each."""

    def __init__(
        self,
        *,
        store: LogStore,
        registry: Registry,
        slot_key: Callable[[int], bytes | None],
        index_key: Callable[[], bytes],
    ) -> None:
        """`slot_key` gives the key of a slot that lives."""
        self._store = store
        self._registry = registry
        self._slot_key = slot_key
        self._index_key = index_key

    @classmethod
    def of(cls, store: LogStore, filer: Filer) -> "ErasureDesk":
        """The desk of a ledger's parts."""
        return cls(
            store=store,
            registry=filer.registry,
            slot_key=filer.slot_key,
            index_key=filer.index_key,
        )

    def find(self, request_hash: bytes) -> ErasureRow | None:
        """See `Erasures`."""
        salt = erasure_salt(cell_index_key=self._index_key(), request_hash=request_hash)
        with self._store.snapshot() as snapshot:
            case = snapshot.erasures.by_digest(
                request_digest(salt=salt, request_hash=request_hash)
            ) or snapshot.erasures.by_digest(refusal_digest(salt=salt, request_hash=request_hash))
            # A case that came from the log alone learns its request's name from who asks for it.
            return None if case is None else self._row(case, snapshot, request_hash)

    def find_of_subject(self, subject_id: str) -> ErasureRow | None:
        """See `Erasures`."""
        with self._store.snapshot() as snapshot:
            digest = self._registry.erased(snapshot, subject_id)
            if digest is not None:
                case = snapshot.erasures.by_digest(digest)
            else:
                subject = self._registry.find(snapshot, subject_id)
                if subject is None:
                    return None
                reader = snapshot.erasures
                case = reader.of_slot(subject.slot) or reader.refused_of_slot(subject.slot)
            return None if case is None else self._row(case, snapshot, case.request_hash)

    def open_rows(self, *, after: int, count_max: int) -> Sequence[ErasureRow]:
        """See `Erasures`."""
        with self._store.snapshot() as snapshot:
            cases = snapshot.erasures.open_cases(after=after, count_max=count_max)
            return [self._row(case, snapshot, case.request_hash) for case in cases]

    def oldest_received_at_ms(self) -> int | None:
        """See `Erasures`."""
        with self._store.snapshot() as snapshot:
            for case in snapshot.erasures.all_open():
                if case.state is ErasureState.RECEIVED:
                    return case.received_ms
        return None

    def _row(self, case: ErasureCase, snapshot: Snapshot, request_hash: bytes) -> ErasureRow:
        slot_key = None if case.slot == NO_SLOT else self._slot_key(case.slot)
        subject_id = None
        if slot_key is not None:
            subject_id = subject_id_of(self._registry, snapshot, slot_key=slot_key)
        visible = _visible(case)
        is_refused = visible is ErasureState.REFUSED
        return ErasureRow(
            number=case.number,
            request_hash=request_hash,
            state=visible,
            ordered_by=case.ordered_by,
            ground=case.ground,
            received_at_ms=case.received_ms,
            subject_id=subject_id or "",
            order_index=case.order_index,
            refusal_index=case.end_index if is_refused else None,
            refusal_ground=case.refusal if is_refused else None,
            certificate_index=case.end_index if visible is ErasureState.ERASED else None,
        )


def _visible(case: ErasureCase) -> ErasureState:
    """What is decided counts before its statement is in the log; and nobody is told `erased` by a
    ledger that still has the key, whatever the log says."""
    if case.state is ErasureState.ERASED and not case.is_executed:
        return ErasureState.ORDERED
    if case.state is ErasureState.RECEIVED and case.decision is not Decision.OPEN:
        is_refused = case.decision is Decision.REFUSE
        return ErasureState.REFUSED if is_refused else ErasureState.ORDERED
    return case.state
