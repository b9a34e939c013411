"""Reading: one consistent view of all tables, whatever the writer does meanwhile.

A leaf is found by a sparse search: the row of a batch has the batch's first index as its key, so
the row at or below an index holds it. Everything here costs a few look-ups in the map, no copies of
more than it returns.

A disk may give back another bit than it was given, and LMDB does not notice. So what is handed out
of the log is first held against its hashes, which lie in other pages: entries against the tiles.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import lmdb

from heptad.model.log_reads import PublishedCheckpoint
from heptad.transparency.errors import TileUnreadableError
from heptad.transparency.merkle import HASH_BYTES, leaf_hash
from heptad.transparency.tiled_tree import TILE_WIDTH
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.store.checked import without_check
from heptad_ledger.store.environment import Environment, seek_at_most
from heptad_ledger.store.erasure_table import TABLE as ERASURE
from heptad_ledger.store.erasure_table import ErasureReader
from heptad_ledger.store.recent import RecentView
from heptad_ledger.store.row_pages import get_row
from heptad_ledger.store.state import AppliedState
from heptad_ledger.store.wave import ServicePosting, TimeSpan, pack_index, unpack_index

_STATE = b"state"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Entry `index` is a later copy of the request that entry `first_index` records."""

    index: int
    first_index: int


