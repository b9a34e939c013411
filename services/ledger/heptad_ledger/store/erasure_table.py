"""The table `erasure`: cases, what finds them, and what has yet to be looked at.

    n ‖ number          a case
    o ‖ number          nothing; the case is open
    w ‖ number          nothing; it is open, and the ledger itself has something to do
    d ‖ digest          number of the case that this request's, or refusal's, digest names
    s ‖ slot            number of the slot's case, unless that was refused
    x ‖ slot            number of the slot's last refusal; the one before is forgotten with it
    q ‖ index           an applied entry that is not looked at yet: its record's routing header as
                        it came, still encrypted, or nothing for a public statement

So the table is bounded by the slots: of each there is one case that was not refused, and one that
was. Values carry a check, for nothing else vouches for them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import lmdb

from heptad.model.erasure import ErasureState
from heptad_ledger.store.checked import with_check, without_check
from heptad_ledger.store.erasure_rows import NO_SLOT, ErasureCase, Progress
from heptad_ledger.store.wave import pack_index, unpack_index

TABLE: Final = "erasure"
_TAG: Final = TABLE.encode()
_CASE, _OPEN, _WORK, _DIGEST = b"n", b"o", b"w", b"d"
_SLOT, _REFUSED, _QUEUED = b"s", b"x", b"q"


@dataclass(frozen=True, slots=True)
class Queued:
    """An applied entry that concerns an erasure; `box` is empty for a public statement."""

    index: int
    box: bytes


class ErasureReader:
    """Reads the table in one transaction. Raises everywhere: StoreDamagedError."""

    def __init__(self, transaction: lmdb.Transaction, table: "lmdb._Database") -> None:
        self._transaction = transaction
        self._table = table

    def case(self, number: int) -> ErasureCase | None:
        """The case of that number."""
        row = self._get(_CASE + pack_index(number))
        return None if row is None else ErasureCase.decode(row)

    def by_digest(self, digest: bytes) -> ErasureCase | None:
        """The case that a request's or a refusal's digest names."""
        return self._named(_DIGEST + digest)

    def of_slot(self, slot: int) -> ErasureCase | None:
        """The slot's case, unless it was refused."""
        return self._named(_SLOT + pack_index(slot))

    def refused_of_slot(self, slot: int) -> ErasureCase | None:
        """The last case of the slot that was refused."""
        return self._named(_REFUSED + pack_index(slot))

    def open_cases(self, *, after: int = 0, count_max: int) -> list[ErasureCase]:
        """Open cases behind the one of number `after`, those that came first first."""
        return self._listed(_OPEN, after, count_max)

    def all_open(self) -> Iterator[ErasureCase]:
        """All open cases, those that came first first."""
        for key, _ in self._rows(_OPEN):
            case = self.case(unpack_index(key))
            if case is not None:
                yield case

    def to_do(self, *, after: int = 0, count_max: int) -> list[ErasureCase]:
        """Those of them for which the ledger has something to do."""
        return self._listed(_WORK, after, count_max)

    def cases(self) -> Iterator[ErasureCase]:
        """All cases, those that came first first."""
        for _, row in self._rows(_CASE):
            yield ErasureCase.decode(row)

    def queued(self, *, count_max: int) -> list[Queued]:
        """Entries that are not looked at yet, ascending."""
        rows = zip(self._rows(_QUEUED), range(count_max), strict=False)
        return [Queued(unpack_index(key), box) for (key, box), _ in rows]

    def _listed(self, prefix: bytes, after: int, count_max: int) -> list[ErasureCase]:
        rows = self._rows(prefix, from_key=pack_index(after + 1))
        numbers = [unpack_index(key) for (key, _), _ in zip(rows, range(count_max), strict=False)]
        return [case for number in numbers if (case := self.case(number)) is not None]

    def _named(self, key: bytes) -> ErasureCase | None:
        number = self._get(key)
        return None if number is None else self.case(unpack_index(number))

    def _get(self, key: bytes) -> bytes | None:
        stored = self._transaction.get(key, db=self._table)
        return None if stored is None else without_check(_TAG, key, bytes(stored))

    def _rows(self, prefix: bytes, from_key: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Key behind the prefix, and value."""
        with self._transaction.cursor(self._table) as cursor:
            found = cursor.set_range(prefix + from_key)
            while found and bytes(cursor.key()).startswith(prefix):
                key = bytes(cursor.key())
                yield key[len(prefix) :], without_check(_TAG, key, bytes(cursor.value()))
                found = cursor.next()


class ErasureWriter(ErasureReader):
    """Changes the table in a write transaction, and sees what it has changed."""

    def queue(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """Have these entries looked at: index, and routing header or nothing."""
        for index, box in rows:
            self._put(_QUEUED + pack_index(index), box)

    def dequeue(self, index: int) -> None:
        """An entry was looked at."""
        self._transaction.delete(_QUEUED + pack_index(index), db=self._table)

    def number_next(self) -> int:
        """The number of the next new case."""
        with self._transaction.cursor(self._table) as cursor:
            # The last case stands before the first row of the next letter.
            found = cursor.set_range(_OPEN)
            found = cursor.prev() if found else cursor.last()
            key = bytes(cursor.key()) if found else b""
        return unpack_index(key[1:]) + 1 if key[:1] == _CASE else 1

    def put(self, case: ErasureCase) -> None:
        """Write a case, new or changed, with all that finds it."""
        number = pack_index(case.number)
        self._put(_CASE + number, case.encode())
        for digest in (case.request_digest, case.refusal_digest):
            if digest:
                self._put(_DIGEST + digest, number)
        for prefix, is_listed in ((_OPEN, case.is_open), (_WORK, case.is_open and not case.waits)):
            if is_listed:
                self._put(prefix + number, b"")
            else:
                self._transaction.delete(prefix + number, db=self._table)
        if case.slot != NO_SLOT:
            self._point(case)

    def drop(self, case: ErasureCase, *, followed_by: ErasureCase | None = None) -> None:
        """Forget a case; its digests lead to the other one from now on, if there is one."""
        number = pack_index(case.number)
        for prefix in (_CASE, _OPEN, _WORK):
            self._transaction.delete(prefix + number, db=self._table)
        for key in (_SLOT + pack_index(case.slot), _REFUSED + pack_index(case.slot)):
            if self._get(key) == number:
                self._transaction.delete(key, db=self._table)
        for digest in (case.request_digest, case.refusal_digest):
            if not digest or self._get(_DIGEST + digest) != number:
                continue
            if followed_by is None:
                self._transaction.delete(_DIGEST + digest, db=self._table)
            else:
                self._put(_DIGEST + digest, pack_index(followed_by.number))

    def name(self, digest: bytes, case: ErasureCase) -> None:
        """Let one more digest lead to a case."""
        self._put(_DIGEST + digest, pack_index(case.number))

    def _point(self, case: ErasureCase) -> None:
        """Let the slot lead to its case; of refusals the last one is kept.

        An order for a slot of another vault says nothing of who has that number here.
        """
        number, slot = pack_index(case.number), pack_index(case.slot)
        is_absent = case.progress is Progress.ABSENT
        if case.state is not ErasureState.REFUSED and not is_absent:
            self._put(_SLOT + slot, number)
            return
        if self._get(_SLOT + slot) == number:
            self._transaction.delete(_SLOT + slot, db=self._table)
        if is_absent:
            return
        before = self.refused_of_slot(case.slot)
        self._put(_REFUSED + slot, number)
        if before is not None and before.number != case.number:
            self.drop(before)

    def _put(self, key: bytes, value: bytes) -> None:
        self._transaction.put(key, with_check(_TAG, key, value), db=self._table)
