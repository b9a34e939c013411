"""The counters of the log, rows of `meta` that the transaction of each wave brings forward.

`total:size` says how many entries they count: where it is not the log's size (a store of an older
version), all of it is counted again when the ledger starts. Nothing depends on them but dashboards.
"""

from typing import Final

import lmdb

from heptad.wire.convert.entry_facts import entry_facts
from heptad_ledger.store.environment import Environment
from heptad_ledger.store.snapshot import Snapshot
from heptad_ledger.store.wave import Totals, pack_index, unpack_index

SERVICES_LISTED_MAX: Final = 1_000

_SIZE: Final = b"total:size"
_SERVICE_COUNT: Final = b"total:services"
_KIND: Final = b"total:kind:"
_SERVICE: Final = b"total:service:"


def recount(snapshot: Snapshot) -> Totals:
    """The totals of a whole log, by reading every entry: 2 µs each."""
    totals, index = Totals(), 0
    size = snapshot.state().size
    while index < size:
        entries = snapshot.entries(index, min(4_096, size - index))
        totals.add(entry_facts(entries))
        index += len(entries)
    return totals


def put_totals(
    transaction: lmdb.Transaction, environment: Environment, added: Totals, *, size: int
) -> None:
    """Add to the counters; they count the first `size` entries from then on."""
    meta = environment.table("meta")
    new_services = 0
    for kind, count in added.kinds.items():
        _add(transaction, meta, _KIND + bytes((kind,)), count)
    for service, count in added.services.items():
        new_services += _add(transaction, meta, _SERVICE + service.encode("ascii"), count)
    if new_services:
        _add(transaction, meta, _SERVICE_COUNT, new_services)
    transaction.put(_SIZE, pack_index(size), db=meta)


def drop_totals(transaction: lmdb.Transaction, environment: Environment) -> None:
    """Delete all counters."""
    with transaction.cursor(environment.table("meta")) as cursor:
        found = cursor.set_range(b"total:")
        while found and bytes(cursor.key()).startswith(b"total:"):
            found = cursor.delete()


def read_totals(transaction: lmdb.Transaction, environment: Environment) -> tuple[int, Totals, int]:
    """How many entries are counted, their totals, and how many services there are.

    Services are those first by name, at most `SERVICES_LISTED_MAX`.
    """
    meta, totals = environment.table("meta"), Totals()
    cursor = transaction.cursor(meta)
    found = cursor.set_range(_KIND)
    while found and bytes(cursor.key()).startswith(_KIND):
        totals.kinds[bytes(cursor.key())[-1]] = unpack_index(bytes(cursor.value()))
        found = cursor.next()
    found = cursor.set_range(_SERVICE)
    while found and bytes(cursor.key()).startswith(_SERVICE):
        if len(totals.services) == SERVICES_LISTED_MAX:
            break
        name = bytes(cursor.key())[len(_SERVICE) :].decode("ascii")
        totals.services[name] = unpack_index(bytes(cursor.value()))
        found = cursor.next()
    size, services = transaction.get(_SIZE, db=meta), transaction.get(_SERVICE_COUNT, db=meta)
    return _number(size), totals, _number(services)


def _add(transaction: lmdb.Transaction, meta: "lmdb._Database", key: bytes, count: int) -> bool:
    """Add to one counter; tell whether it is new."""
    before = transaction.get(key, db=meta)
    transaction.put(key, pack_index(_number(before) + count), db=meta)
    return before is None


def _number(value: bytes | memoryview | None) -> int:
    return 0 if value is None else unpack_index(bytes(value))
