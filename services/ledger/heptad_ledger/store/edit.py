"""One write transaction of an erasure: what is private is deleted, and what is kept of it changed.

Everything else that the store holds only grows. This is the one way by which rows go.
"""

from collections.abc import Iterable, Sequence

import lmdb

from heptad_ledger.store.environment import Environment
from heptad_ledger.store.erasure_table import TABLE, ErasureWriter
from heptad_ledger.store.keeping import keep_value, kept_value
from heptad_ledger.store.private_tables import DeletedRows, PrivateTables


class Edit:
    """For the writing thread, within `LogStore.editing`."""

    def __init__(
        self, transaction: lmdb.Transaction, environment: Environment, private: PrivateTables
    ) -> None:
        self._transaction = transaction
        self._environment = environment
        self._private = private
        self.cases = ErasureWriter(transaction, environment.table(TABLE))
        """The table of erasures."""
        self.deleted: list[DeletedRows] = []
        """Rows that this transaction deletes, also those that wait in memory."""

    def delete_rows(self, *, by_subject: Iterable[bytes], by_request: Iterable[bytes]) -> int:
        """Delete rows that find records, by their keys; return how many there were."""
        rows = self._private.delete(self._transaction, by_subject=by_subject, by_request=by_request)
        self.deleted.append(rows)
        return len(rows.by_subject) + len(rows.by_request)

    def delete_sealed(self, indexes: Sequence[bytes]) -> int:
        """Delete records by packed index; return how many there were."""
        table = self._environment.table("sealed")
        return sum(self._transaction.delete(index, db=table) for index in indexes)

    def delete_subject(self, row_key: bytes) -> bool:
        """Delete a row of the registry; tell whether it was there."""
        return self._transaction.delete(row_key, db=self._environment.table("subject"))

    def kept(self, name: str) -> bytes | None:
        """What was kept under that name (`LogStore.keep`). Raises: StoreDamagedError."""
        return kept_value(self._transaction, self._environment, name)

    def keep(self, name: str, value: bytes) -> None:
        """Keep a small value of the ledger's own."""
        keep_value(self._transaction, self._environment, name, value)

    def put_subject(self, row_key: bytes, row: bytes) -> None:
        """Write a row of the registry in the place of another."""
        self._transaction.put(row_key, row, db=self._environment.table("subject"))