class Snapshot:
    """All tables as one transaction left them. Not for two threads at a time.

    Where a row must be there and is not, the store is damaged: StoreDamagedError.
    """

    def __init__(
        self, transaction: lmdb.Transaction, environment: Environment, recent: RecentView
    ) -> None:
        """Read in `transaction`; `recent` was taken before it began."""
        self._transaction = transaction
        self._environment = environment
        self._recent = recent
        self._size: int | None = None

    def state(self) -> AppliedState:
        """Where the ledger stood."""
        row = self._get("meta", _STATE)
        if row is None:
            raise StoreDamagedError("the store has no state")
        return AppliedState.decode(without_check(b"meta", _STATE, row))

    # The log.

    def entry(self, index: int) -> bytes:
        """The bytes of one entry; `index` is below the applied size."""
        return self.entries(index, 1)[0]

    def entries(self, start: int, count: int) -> list[bytes]:
        """The bytes of `count` entries from `start` on; all are below the applied size."""
        entries = [framed[2:] for framed in self._framed(start, count)]
        self.require_whole(enumerate(entries, start=start))
        return entries

    def bundle(self, start: int, count: int) -> bytes:
        """The same entries in the framing of a tile's entry bundle, as they came in batches."""
        framed = self._framed(start, count)
        self.require_whole((index, each[2:]) for index, each in enumerate(framed, start=start))
        return b"".join(framed)

    def require_whole(self, entries: Iterable[tuple[int, bytes]]) -> None:
        """Hold entries, by index, against their hashes in the tiles.

        Raises: StoreDamagedError, naming the first entry that is not what its hash says.
        """
        tile_index, tile = -1, b""
        for index, entry in entries:
            if index // TILE_WIDTH != tile_index:
                tile_index = index // TILE_WIDTH
                tile = self._get("tile", b"\0" + pack_index(tile_index)) or b""
            at = index % TILE_WIDTH * HASH_BYTES
            if leaf_hash(entry) != tile[at : at + HASH_BYTES]:
                raise StoreDamagedError(
                    f"entry {index} and its hash in tile 0/{tile_index} contradict each other"
                )

    def leaves(self, first_index: int) -> bytes:
        """The leaves section of the batch that begins there."""
        leaves = self._get("entries", pack_index(first_index))
        if leaves is None:
            raise StoreDamagedError(f"no batch begins at entry {first_index}")
        return leaves

    def batches(self, from_index: int) -> Iterator[tuple[int, bytes]]:
        """First index and leaves section of batches, from the one that holds an index on."""
        cursor = self._cursor("entries")
        found = seek_at_most(cursor, pack_index(from_index))
        while found:
            key, leaves = _item(cursor)
            yield unpack_index(key), leaves
            found = cursor.next()

    def batches_before(self, end_index: int) -> Iterator[tuple[int, bytes]]:
        """The same, newest first, from the one that holds `end_index` - 1 on."""
        cursor = self._cursor("entries")
        found = end_index > 0 and seek_at_most(cursor, pack_index(end_index - 1))
        while found:
            key, leaves = _item(cursor)
            yield unpack_index(key), leaves
            found = cursor.prev()

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """The first hashes of a tile (`heptad.transparency.tiled_tree.HashReader`)."""
        hashes = self._get("tile", bytes((level,)) + pack_index(index))
        if hashes is None or len(hashes) < width * HASH_BYTES:
            raise TileUnreadableError(f"tile {level}/{index} has not {width} hashes")
        return hashes[: width * HASH_BYTES]

    def spans(self, *, from_ms: int, until_ms: int) -> Iterator[TimeSpan]:
        """Which entries came with blocks of these times, the first included, the last not."""
        cursor = self._cursor("by_time")
        found = cursor.set_range(pack_index(from_ms))
        while found:
            key, value = _item(cursor)
            time_ms = unpack_index(key[:8])
            if time_ms >= until_ms:
                return
            end_index = unpack_index(without_check(b"by_time", key, value))
            yield TimeSpan(time_ms, unpack_index(key[8:]), end_index)
            found = cursor.next()

    def index_at(self, time_ms: int) -> int | None:
        """The first entry of the first block that is not before that time; None if none came."""
        cursor = self._cursor("by_time")
        return unpack_index(_item(cursor)[0][8:]) if cursor.set_range(pack_index(time_ms)) else None

    def postings(self, service: bytes, *, from_index: int = 0) -> Iterator[ServicePosting]:
        """The batches that name a service, from the one that holds `from_index` on."""
        cursor = self._cursor("by_service")
        prefix = service + b"\0"
        found = seek_at_most(cursor, prefix + pack_index(from_index))
        if not found or not _item(cursor)[0].startswith(prefix):
            found = cursor.set_range(prefix)
        while found:
            posting = _posting(cursor, service)
            if posting is None:
                return
            if posting.first_index + posting.offsets[-1] >= from_index:
                yield posting
            found = cursor.next()

    def postings_before(self, service: bytes, end_index: int) -> Iterator[ServicePosting]:
        """The same, newest first: batches that begin before `end_index`."""
        cursor = self._cursor("by_service")
        last = service + b"\0" + pack_index(end_index - 1) if end_index else b""
        found = bool(last) and seek_at_most(cursor, last)
        while found and (posting := _posting(cursor, service)) is not None:
            yield posting
            found = cursor.prev()

    # What is private, and what finds it.

    def sealed(self, index: int) -> bytes | None:
        """The stored record of an entry; None where there is none (any more)."""
        return self._get("sealed", pack_index(index))

    def subject_row(self, row_key: bytes) -> int | None:
        """The index that a row of `by_subject` holds."""
        found = get_row(self._cursor("by_subject"), row_key)
        return _index(found or self._seen(self._recent.subject_row(row_key)))

    def request(self, request_ref: bytes) -> int | None:
        """The lowest index of a request."""
        found = get_row(self._cursor("by_request"), request_ref)
        return _index(found or self._seen(self._recent.request(request_ref)))

    def subject(self, row_key: bytes) -> bytes | None:
        """A row of the registry."""
        return self._get("subject", row_key)

    def duplicates(self, *, count_max: int, from_index: int = 0) -> list[Duplicate]:
        """Duplicates that the log does not state yet, by the index of the later copy."""
        cursor = self._cursor("duplicate")
        rows: list[Duplicate] = []
        found = cursor.set_range(pack_index(from_index))
        while found and len(rows) < count_max:
            key, value = _item(cursor)
            first_index = unpack_index(without_check(b"duplicate", key, value))
            rows.append(Duplicate(unpack_index(key), first_index))
            found = cursor.next()
        return rows

    @property
    def erasures(self) -> ErasureReader:
        """Erasures that were asked for, and holds."""
        return ErasureReader(self._transaction, self._environment.table(ERASURE))

    # Checkpoints.

    def latest_checkpoint(self) -> PublishedCheckpoint | None:
        """The largest published checkpoint."""
        cursor = self._cursor("checkpoint")
        return _checkpoint(cursor) if cursor.last() else None

    def checkpoint(self, size: int) -> PublishedCheckpoint | None:
        """The published checkpoint of exactly this size."""
        note = self._get("checkpoint", pack_index(size))
        return None if note is None else PublishedCheckpoint(note, size)

    def checkpoint_from(self, size_min: int) -> PublishedCheckpoint | None:
        """The smallest published checkpoint of at least this size."""
        cursor = self._cursor("checkpoint")
        return _checkpoint(cursor) if cursor.set_range(pack_index(size_min)) else None

    def checkpoint_sizes(
        self, *, count_max: int, from_size: int | None, newest_first: bool
    ) -> list[int]:
        """Sizes of published checkpoints, from `from_size` on, which is the first if it is one."""
        cursor = self._cursor("checkpoint")
        if from_size is None:
            found = cursor.last() if newest_first else cursor.first()
        elif newest_first:
            found = seek_at_most(cursor, pack_index(from_size))
        else:
            found = cursor.set_range(pack_index(from_size))
        sizes: list[int] = []
        while found and len(sizes) < count_max:
            sizes.append(unpack_index(bytes(cursor.key())))
            found = cursor.prev() if newest_first else cursor.next()
        return sizes

    # The tables themselves.

    def _get(self, table: str, key: bytes) -> bytes | None:
        value = self._transaction.get(key, db=self._environment.table(table))
        return None if value is None else bytes(value)

    def _seen(self, packed_index: bytes | None) -> bytes | None:
        """An index out of the recent rows, unless it came after this snapshot."""
        if packed_index is None:
            return None
        if self._size is None:
            self._size = self.state().size
        return packed_index if unpack_index(packed_index) < self._size else None

    def _cursor(self, table: str) -> lmdb.Cursor:
        return self._transaction.cursor(self._environment.table(table))

    def _framed(self, start: int, count: int) -> list[bytes]:
        """Entries with their u16 lengths in front."""
        framed: list[bytes] = []
        cursor = self._cursor("entries")
        found = seek_at_most(cursor, pack_index(start))
        while found and len(framed) < count:
            key, leaves = _item(cursor)
            skipped = start - unpack_index(key) if not framed else 0
            framed += _slices(leaves, skipped, count - len(framed))
            found = cursor.next()
        if len(framed) != count:
            raise StoreDamagedError(f"{len(framed)} of {count} entries from {start} on are there")
        return framed


