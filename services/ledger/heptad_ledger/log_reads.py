"""What the ledger answers about its log: everything in here is public and under a checkpoint.

Entries, proofs and tiles are given only as far as a published checkpoint reaches: what a client
gets, it can check. Only the status of a request looks further, at what is applied.

Proofs are made from tiles (`heptad.transparency.tiled_tree`); the tree of a size remembers the
tiles that it has unfolded, and the trees of the last few sizes are kept.

No proof leaves that does not hold, and no tile that its parent, or the checkpoint, does not bear
out: a disk may have changed a bit. What is found damaged is a StoreDamagedError, which the door
logs with its text, and the caller hears `internal_error`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.errors import FormatError, ProofInvalidError, TransparencyError
from heptad.transparency.merkle import HASH_BYTES, verify_consistency, verify_inclusion
from heptad.transparency.notes import Note
from heptad.transparency.receipt import Receipt
from heptad.transparency.tiled_tree import TILE_HEIGHT, TILE_WIDTH, TiledTree, unfold
from heptad.transparency.tiles import CHECKPOINT_PATH, TilePath
from heptad_ledger.bundles import bundle_at, path_in_bundle
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.store import LogStore, Snapshot

TREES_KEPT_MAX: Final = 8
REQUEST_ID_BYTES: Final = 32
_NO_BUNDLE: Final = "this is a request and no bundle: it has no events"


class StoreTiles:
    """Tiles out of whatever the store holds now; a tree of an older size asks for less of them."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """See `heptad.transparency.tiled_tree.HashReader`."""
        with self._store.snapshot() as snapshot:
            return snapshot.read_tile(level=level, index=index, width=width)


@dataclass(frozen=True, slots=True)
class _Proved:
    """A tree, and the root that it was proved to have."""

    tree: TiledTree
    root: bytes


class LogReads:
    """Reads of the public log. `latest` gives the latest published checkpoint."""

    def __init__(
        self,
        *,
        store: LogStore,
        latest: Callable[[], PublishedCheckpoint | None],
        index_key: Callable[[], bytes],
        require_settled: Callable[[], None] = lambda: None,
    ) -> None:
        """`require_settled` raises a Problem while requests may be found that were erased."""
        self._require_settled = require_settled
        self._store = store
        self._latest = latest
        self._index_key = index_key
        self.tiles = StoreTiles(store)
        """The log's tiles, for proofs."""
        self._trees: OrderedDict[int, _Proved] = OrderedDict()

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
        return InclusionProof(index, size, self._proof(index, size))

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
        with self._proving(size) as proved:
            first_root = self._proved(first_size).root
            proof = proved.tree.consistency_proof(first_size)
            verify_consistency(
                old_size=first_size,
                new_size=size,
                old_root=first_root,
                new_root=proved.root,
                proof=proof,
            )
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
        return self.receipt_at(index)[0]

    def receipt_at(self, index: int) -> tuple[RequestReceipt, int]:
        """The receipt of an applied entry, under the first checkpoint that covers it, and how many
        entries that one covers. Raises: Problem `receipt_pending`.
        """
        with self._store.snapshot() as snapshot:
            checkpoint = snapshot.checkpoint_from(index + 1)
            entry = snapshot.entry(index)
        latest = self._latest()
        # A checkpoint is in the store a moment before it is served, and nothing is served under it.
        if checkpoint is None or latest is None or checkpoint.size > latest.size:
            raise Problem("receipt_pending", f"entry {index} is not published", retry_after_s=1)
        receipt = RequestReceipt(entry, self._proof_file(index, checkpoint), index)
        return receipt, checkpoint.size

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
            inclusion=self._proof(bundle_index, checkpoint.size),
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
                raise Problem("not_found", "no checkpoint of this log has this tile", field="path")
            if tile.level is None:
                return snapshot.bundle(tile.index * TILE_WIDTH, tile.width)
            hashes = snapshot.read_tile(level=tile.level, index=tile.index, width=tile.width)
            _require_whole(tile, hashes, snapshot)
            return hashes

    def _proof_file(self, index: int, checkpoint: PublishedCheckpoint) -> bytes:
        hashes = self._proof(index, checkpoint.size)
        return Receipt(index, hashes, checkpoint.note).encode()

    def _proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """An inclusion proof, held against the leaf's hash and the root. Raises: as `_proving`."""
        with self._proving(size) as proved:
            tile_index, place = divmod(index, TILE_WIDTH)
            tile = self.tiles.read_tile(level=0, index=tile_index, width=place + 1)
            proof = proved.tree.inclusion_proof(index)
            verify_inclusion(
                leaf_index=index,
                tree_size=size,
                leaf_hash=tile[place * HASH_BYTES :],
                proof=proof,
                root_hash=proved.root,
            )
        return tuple(proof)

    @contextmanager
    def _proving(self, size: int) -> Iterator[_Proved]:
        """The tree of a size; all trees are forgotten if what is made of it does not hold.

        Raises: StoreDamagedError.
        """
        try:
            yield self._proved(size)
        except TransparencyError as error:
            self._trees.clear()
            raise StoreDamagedError(f"the tiles of {size} entries: {error}") from error

    def _proved(self, size: int) -> _Proved:
        """The tree of a size, whose root was signed, or leads to one that was.

        Raises: TransparencyError.
        """
        proved = self._trees.pop(size, None) or self._prove(size)
        self._trees[size] = proved
        while len(self._trees) > TREES_KEPT_MAX:
            self._trees.popitem(last=False)
        return proved

    def _prove(self, size: int) -> _Proved:
        tree = TiledTree(size=size, tiles=self.tiles)
        root, published = tree.root(), self._require_latest()
        if size != published.size:
            with self._store.snapshot() as snapshot:
                published = snapshot.checkpoint(size) or published
        if size == published.size:
            _require_root(root, published)
        else:
            latest = self._proved(published.size)
            verify_consistency(
                old_size=size,
                new_size=published.size,
                old_root=root,
                new_root=latest.root,
                proof=latest.tree.consistency_proof(size),
            )
        return _Proved(tree, root)

    def _index_of(self, request_id: bytes, snapshot: Snapshot) -> int | None:
        if len(request_id) != REQUEST_ID_BYTES:
            raise Problem(
                "parameter_invalid",
                f"a request id has {REQUEST_ID_BYTES} bytes, not {len(request_id)}",
                field="request_id",
            )
        self._require_settled()
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


