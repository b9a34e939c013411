"""What the log says about erasures, entry after entry: requests, decisions, orders, ends.

Everything that decides over somebody's data is an entry, and takes effect here and nowhere else, in
the order of the log. So a ledger that was restored, or made anew from the log, comes to the same.

Nobody is believed for being a validator: a request counts if a key of the subject has signed it and
it lies under that subject's own slot, a decision and a statement if the ledger's attestation key
has. What does not count changes nothing; its leaf stays.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from heptad.crypto.accesses import parse_access, verify_access
from heptad.crypto.derivation import erasure_salt, request_ref
from heptad.crypto.erasures import (
    parse_certificate,
    parse_order,
    parse_refusal,
    verify_attested,
)
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.filing import open_routing_box
from heptad.crypto.jwk import PublicKey
from heptad.crypto.requests import parse_request, verify_request
from heptad.crypto.sealing import Opened, commitment, open_stored
from heptad.model.access import AccessRecord
from heptad.model.entry import Entry, Kind
from heptad.model.erasure import (
    ErasureCertificate,
    ErasureGround,
    ErasureOrder,
    ErasureRefusal,
    ErasureState,
    OrderedBy,
    RefusalGround,
    refusal_digest,
    request_digest,
    subject_pseudonym,
)
from heptad.model.own_actions import ERASE, OWN_SERVICE
from heptad.model.problems import Problem
from heptad.model.requests import request_hash, request_id_of
from heptad_ledger.filing import Filer
from heptad_ledger.privacy.holds import HoldHistory
from heptad_ledger.privacy.noticing import REFUSED_ACT, readable
from heptad_ledger.privacy.rows import public_key_of, subject_id_of
from heptad_ledger.store import LogStore, Snapshot
from heptad_ledger.store.edit import Edit
from heptad_ledger.store.erasure_rows import Decision, ErasureCase, Progress
from heptad_ledger.store.erasure_table import Queued

TAKEN_AT_ONCE: Final = 1_024
"""Queued entries of one transaction."""

ALIASES_MAX: Final = 16
"""Further requests of a subject that lead to its case; of more it is told by the first ones."""

GROUND_CLAIM: Final = "ground"
"""The member of a request's `data` that may name one of the grounds of `ErasureGround`."""

NEWS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Record:
    """A queued entry's record: whose it is, and what it says."""

    index: int
    entry: Entry
    slot: int
    opened: Opened


