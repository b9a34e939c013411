"""The store's tables in one read transaction: what every part of a check reads through."""

from collections.abc import Iterator

import lmdb

from heptad_ledger.store.environment import Environment
from heptad_ledger.store.row_pages import ROW_BYTES, get_row


class Tables:
    """Reads tables by their names."""

    def __init__(self, transaction: lmdb.Transaction, environment: Environment) -> None:
        self.transaction = transaction
        self.environment = environment

    def get(self, table: str, key: bytes) -> bytes | None:
        """A row's value."""
        found = self.transaction.get(key, db=self.environment.table(table))
        return None if found is None else bytes(found)

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """All rows by key."""
        with self.transaction.cursor(self.environment.table(table)) as cursor:
            for key, value in cursor:
                yield bytes(key), bytes(value)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.transaction.stat(self.environment.table(table))["entries"])

    def get_row(self, table: str, key: bytes) -> bytes | None:
        """The packed index of a row of `by_subject` or `by_request`."""
        with self.transaction.cursor(self.environment.table(table)) as cursor:
            return get_row(cursor, key)

    def count_rows(self, table: str) -> int:
        """How many rows the pages of `by_subject` or `by_request` hold."""
        return sum(len(page) // ROW_BYTES for _, page in self.rows(table))
