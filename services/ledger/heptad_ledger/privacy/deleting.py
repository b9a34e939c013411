"""Deleting a subject's records and all rows that lead to them, while its key still finds them.

What is a subject's can only be found under its slot's key, so it goes before the key does
(docs/adr: rows go before the key). It goes from the last row to the first: rows are numbered
without a gap and their end is found by looking for it, so what a crash leaves is a subject with
fewer rows, and the deletion goes on where it stood. The registration goes last, with the registry's
row, in whose place a tombstone is left.

A row of `by_request` is deleted if it names this very entry: by a name that another's record bears,
too, nobody loses a row. One stays, on purpose: that of the request for the erasure itself, whose
entry is no secret (its order follows it), so that whoever has its id still gets its receipt.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from heptad.crypto.derivation import request_ref, subject_index_key, subject_row_key
from heptad.crypto.peeking import peeked_claims
from heptad.crypto.sealing import Opened
from heptad.model.requests import request_hash, request_id_of
from heptad_ledger.filing import row_count
from heptad_ledger.privacy.rows import opened_at
from heptad_ledger.registry import RegistrationRefusedError, Registry
from heptad_ledger.store import Snapshot
from heptad_ledger.store.erasure_rows import ErasureCase
from heptad_ledger.store.wave import pack_index

ROWS_AT_ONCE_MAX: Final = 50_000
"""Records that one transaction deletes: some seconds, in which nothing is applied."""


@dataclass(slots=True)
class Deletion:
    """What of one subject is to be deleted at once: keys of rows; `sealed` are packed indexes."""

    sealed: list[bytes] = field(default_factory=list)
    by_subject: list[bytes] = field(default_factory=list)
    by_request: list[bytes] = field(default_factory=list)
    registry: list[bytes] = field(default_factory=list)

    tombstone: tuple[bytes, bytes] | None = None
    is_last: bool = False
    """Nothing of the subject is left behind it."""


class Deleter:
    """Finds what is to be deleted."""

    def __init__(self, registry: Registry, *, index_key: Callable[[], bytes]) -> None:
        self._registry = registry
        self._index_key = index_key

    def deletions(
        self, case: ErasureCase, snapshot: Snapshot, *, slot_key: bytes, rows_max: int
    ) -> Deletion:
        """The last `rows_max` rows of the case's subject and all that belongs to them."""
        index_key = subject_index_key(slot_key)
        count = row_count(snapshot, index_key)
        first = max(0, count - rows_max)
        deletion = Deletion(is_last=first == 0)
        for row in range(count - 1, first - 1, -1):
            key = subject_row_key(index_key=index_key, row=row)
            index = snapshot.subject_row(key)
            assert index is not None, "rows are numbered without a gap"
            deletion.sealed.append(pack_index(index))
            deletion.by_subject.append(key)
            opened = opened_at(snapshot, index, slot_key=slot_key)
            if opened is not None:
                self._add_named(deletion, case, opened, index, snapshot, is_registration=row == 0)
        return deletion

    def _add_named(
        self,
        deletion: Deletion,
        case: ErasureCase,
        opened: Opened,
        index: int,
        snapshot: Snapshot,
        *,
        is_registration: bool,
    ) -> None:
        """What is found by the name of this record's request, if it is one."""
        for name in _names(opened.payload):
            ref = request_ref(cell_index_key=self._index_key(), request_id=request_id_of(name))
            if name != case.request_hash and snapshot.request(ref) == index:
                deletion.by_request.append(ref)
            if is_registration:
                deletion.registry.append(self._registry.registration_key(ref))
        if is_registration:
            self._add_tombstone(deletion, case, opened)

    def _add_tombstone(self, deletion: Deletion, case: ErasureCase, opened: Opened) -> None:
        try:
            subject_id = self._registry.subject_of(opened)
        except RegistrationRefusedError:
            return
        deletion.tombstone = self._registry.tombstone(subject_id, case.request_digest)


def _names(payload: bytes) -> Iterator[bytes]:
    """The hash behind the id of the signed request, or record of access, in a payload."""
    claims = peeked_claims(payload) or {}
    iss, jti = claims.get("iss"), claims.get("jti")
    if isinstance(iss, str) and isinstance(jti, str) and iss.isascii() and jti.isascii():
        yield request_hash(iss=iss, jti=jti)
