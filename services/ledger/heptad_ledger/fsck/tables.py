"""The store's tables in one read transaction: what every part of a check reads through."""

from collections.abc import Container, Iterator, Sized
from typing import Protocol

import lmdb

from heptad_ledger.store.environment import Environment


class _Waiting(Sized, Container[bytes], Protocol):
    """Rows by key."""

    def __iter__(self) -> Iterator[bytes]:
        """The keys."""
        ...


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

    def count(self, table: str, waiting: _Waiting = ()) -> int:
        """How many rows there are, together with those that wait and are not there yet."""
        there = int(self.transaction.stat(self.environment.table(table))["entries"])
        return there + sum(self.get(table, key) is None for key in waiting)
