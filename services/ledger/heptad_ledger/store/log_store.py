"""The log's store: one transaction and one fsync for each wave of committed blocks.

If the process dies before a transaction commits, nothing of the wave has happened: blocks are then
fetched again, and the same rows come out. If it dies after, all of it is there. So there is no
recovery code: opening the store is reading one row, and the right edge in that row is held against
the tiles, which finds a file that was copied or repaired badly before anything is served from it.

`write` and `publish` belong to one thread. `snapshot` may be used from any.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import lmdb

from heptad.transparency.errors import TransparencyError
from heptad.transparency.merkle import HASH_BYTES
from heptad.transparency.tiled_tree import TILE_HEIGHT, TILE_WIDTH, TiledTree
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.store.checked import with_check
from heptad_ledger.store.edit import Edit
from heptad_ledger.store.environment import Environment
from heptad_ledger.store.erasure_table import TABLE as ERASURE
from heptad_ledger.store.erasure_table import ErasureWriter
from heptad_ledger.store.keeping import keep_value, kept_value
from heptad_ledger.store.private_tables import PrivateTables, PutRows, Rows
from heptad_ledger.store.snapshot import Duplicate, Snapshot
from heptad_ledger.store.state import AppliedState
from heptad_ledger.store.totals import drop_totals, put_totals, read_totals, recount
from heptad_ledger.store.wave import Totals, Wave, pack_index, unpack_index

SCHEMA: Final = b"3"
_LEVELS_MAX: Final = 8


class EdgeTiles:
    """The last tile of each level, in memory: all that an append ever reads."""

    def __init__(self, tiles: dict[int, tuple[int, bytes]]) -> None:
        """Take level -> (index, hashes)."""
        self._tiles = tiles

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """See `heptad.transparency.tiled_tree.HashReader`."""
        last_index, hashes = self._tiles[level]
        assert last_index == index, (level, index, last_index)
        return hashes[: width * HASH_BYTES]

    def replace(self, level: int, index: int, hashes: bytes) -> None:
        """Let a tile be the last of its level; call by ascending index."""
        self._tiles[level] = (index, hashes)

    def copy(self) -> "EdgeTiles":
        """An independent copy, for a wave that may yet fail."""
        return EdgeTiles(dict(self._tiles))


class LogStore:
    """The open store of one cell's log."""

    def __init__(
        self,
        environment: Environment,
        *,
        state: AppliedState,
        edge_tiles: EdgeTiles,
        private: PrivateTables,
    ) -> None:
        self._environment = environment
        self._private = private
        self.state = state
        """The last durable state."""
        self.edge_tiles = edge_tiles
        """The last tile of each level, as durable."""

    @classmethod
    def open(cls, folder: Path, *, origin: str, genesis: AppliedState, map_bytes_max: int) -> Self:
        """Open the store in `folder`, or create it with the state `genesis`.

        Raises: StoreInUseError; StoreFullError; StoreDamagedError, also for another cell's store.
        """
        environment = Environment(folder, map_bytes_max=map_bytes_max)
        try:
            _begin(environment, origin=origin, genesis=genesis)
            private = PrivateTables(environment)
            with environment.reading() as transaction:
                snapshot = Snapshot(transaction, environment, private.view())
                state = snapshot.state()
                edge_tiles = _checked_edge(snapshot, state)
        except BaseException:
            environment.close()
            raise
        return cls(environment, state=state, edge_tiles=edge_tiles, private=private)

    def close(self) -> None:
        """Close the files; every snapshot must have ended."""
        self._environment.close()

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """A consistent view. Keep it short: while it is open, freed pages are not used again."""
        recent = self._private.view()
        with self._environment.reading() as transaction:
            yield Snapshot(transaction, self._environment, recent)

    def write(self, wave: Wave) -> tuple[Duplicate, ...]:
        """Make a wave durable; return the later copies of requests that it brought.

        Raises: StoreFullError, StoreDamagedError; then nothing has changed.
        """
        put: PutRows | None = None
        try:
            with self._environment.writing() as transaction:
                self._put_log(transaction, wave)
                self._append(transaction, "sealed", wave.sealed)
                self._put(transaction, "subject", wave.subjects)
                settled = self._private.settle(transaction, wave.by_request)
                put = self._private.put(
                    transaction,
                    by_subject=wave.by_subject,
                    by_request=settled.first,
                    first_index=self.state.size,
                    until_index=wave.state.size,
                )
                put_totals(transaction, self._environment, wave.totals, size=wave.state.size)
                erasures = ErasureWriter(transaction, self._environment.table(ERASURE))
                erasures.queue(wave.queued)
                state = self._put_state(transaction, wave, settled.later)
        except BaseException:
            if put is not None:
                self._private.undone(put)
            raise
        self._private.written(put)
        self.state = state
        for level, index in sorted(wave.tiles):
            self.edge_tiles.replace(level, index, wave.tiles[level, index])
        return tuple(Duplicate(unpack_index(row[0]), unpack_index(row[1])) for row in settled.later)

    @contextmanager
    def editing(self) -> Iterator[Edit]:
        """Delete what is private, and change cases of erasure: durable when the block ends.

        Undone if the block raises. Raises: StoreFullError, StoreDamagedError.
        """
        with self._environment.writing() as transaction:
            edit = Edit(transaction, self._environment, self._private)
            yield edit
        for rows in edit.deleted:
            self._private.deleted(rows)

    def settle(self) -> None:
        """Put all rows that wait into their tables.

        Raises: StoreFullError, StoreDamagedError.
        """
        with self._environment.writing() as transaction:
            put = self._private.merge_all(transaction, until_index=self.state.size)
        self._private.written(put)

    def publish(self, size: int, note: bytes) -> None:
        """Keep a checkpoint: when this returns it is durable, and may be served.

        Raises: StoreFullError, StoreDamagedError.
        """
        with self._environment.writing() as transaction:
            table = self._environment.table("checkpoint")
            is_new = transaction.put(pack_index(size), note, db=table, overwrite=False)
            assert is_new, f"checkpoint {size} is published already"

    def totals(self) -> tuple[int, Totals, int]:
        """How many entries are counted, their totals, and how many services there are."""
        with self._environment.reading() as transaction:
            return read_totals(transaction, self._environment)

    def count_again(self) -> None:
        """Make the totals anew from the entries, unless they count all of them.

        Raises: StoreFullError, StoreDamagedError.
        """
        if self.totals()[0] == self.state.size:
            return
        with self.snapshot() as snapshot:
            totals = recount(snapshot)
        with self._environment.writing() as transaction:
            drop_totals(transaction, self._environment)
            put_totals(transaction, self._environment, totals, size=self.state.size)

    def keep(self, name: str, value: bytes) -> None:
        """Keep a small value of the ledger's own, durably. Raises: StoreFullError."""
        with self._environment.writing() as transaction:
            keep_value(transaction, self._environment, name, value)

    def kept(self, name: str) -> bytes | None:
        """What was kept under that name. Raises: StoreDamagedError."""
        with self._environment.reading() as transaction:
            return kept_value(transaction, self._environment, name)

    def used_bytes(self) -> int:
        """Size of the data file."""
        return self._environment.used_bytes()

    def _put_log(self, transaction: lmdb.Transaction, wave: Wave) -> None:
        self._append(transaction, "entries", wave.leaves)
        tiles = [
            (bytes((level,)) + pack_index(index), hashes)
            for (level, index), hashes in sorted(wave.tiles.items())
        ]
        self._put(transaction, "tile", tiles)
        spans = [
            (key, with_check(b"by_time", key, pack_index(span.end_index)))
            for span in wave.spans
            for key in (pack_index(span.time_ms) + pack_index(span.first_index),)
        ]
        self._put(transaction, "by_time", spans)
        self._put(transaction, "by_service", [posting.row() for posting in wave.postings])

    def _put_state(self, transaction: lmdb.Transaction, wave: Wave, later: Rows) -> AppliedState:
        checked = [(key, with_check(b"duplicate", key, first)) for key, first in later]
        self._append(transaction, "duplicate", checked)
        for stated in wave.stated:
            transaction.delete(stated, db=self._environment.table("duplicate"))
        state = replace(wave.state, duplicates=self.state.duplicates + len(later))
        row = with_check(b"meta", b"state", state.encode())
        transaction.put(b"state", row, db=self._environment.table("meta"))
        return state

    def _put(self, transaction: lmdb.Transaction, table: str, rows: Rows) -> None:
        if rows:
            with transaction.cursor(self._environment.table(table)) as cursor:
                cursor.putmulti(rows)

    def _append(self, transaction: lmdb.Transaction, table: str, rows: Rows) -> None:
        """Put rows behind all that are there, which fills pages to the brim."""
        if rows:
            with transaction.cursor(self._environment.table(table)) as cursor:
                consumed, added = cursor.putmulti(rows, append=True)
            assert consumed == added == len(rows), f"{table}: a row is not behind the last one"