def _require_whole(tile: TilePath, hashes: bytes, snapshot: Snapshot) -> None:
    """Hold a tile against its parent, or an edge tile against the root of the tree that ends there.

    Raises: StoreDamagedError.
    """
    assert tile.level is not None
    if tile.width == TILE_WIDTH:
        parent, place = divmod(tile.index, TILE_WIDTH)
        row = snapshot.read_tile(level=tile.level + 1, index=parent, width=place + 1)
        is_whole = unfold(hashes)[-1][0] == row[place * HASH_BYTES :]
    else:
        unit = TILE_HEIGHT * tile.level
        end = (tile.index * TILE_WIDTH + tile.width) << unit
        checkpoint = snapshot.checkpoint_from(end)
        assert checkpoint is not None, f"no checkpoint of {end} entries, and {tile} is served"
        tree = TiledTree(size=checkpoint.size, tiles=snapshot)
        is_whole = tree.root() == _root_of(checkpoint)
    if not is_whole:
        raise StoreDamagedError(f"tile {tile.level}/{tile.index} is not what its root says")


def _require_root(root: bytes, checkpoint: PublishedCheckpoint) -> None:
    """Raises: ProofInvalidError; StoreDamagedError."""
    if root != (signed := _root_of(checkpoint)):
        raise ProofInvalidError(f"their root is {root.hex()}, and {signed.hex()} was signed")


def _root_of(checkpoint: PublishedCheckpoint) -> bytes:
    """The root that was signed. Raises: StoreDamagedError."""
    try:
        return Checkpoint.parse(Note.parse(checkpoint.note).text).root
    except TransparencyError as error:
        raise StoreDamagedError(f"checkpoint {checkpoint.size}: {error}") from error