def _item(cursor: lmdb.Cursor) -> tuple[bytes, bytes]:
    """Key and value; the environment hands out bytes, never views into the map."""
    key, value = cursor.item()
    return bytes(key), bytes(value)


def _posting(cursor: lmdb.Cursor, service: bytes) -> ServicePosting | None:
    """The posting under the cursor; None if it is another service's."""
    key, value = _item(cursor)
    if key[:-9] != service:
        return None
    offsets = struct.unpack(f">{len(value) // 2}H", value)
    return ServicePosting(service, unpack_index(key[-8:]), offsets)


def _slices(leaves: bytes, skipped: int, count_max: int) -> list[bytes]:
    at, end = 0, len(leaves)
    for _ in range(skipped):
        at += 2 + int.from_bytes(leaves[at : at + 2], "big")
    slices: list[bytes] = []
    while at < end and len(slices) < count_max:
        after = at + 2 + int.from_bytes(leaves[at : at + 2], "big")
        slices.append(leaves[at:after])
        at = after
    return slices


def _index(value: bytes | None) -> int | None:
    return None if value is None else unpack_index(value)


def _checkpoint(cursor: lmdb.Cursor) -> PublishedCheckpoint:
    key, note = _item(cursor)
    return PublishedCheckpoint(note, unpack_index(key))
