"""The tables with random keys, `by_subject` and `by_request`, behind their waiting room `recent`.

One wave goes through in three steps, in the transaction that writes the wave: `settle` finds which
requests are later copies, `put` makes the rows durable, `written` follows the commit in memory (or
`undone` its failure). Why rows wait: `heptad_ledger.store.recent`; how the tables hold them:
`heptad_ledger.store.row_pages`; why a new request is known to be new without looking:
`heptad_ledger.store.request_filter`.

Rows of a subject are deleted with `delete`, wherever they are, and `deleted` after the commit.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import lmdb

from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.store.checked import with_check, without_check
from heptad_ledger.store.environment import Environment, seek_at_most
from heptad_ledger.store.recent import (
    SLICES,
    RecentRows,
    RecentView,
    Row,
    pack_merged,
    packed_wave,
    those_waiting,
    unpack_merged,
    unpack_rows,
    without_rows,
)
from heptad_ledger.store.request_filter import RequestFilter
from heptad_ledger.store.row_pages import delete_row, get_row, put_rows
from heptad_ledger.store.wave import pack_index

Rows: TypeAlias = Sequence[Row]

MERGED: Final = b"merged"
"""The row of `meta` that says what of each slice is in the tables."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A wave's requests: rows of those that are new, and (later index, lowest index) of copies."""

    first: Rows
    later: Rows


@dataclass(frozen=True, slots=True)
class PutRows:
    """What one wave put: its rows, and the slices that went on into their tables."""

    by_subject: Rows
    by_request: Rows
    slices: Sequence[int]
    until_index: int


@dataclass(frozen=True, slots=True)
class DeletedRows:
    """The keys of rows that were there and are deleted, as soon as the transaction commits."""

    by_subject: Sequence[bytes]
    by_request: Sequence[bytes]


def read_merged(transaction: lmdb.Transaction, environment: Environment) -> tuple[int, ...]:
    """For each slice, below which entry index all rows are in the tables.

    Raises: StoreDamagedError.
    """
    row = transaction.get(MERGED, db=environment.table("meta"))
    if row is None:
        return (0,) * SLICES
    return unpack_merged(without_check(b"meta", MERGED, bytes(row)))