class Intake:
    """Looks at queued entries, in the thread that writes to the store."""

    def __init__(
        self,
        *,
        store: LogStore,
        filer: Filer,
        keys: Mapping[str, PublicKey],
        origin: str,
        index_key: Callable[[], bytes],
    ) -> None:
        """`keys` are the ledger's attestation keys by their ids."""
        self._store = store
        self._filer = filer
        self._registry = filer.registry
        self._keys = keys
        self._origin = origin
        self._index_key = index_key
        self.news: deque[ErasureState] = deque(maxlen=NEWS_MAX)
        """The states that cases have come to, for who counts them."""
        self.is_replaying = False
        """An old log is applied over a vault that may be another's. Whom an order means shows only
        when all of it is applied, so nothing is closed before that; nothing is lent either."""

    def take(self) -> None:
        """Look at all that is queued. Raises: StoreError; what was not looked at stays queued."""
        while self._take_some() == TAKEN_AT_ONCE:
            continue

    def close_ordered(self) -> None:
        """After a start, or a replay: file nothing for slots whose erasure was ordered."""
        if self.is_replaying:
            return
        with self._store.snapshot() as snapshot:
            after = 0
            while cases := snapshot.erasures.to_do(after=after, count_max=TAKEN_AT_ONCE):
                for case in cases:
                    if case.is_to_execute:
                        self._filer.close(case.slot)
                after = cases[-1].number

    def _take_some(self) -> int:
        with self._store.snapshot() as snapshot:
            if not snapshot.erasures.queued(count_max=1):
                return 0
        routing_keys = self._registry.routing_keys()
        with self._store.snapshot() as snapshot, self._store.editing() as edit:
            queued = edit.cases.queued(count_max=TAKEN_AT_ONCE)
            for each in queued:
                self._look_at(each, snapshot, edit, routing_keys)
                edit.cases.dequeue(each.index)
        return len(queued)

    def _look_at(
        self, queued: Queued, snapshot: Snapshot, edit: Edit, routing_keys: Mapping[bytes, bytes]
    ) -> None:
        raw = snapshot.entry(queued.index)
        entry = readable(raw)
        if entry is None:
            return
        try:
            if not queued.box:
                self._take_statement(entry, queued.index, snapshot, edit)
                return
            record = self._opened(queued, raw, entry, snapshot, routing_keys)
            if record is None:
                return
            if entry.kind is Kind.ACCESS:
                self._take_decision(record, snapshot, edit)
            else:
                self._take_request(record, snapshot, edit)
        except (Problem, ValueError, SealBrokenError):
            # Not what it should be: an evil validator's, or a word of another version.
            return

    # Records.

    def _opened(
        self,
        queued: Queued,
        raw: bytes,
        entry: Entry,
        snapshot: Snapshot,
        routing_keys: Mapping[bytes, bytes],
    ) -> _Record | None:
        """The record, if it was filed, is of a slot that lives, and is what the entry commits to.

        Raises: SealBrokenError.
        """
        routing = open_routing_box(queued.box, entry=raw, routing_keys=routing_keys)
        stored = snapshot.sealed(queued.index)
        if routing is None or stored is None:
            return None
        slot = int.from_bytes(routing[0], "big")
        slot_key = self._filer.slot_key(slot)
        if slot_key is None:
            return None
        opened = open_stored(stored, entry=raw, entry_index=queued.index, slot_key=slot_key)
        if commitment(witness=opened.witness, payload=opened.payload) != entry.commitment:
            return None
        return _Record(queued.index, entry, slot, opened)

    def _take_request(self, record: _Record, snapshot: Snapshot, edit: Edit) -> None:
        """A subject asks to be erased. Raises: Problem."""
        request = parse_request(record.opened.payload)
        if (request.svc, request.act, request.aud) != (OWN_SERVICE, ERASE, self._origin):
            return
        subject = self._registry.find(snapshot, request.iss)
        if subject is None or subject.slot != record.slot:
            return
        key = public_key_of(subject, request.kid, snapshot)
        if key is None:
            return
        verify_request(request, key)
        name = request_hash(iss=request.iss, jti=request.jti)
        if self._is_first(name, record.index, snapshot):
            ground = _ground_of(request.data)
            case = self._new_case(
                edit, record, request.iss, name, by=OrderedBy.SUBJECT, ground=ground
            )
            self._receive(edit, case)

    def _take_decision(self, record: _Record, snapshot: Snapshot, edit: Edit) -> None:
        """An officer has decided. Raises: Problem; ValueError for an unknown ground."""
        signed = parse_access(record.opened.payload)
        key = self._keys.get(signed.kid)
        access = signed.record
        if key is None or (access.origin, access.action) != (self._origin, record.entry.action):
            return
        verify_access(signed, key)
        subject = self._registry.find(snapshot, access.subject_id)
        if subject is None or subject.slot != record.slot:
            return
        name = request_hash(iss=access.ledger, jti=access.jti)
        if not self._is_first(name, record.index, snapshot):
            return
        self._decide(record, access, name, edit)

    def _decide(self, record: _Record, access: AccessRecord, name: bytes, edit: Edit) -> None:
        """An officer orders an erasure, or refuses one that is not decided."""
        case = edit.cases.of_slot(record.slot)
        is_undecided = case is not None and case.state is ErasureState.RECEIVED
        if access.action == REFUSED_ACT:
            ground = RefusalGround(access.ground)
            if case is not None and is_undecided and not case.statement:
                refused = replace(case, decision=Decision.REFUSE, refusal=ground, waits=False)
                edit.cases.put(refused)
            return
        if case is not None and is_undecided and not case.statement:
            ordered = replace(case, decision=Decision.ORDER, refusal=None, waits=False)
            edit.cases.put(ordered)
            return
        asked = self._new_case(
            edit,
            record,
            access.subject_id,
            name,
            by=OrderedBy.OFFICER,
            ground=ErasureGround(access.ground),
        )
        self._receive(edit, replace(asked, decision=Decision.ORDER))

    def _is_first(self, name: bytes, index: int, snapshot: Snapshot) -> bool:
        """Whether a record is the first of its name: whoever records it again changes nothing."""
        ref = request_ref(cell_index_key=self._index_key(), request_id=request_id_of(name))
        return snapshot.request(ref) == index

    def _new_case(
        self,
        edit: Edit,
        record: _Record,
        subject_id: str,
        name: bytes,
        *,
        by: OrderedBy,
        ground: ErasureGround,
    ) -> ErasureCase:
        salt = erasure_salt(cell_index_key=self._index_key(), request_hash=name)
        return ErasureCase(
            number=edit.cases.number_next(),
            slot=record.slot,
            state=ErasureState.RECEIVED,
            ordered_by=by,
            ground=ground,
            received_ms=record.entry.time_ms,
            request_digest=request_digest(salt=salt, request_hash=name),
            refusal_digest=refusal_digest(salt=salt, request_hash=name),
            request_hash=name,
            pseudonym=subject_pseudonym(salt=salt, subject_id=subject_id),
        )

    def _receive(self, edit: Edit, case: ErasureCase) -> None:
        """Take a new case, or let an open one answer this request too."""
        known = edit.cases.of_slot(case.slot)
        if known is None:
            edit.cases.put(case)
            self.news.append(ErasureState.RECEIVED)
        elif known.aliases < ALIASES_MAX:
            edit.cases.put(replace(known, aliases=known.aliases + 1))
            edit.cases.name(case.request_digest, known)

    # Statements.

    def _take_statement(self, entry: Entry, index: int, snapshot: Snapshot, edit: Edit) -> None:
        """The log holds what the ledger has stated. Raises: Problem."""
        match entry.kind:
            case Kind.ERASURE_ORDERED:
                order = parse_order(entry.statement)
                verify_attested(order, self._keys)
                self._require_own(order.statement.origin)
                self._ordered(order.statement, index, snapshot, edit)
            case Kind.ERASURE_REFUSED:
                refusal = parse_refusal(entry.statement)
                verify_attested(refusal, self._keys)
                self._require_own(refusal.statement.origin)
                self._refused(refusal.statement, index, edit)
            case _:
                certificate = parse_certificate(entry.statement)
                verify_attested(certificate, self._keys)
                self._require_own(certificate.statement.origin)
                self._erased(certificate.statement, index, edit)

    def _require_own(self, origin: str) -> None:
        """Raises: Problem `audience_mismatch`."""
        if origin != self._origin:
            raise Problem("audience_mismatch", "a statement of another cell", field="aud")

    def _ordered(self, order: ErasureOrder, index: int, snapshot: Snapshot, edit: Edit) -> None:
        current = edit.cases.of_slot(order.slot)
        if current is not None and current.order_index is not None:
            return
        case = edit.cases.by_digest(order.request_digest)
        history = self._holds_on(order.slot, snapshot)
        if history.holds or order.ordered_at_ms < history.orders_from_ms:
            # The hold was in the log first, and the ledger did not know of it yet when it ordered;
            # or a validator records once more what a hold has overruled.
            is_pending = case is not None and case.state is ErasureState.RECEIVED
            if case is not None and is_pending and case.decision is Decision.ORDER:
                edit.cases.put(replace(case, statement=b""))
            return
        if case is None or case.state is not ErasureState.RECEIVED:
            case = _case_of(order, number=edit.cases.number_next())
        is_here = self._filer.was_given_out(order.slot) or self.is_replaying
        case = replace(
            case,
            state=ErasureState.ORDERED,
            order_index=index,
            decided_ms=order.ordered_at_ms,
            statement=b"",
            waits=False,
            progress=Progress.NONE if is_here else Progress.ABSENT,
        )
        edit.cases.put(case)
        if current is not None and current.number != case.number:
            edit.cases.drop(current, followed_by=case)
        if is_here and not self.is_replaying:
            self._filer.close(case.slot)
        self.news.append(ErasureState.ORDERED)

    def _holds_on(self, slot: int, snapshot: Snapshot) -> HoldHistory:
        slot_key = self._filer.slot_key(slot)
        if slot_key is None:
            return HoldHistory()
        subject_id = subject_id_of(self._registry, snapshot, slot_key=slot_key)
        if subject_id is None:
            return HoldHistory()
        return self._filer.holds.history(
            snapshot,
            subject_id=subject_id,
            slot_key=slot_key,
            origin=self._origin,
            keys=self._keys,
        )

    def _refused(self, refusal: ErasureRefusal, index: int, edit: Edit) -> None:
        case = edit.cases.by_digest(refusal.refusal_digest)
        if case is None:
            case = _case_of_refusal(refusal, number=edit.cases.number_next())
        elif case.state is not ErasureState.RECEIVED:
            return
        refused = replace(
            case,
            state=ErasureState.REFUSED,
            refusal=refusal.ground,
            decided_ms=refusal.refused_at_ms,
            end_index=index,
            statement=b"",
            waits=False,
        )
        edit.cases.put(refused)
        self.news.append(ErasureState.REFUSED)

    def _erased(self, certificate: ErasureCertificate, index: int, edit: Edit) -> None:
        case = edit.cases.by_digest(certificate.request_digest)
        if case is None or case.order_index != certificate.order_index:
            return
        if case.state is ErasureState.ORDERED:
            done = replace(
                case,
                state=ErasureState.ERASED,
                end_index=index,
                pseudonym=certificate.subject_pseudonym,
                statement=b"",
            )
            edit.cases.put(done)
            self.news.append(ErasureState.ERASED)


def _ground_of(data: Mapping[str, object]) -> ErasureGround:
    """The ground that a subject names, if it is one; a request without one counts no less."""
    named = data.get(GROUND_CLAIM)
    known = (ground for ground in ErasureGround if ground.value == named)
    return next(known, ErasureGround.CONSENT_WITHDRAWN)


def _case_of(order: ErasureOrder, *, number: int) -> ErasureCase:
    """A case that is known by its order only: the request came before this ledger began."""
    return ErasureCase(
        number=number,
        slot=order.slot,
        state=ErasureState.ORDERED,
        ordered_by=order.ordered_by,
        ground=order.ground,
        received_ms=order.ordered_at_ms,
        request_digest=order.request_digest,
    )


def _case_of_refusal(refusal: ErasureRefusal, *, number: int) -> ErasureCase:
    """A case that is known by its refusal only; why it was asked for, nobody knows any more."""
    return ErasureCase(
        number=number,
        slot=0,
        state=ErasureState.REFUSED,
        ordered_by=OrderedBy.SUBJECT,
        ground=ErasureGround.CONSENT_WITHDRAWN,
        received_ms=refusal.refused_at_ms,
        refusal_digest=refusal.refusal_digest,
    )
