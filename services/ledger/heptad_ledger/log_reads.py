"""What the ledger answers about its log: everything in here is public and under a checkpoint.

Entries, proofs and tiles are given only as far as a published checkpoint reaches: what a client
gets, it can check. Only the status of a request looks further, at what is applied.

Proofs are made from tiles (`heptad.transparency.tiled_tree`); the tree of a size remembers the
tiles that it has unfolded, and the trees of the last few sizes are kept.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from heptad.crypto.derivation import request_ref
from heptad.model.answers import RequestState
from heptad.model.log_reads import (
    BundleMembership,
    ConsistencyProof,
    InclusionProof,
    PublishedCheckpoint,
    RequestReceipt,
    RequestStatus,
)
from heptad.model.problems import Problem
from heptad.model.requests import request_id_of
from heptad.transparency.errors import FormatError
from heptad.transparency.receipt import Receipt
from heptad.transparency.tiled_tree import TILE_HEIGHT, TILE_WIDTH, TiledTree
from heptad.transparency.tiles import CHECKPOINT_PATH, TilePath
from heptad_ledger.bundles import bundle_at, path_in_bundle
from heptad_ledger.store import LogStore, Snapshot

TREES_KEPT_MAX: Final = 8
REQUEST_ID_BYTES: Final = 32
_NO_BUNDLE: Final = "this is a request and no bundle: it has no events"


class _StoreTiles:
    """Tiles out of whatever the store holds now; a tree of an older size asks for less of them."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """See `heptad.transparency.tiled_tree.HashReader`."""
        with self._store.snapshot() as snapshot:
            return snapshot.read_tile(level=level, index=index, width=width)


class LogReads:
    """Reads of the public log. `latest` gives the latest published checkpoint."""

    def __init__(
        self,
        *,
        store: LogStore,
        latest: Callable[[], PublishedCheckpoint | None],
        index_key: Callable[[], bytes],
    ) -> None:
        self._store = store
        self._latest = latest
        self._index_key = index_key
        self.tiles = _StoreTiles(store)
        """The log's tiles, for proofs."""
        self._trees: OrderedDict[int, TiledTree] = OrderedDict()

    def checkpoint(self, size: int) -> PublishedCheckpoint:
        """The checkpoint of that size; 0: the latest.

        Raises: Problem `checkpoint_pending`, `not_found`.
        """
        latest = self._require_latest()
        if size in (0, latest.size):
            return latest
        with self._store.snapshot() as snapshot:
            found = snapshot.checkpoint(size)
        if found is None:
            raise Problem("not_found", f"no checkpoint of size {size} was published", field="size")
        return found

    def entry(self, index: int) -> bytes:
        """One entry. Raises: Problem `index_out_of_range`, `checkpoint_pending`."""
        self._require_index(index)
        with self._store.snapshot() as snapshot:
            return snapshot.entry(index)

    def inclusion_proof(self, index: int, tree_size: int) -> InclusionProof:
        """Proves an entry to be in the tree of a size; 0: of the latest checkpoint.

        Raises: Problem `index_out_of_range`, `checkpoint_pending`.
        """
        size = self._require_size(tree_size, field="tree_size")
        if index >= size:
            raise Problem("index_out_of_range", f"index {index} in a tree of {size}", field="index")
        return InclusionProof(index, size, tuple(self._tree(size).inclusion_proof(index)))

    def consistency_proof(self, first_size: int, second_size: int) -> ConsistencyProof:
        """Proves one tree to continue another; second size 0: that of the latest checkpoint.

        Raises: Problem `index_out_of_range`, `parameter_invalid`, `checkpoint_pending`.
        """
        size = self._require_size(second_size, field="second_size")
        if not 0 < first_size <= size:
            raise Problem(
                "parameter_invalid",
                f"first_size {first_size} is not in 1..{size}",
                field="first_size",
            )
        proof = self._tree(size).consistency_proof(first_size)
        return ConsistencyProof(first_size, size, tuple(proof))

    def latest_proof_file(self, index: int) -> bytes:
        """A tlog-proof file for an entry under the latest checkpoint, which covers it."""
        return self._proof_file(index, self._require_latest())

    def receipt(self, request_id: bytes) -> RequestReceipt:
        """The receipt of a request, under the first checkpoint that covers it: always the same.

        Raises: Problem `request_unknown`, `receipt_pending`, `parameter_invalid`.
        """
        with self._store.snapshot() as snapshot:
            index = self._index_of(request_id, snapshot)
            if index is None:
                raise Problem("request_unknown", "the log has no such request", retry_after_s=1)
            checkpoint = snapshot.checkpoint_from(index + 1)
            entry = snapshot.entry(index)
        if checkpoint is None:
            raise Problem("receipt_pending", f"entry {index} is not published", retry_after_s=1)
        return RequestReceipt(entry, self._proof_file(index, checkpoint), index)

    def event_receipt(self, request_id: bytes, event: int) -> RequestReceipt:
        """The receipt of event number `event` (from 0) of a bundle, and its place in the bundle.

        Raises: Problem `request_unknown`, `receipt_pending`, `parameter_invalid`.
        """
        with self._store.snapshot() as snapshot:
            bundle_index = self._index_of(request_id, snapshot)
            if bundle_index is None:
                raise Problem("request_unknown", "the log has no such bundle", retry_after_s=1)
            entries = bundle_at(snapshot, bundle_index)
            checkpoint = snapshot.checkpoint_from(bundle_index + len(entries))
        if not event + 1 < len(entries):
            detail = f"the bundle has {len(entries) - 1} events, from 0" if entries else _NO_BUNDLE
            raise Problem("parameter_invalid", detail, field="event")
        if checkpoint is None:
            detail = f"entry {bundle_index} is not published"
            raise Problem("receipt_pending", detail, retry_after_s=1)
        index = bundle_index + 1 + event
        membership = BundleMembership(
            index=bundle_index,
            entry=entries[0],
            inclusion=tuple(self._tree(checkpoint.size).inclusion_proof(bundle_index)),
            path=path_in_bundle(entries, event),
        )
        proof = self._proof_file(index, checkpoint)
        return RequestReceipt(entries[event + 1], proof, index, membership)

    def request_status(self, request_id: bytes) -> RequestStatus:
        """How far a request has come. Raises: Problem `parameter_invalid`."""
        with self._store.snapshot() as snapshot:
            state = snapshot.state()
            index = self._index_of(request_id, snapshot)
            entry = b"" if index is None else snapshot.entry(index)
        if index is None:
            return RequestStatus(RequestState.UNKNOWN, 0, b"", False, state.time_ms)
        latest = self._latest()
        is_ready = latest is not None and index < latest.size
        return RequestStatus(RequestState.COMMITTED, index, entry, is_ready, state.time_ms)

    def tile(self, path: str) -> bytes:
        """One tile, entry bundle, or the latest checkpoint's note.

        Full ones, and partial ones of published sizes. Raises: Problem `parameter_invalid`,
        `not_found`, `checkpoint_pending`.
        """
        if path == CHECKPOINT_PATH:
            return self._require_latest().note
        try:
            tile = TilePath.parse(path)
        except FormatError as error:
            raise Problem("parameter_invalid", str(error), field="path") from error
        published = self._require_latest().size
        with self._store.snapshot() as snapshot:
            if not _is_published(tile, published, snapshot):
                raise Problem("not_found", f"no checkpoint of this log has {path}", field="path")
            if tile.level is None:
                return snapshot.bundle(tile.index * TILE_WIDTH, tile.width)
            return snapshot.read_tile(level=tile.level, index=tile.index, width=tile.width)

    def _proof_file(self, index: int, checkpoint: PublishedCheckpoint) -> bytes:
        hashes = self._tree(checkpoint.size).inclusion_proof(index)
        return Receipt(index, tuple(hashes), checkpoint.note).encode()

    def _tree(self, size: int) -> TiledTree:
        tree = self._trees.pop(size, None) or TiledTree(size=size, tiles=self.tiles)
        self._trees[size] = tree
        while len(self._trees) > TREES_KEPT_MAX:
            self._trees.popitem(last=False)
        return tree

    def _index_of(self, request_id: bytes, snapshot: Snapshot) -> int | None:
        if len(request_id) != REQUEST_ID_BYTES:
            raise Problem(
                "parameter_invalid",
                f"a request id has {REQUEST_ID_BYTES} bytes, not {len(request_id)}",
                field="request_id",
            )
        name = request_id_of(request_id)
        return snapshot.request(request_ref(cell_index_key=self._index_key(), request_id=name))

    def _require_latest(self) -> PublishedCheckpoint:
        latest = self._latest()
        if latest is None:
            raise Problem("checkpoint_pending", "nothing is published yet", retry_after_s=1)
        return latest

    def _require_size(self, size: int, *, field: str) -> int:
        published = self._require_latest().size
        if size > published:
            raise Problem(
                "index_out_of_range", f"size {size}, published are {published}", field=field
            )
        return size or published

    def _require_index(self, index: int) -> int:
        published = self._require_latest().size
        if index >= published:
            raise Problem(
                "index_out_of_range", f"index {index}, published are {published}", field="index"
            )
        return published


def _is_published(tile: TilePath, published: int, snapshot: Snapshot) -> bool:
    """Whether some published tree has this very tile.

    A full one is in every tree from some size on. A partial one is in the trees whose size, in
    units of this level, is exactly its end: if one of those sizes was published.
    """
    unit = TILE_HEIGHT * (tile.level or 0)
    end = tile.index * TILE_WIDTH + tile.width
    if end > published >> unit:
        return False
    if tile.width == TILE_WIDTH:
        return True
    checkpoint = snapshot.checkpoint_from(end << unit)
    return checkpoint is not None and checkpoint.size >> unit == end