class PrivateTables:
    """For the writing thread; `view` for all."""

    def __init__(self, environment: Environment) -> None:
        """Read back the rows that wait. Raises: StoreDamagedError."""
        self._environment = environment
        self._filter = RequestFilter()
        with environment.reading() as transaction:
            merged = read_merged(transaction, environment)
            self._recent = RecentRows(merged)
            for _, packed in transaction.cursor(environment.table("recent")):
                subjects, requests = (those_waiting(r, merged) for r in unpack_rows(bytes(packed)))
                self._recent.add(by_subject=subjects, by_request=requests)
                self._filter.meet([reference for reference, _ in requests])

    def view(self) -> RecentView:
        """For a snapshot, taken before its transaction begins."""
        return self._recent.view()

    def settle(self, transaction: lmdb.Transaction, by_request: Rows) -> Settled:
        """Tell new requests from later copies; the lowest index of a request counts.

        `by_request` ascends by index.
        """
        lowest = dict(reversed(by_request))
        known: dict[bytes, bytes] = {}
        waiting = self._recent.view()
        with self._cursor(transaction, "by_request") as cursor:
            self._filter.learn(cursor)
            for reference in self._filter.meet(lowest):
                found = waiting.request(reference) or get_row(cursor, reference)
                if found is not None:
                    known[reference] = found
        if not known and len(lowest) == len(by_request):
            return Settled(by_request, ())
        lowest.update(known)
        first = [row for row in by_request if lowest[row[0]] == row[1]]
        later = [(index, lowest[ref]) for ref, index in by_request if lowest[ref] != index]
        return Settled(first, later)

    def put(
        self,
        transaction: lmdb.Transaction,
        *,
        by_subject: Rows,
        by_request: Rows,
        first_index: int,
        until_index: int,
    ) -> PutRows:
        """Make a wave's rows durable; they are of entries `first_index` <= i < `until_index`."""
        parts = packed_wave(
            by_subject=by_subject,
            by_request=by_request,
            first_index=first_index,
            until_index=until_index,
        )
        for key, packed in parts:
            table = self._environment.table("recent")
            if not transaction.put(key, packed, db=table, append=True):
                raise StoreDamagedError(f"recent: a wave from {first_index} on is not the last")
        # From here on snapshots would find the rows; they look at none beyond their own size.
        self._recent.add(by_subject=by_subject, by_request=by_request)
        slices = self._recent.due(self._pages_in_tables(transaction))
        try:
            self._merge(transaction, slices, until_index=until_index)
        except BaseException:
            self._remove(by_subject, by_request)
            raise
        return PutRows(by_subject, by_request, slices, until_index)

    def merge_all(self, transaction: lmdb.Transaction, *, until_index: int) -> PutRows:
        """Put all rows into their tables and empty `recent`."""
        slices = self._recent.all_slices()
        self._merge(transaction, slices, until_index=until_index)
        return PutRows((), (), slices, until_index)

    def written(self, put: PutRows) -> None:
        """The transaction has committed."""
        self._recent.merged(put.slices, until_index=put.until_index)

    def undone(self, put: PutRows) -> None:
        """The transaction has failed."""
        self._remove(put.by_subject, put.by_request)

    def delete(
        self,
        transaction: lmdb.Transaction,
        *,
        by_subject: Iterable[bytes],
        by_request: Iterable[bytes],
    ) -> DeletedRows:
        """Delete the rows with these keys, those that wait too; keys without a row are passed over.

        The pages and waves that held them are written anew, without a trace of them. When the
        transaction has committed, call `deleted`. Raises: StoreDamagedError.
        """
        of_subjects = self._deleted_from(transaction, "by_subject", by_subject)
        of_requests = self._deleted_from(transaction, "by_request", by_request)
        self._delete_from_waves(transaction, (*of_subjects, *of_requests))
        subjects, requests = ([key for key, _ in rows] for rows in (of_subjects, of_requests))
        return DeletedRows(subjects, requests)

    def deleted(self, rows: DeletedRows) -> None:
        """The transaction that deleted these rows has committed."""
        self._recent.remove(by_subject=rows.by_subject, by_request=rows.by_request)

    def _remove(self, by_subject: Rows, by_request: Rows) -> None:
        subjects, requests = ([key for key, _ in rows] for rows in (by_subject, by_request))
        self._recent.remove(by_subject=subjects, by_request=requests)

    def _deleted_from(
        self, transaction: lmdb.Transaction, table: str, keys: Iterable[bytes]
    ) -> list[Row]:
        """Delete rows from a table's pages; return these and those that wait."""
        view = self._recent.view()
        waiting = view.subject_row if table == "by_subject" else view.request
        rows: list[Row] = []
        with self._cursor(transaction, table) as cursor:
            for key in sorted(set(keys)):
                index = delete_row(cursor, key) or waiting(key)
                if index is not None:
                    rows.append((key, index))
        return rows

    def _delete_from_waves(self, transaction: lmdb.Transaction, rows: Rows) -> None:
        """A wave keeps rows until all of it is in the tables, so any of these may be there."""
        parts: defaultdict[bytes, list[bytes]] = defaultdict(list)
        with self._cursor(transaction, "recent") as cursor:
            for key, index in rows:
                if seek_at_most(cursor, index):
                    parts[bytes(cursor.key())].append(key + index)
            for first_index, gone in parts.items():
                cursor.set_key(first_index)
                cursor.put(first_index, without_rows(bytes(cursor.value()), gone))

    def _pages_in_tables(self, transaction: lmdb.Transaction) -> int:
        names = ("by_subject", "by_request")
        stats = [transaction.stat(self._environment.table(name)) for name in names]
        return sum(int(stat["leaf_pages"]) + int(stat["overflow_pages"]) for stat in stats)

    def _merge(
        self, transaction: lmdb.Transaction, slices: Sequence[int], *, until_index: int
    ) -> None:
        if not slices:
            return
        by_subject, by_request = self._recent.sorted_rows(slices)
        for table, rows in (("by_subject", by_subject), ("by_request", by_request)):
            with self._cursor(transaction, table) as cursor:
                put_rows(cursor, rows)
        merged = self._recent.merged_with(slices, until_index=until_index)
        row = with_check(b"meta", MERGED, pack_merged(merged))
        transaction.put(MERGED, row, db=self._environment.table("meta"))
        self._forget_below(transaction, min(merged))

    def _forget_below(self, transaction: lmdb.Transaction, index: int) -> None:
        """Delete waves whose rows are all in their tables."""
        with self._cursor(transaction, "recent") as cursor:
            found = cursor.first()
            while found and bytes(cursor.key()) < pack_index(index):
                found = cursor.delete()

    def _cursor(self, transaction: lmdb.Transaction, table: str) -> lmdb.Cursor:
        return transaction.cursor(self._environment.table(table))
