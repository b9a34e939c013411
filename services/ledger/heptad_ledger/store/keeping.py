"""Small values of the ledger's own, under names: rows of `meta` that no wave touches."""

import lmdb

from heptad_ledger.store.checked import with_check, without_check
from heptad_ledger.store.environment import Environment


def keep_value(
    transaction: lmdb.Transaction, environment: Environment, name: str, value: bytes
) -> None:
    """Keep a value in the place of an older one."""
    key = _key(name)
    row = with_check(b"meta", key, value)
    transaction.put(key, row, db=environment.table("meta"))


def kept_value(transaction: lmdb.Transaction, environment: Environment, name: str) -> bytes | None:
    """What was kept under that name. Raises: StoreDamagedError."""
    key = _key(name)
    row = transaction.get(key, db=environment.table("meta"))
    return None if row is None else without_check(b"meta", key, bytes(row))


def _key(name: str) -> bytes:
    return b"kept:" + name.encode()
