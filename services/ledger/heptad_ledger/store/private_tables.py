"""The tables with random keys, `by_subject` and `by_request`, behind their waiting room `recent`.

One wave goes through in three steps, in the transaction that writes the wave: `settle` finds which
requests are later copies, `put` makes the rows durable, `written` follows the commit in memory (or
`undone` its failure). `heptad_ledger.store.recent` says why rows wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import lmdb

from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.store.environment import Environment
from heptad_ledger.store.recent import (
    RecentRows,
    RecentView,
    Row,
    pack_rows,
    unpack_rows,
)
from heptad_ledger.store.wave import pack_index

Rows: TypeAlias = Sequence[Row]


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


class PrivateTables:
    """For the writing thread; `view` for all."""

    def __init__(self, environment: Environment) -> None:
        """Read back the rows that wait. Raises: StoreDamagedError."""
        self._environment = environment
        self._recent = RecentRows()
        with environment.reading() as transaction:
            for _, packed in transaction.cursor(environment.table("recent")):
                by_subject, by_request = unpack_rows(bytes(packed))
                self._recent.add(by_subject=by_subject, by_request=by_request)

    def view(self) -> RecentView:
        """For a snapshot, taken before its transaction begins."""
        return self._recent.view()

    def settle(self, transaction: lmdb.Transaction, by_request: Rows) -> Settled:
        """Tell new requests from later copies; the lowest index of a request counts.

        `by_request` ascends by index.
        """
        lowest = dict(reversed(by_request))
        known = self._recent.requests_among(lowest)
        with transaction.cursor(self._environment.table("by_request")) as cursor:
            known.update((bytes(r), bytes(i)) for r, i in cursor.getmulti(sorted(lowest)))
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
        if by_subject or by_request:
            packed = pack_rows(by_subject=by_subject, by_request=by_request)
            table = self._environment.table("recent")
            if not transaction.put(pack_index(first_index), packed, db=table, append=True):
                raise StoreDamagedError(f"recent: a wave from {first_index} on is not the last")
        # From here on snapshots would find the rows; they look at none beyond their own size.
        self._recent.add(by_subject=by_subject, by_request=by_request)
        slices = self._recent.due(self._rows_in_tables(transaction))
        try:
            self._merge(transaction, slices, until_index=until_index)
        except BaseException:
            self._recent.remove(by_subject=by_subject, by_request=by_request)
            raise
        return PutRows(by_subject, by_request, slices, until_index)

    def merge_all(self, transaction: lmdb.Transaction, *, until_index: int) -> PutRows:
        """Put all rows into their tables and empty `recent`: before rows are to be deleted."""
        slices = self._recent.all_slices()
        self._merge(transaction, slices, until_index=until_index)
        return PutRows((), (), slices, until_index)

    def written(self, put: PutRows) -> None:
        """The transaction has committed."""
        self._recent.merged(put.slices, until_index=put.until_index)

    def undone(self, put: PutRows) -> None:
        """The transaction has failed."""
        self._recent.remove(by_subject=put.by_subject, by_request=put.by_request)

    def _rows_in_tables(self, transaction: lmdb.Transaction) -> int:
        tables = (self._environment.table(name) for name in ("by_subject", "by_request"))
        return sum(int(transaction.stat(table)["entries"]) for table in tables)

    def _merge(
        self, transaction: lmdb.Transaction, slices: Sequence[int], *, until_index: int
    ) -> None:
        for number in slices:
            by_subject, by_request = self._recent.sorted_rows(number)
            for table, rows in (("by_subject", by_subject), ("by_request", by_request)):
                with transaction.cursor(self._environment.table(table)) as cursor:
                    cursor.putmulti(rows)
        if slices:
            needed_from = self._recent.merged_until(slices, until_index=until_index)
            self._forget_below(transaction, needed_from)

    def _forget_below(self, transaction: lmdb.Transaction, index: int) -> None:
        """Delete waves whose rows are all in their tables."""
        with transaction.cursor(self._environment.table("recent")) as cursor:
            found = cursor.first()
            while found and bytes(cursor.key()) < pack_index(index):
                found = cursor.delete()