def _begin(environment: Environment, *, origin: str, genesis: AppliedState) -> None:
    """Write the first rows of a new store, or hold those of an old one against this cell."""
    identity = {b"schema": SCHEMA, b"origin": origin.encode(), b"genesis": genesis.block_id}
    meta = environment.table("meta")
    with environment.writing() as transaction:
        for key, value in identity.items():
            if transaction.put(key, value, db=meta, overwrite=False):
                continue
            found = transaction.get(key, db=meta)
            if found != value:
                raise StoreDamagedError(
                    f"the store's {key.decode()} is {found!r}, this ledger's is {value!r}"
                )
        row = with_check(b"meta", b"state", genesis.encode())
        transaction.put(b"state", row, db=meta, overwrite=False)


def _checked_edge(snapshot: Snapshot, state: AppliedState) -> EdgeTiles:
    """The last tiles, after proving that they lead to the edge that the state holds."""
    tiles: dict[int, tuple[int, bytes]] = {}
    try:
        edge = TiledTree(size=state.size, tiles=snapshot).edge()
        for level in range(_LEVELS_MAX):
            hashes = state.size >> (TILE_HEIGHT * level)
            if hashes == 0:
                break
            index, width = divmod(hashes - 1, TILE_WIDTH)
            content = snapshot.read_tile(level=level, index=index, width=width + 1)
            tiles[level] = (index, content)
    except TransparencyError as error:
        raise StoreDamagedError(f"the tiles of {state.size} entries: {error}") from error
    if edge != state.edge:
        raise StoreDamagedError(
            f"the tiles of {state.size} entries lead to root {edge.root().hex()}, "
            f"the state says {state.edge.root().hex()}"
        )
    return EdgeTiles(tiles)
