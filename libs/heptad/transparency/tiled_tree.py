"""A Merkle tree that lives in tiles: adding leaves, and making proofs in O(log n) reads.

Why tiles and not a row for each node: a tile is the 256 hashes of one height, so that an append
touches one or two tiles a level and a proof reads at most two a level, while the seven heights
between are hashed again when somebody asks. That is the public format too (C2SP tlog-tiles), so
what is stored is what is served.

The store is behind the port `HashReader`. Nothing here writes: `append_leaves` returns the tiles
that changed, each one once, and the ledger puts them, the entries and the new edge into one
transaction. If it crashes before that commits, nothing has happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from heptad.transparency.errors import ProofInvalidError, TileUnreadableError
from heptad.transparency.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    CompactRange,
    fold_edge,
    grow,
    node_hash,
    split_hashes,
)

TILE_HEIGHT = 8
TILE_WIDTH = 256
TILE_BYTES = TILE_WIDTH * HASH_BYTES
UNFOLDED_TILES_MAX = 256
"""Tiles that one `TiledTree` keeps unfolded, about 40 KB each."""


class HashReader(Protocol):
    """Where tiles come from: a database, a folder, an HTTP server."""

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile, 32 bytes each, left to right.

        `level` and `index` are those of tlog-tiles; 1 <= `width` <= 256. The tile may have become
        wider since: only the first `width` hashes are asked for.
        Raises: TileUnreadableError, if the store does not have them.
        """


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile as it stands after an append: `hashes` is 1 to 256 hashes of 32 bytes."""

    level: int
    index: int
    hashes: bytes

    @property
    def width(self) -> int:
        """How many hashes the tile has; 256 is a full one, which never changes again."""
        return len(self.hashes) // HASH_BYTES


@dataclass(frozen=True, slots=True)
class Append:
    """What an append leads to: the new right edge, and every tile that is new or changed."""

    after: CompactRange
    tiles: tuple[Tile, ...]


def append_leaves(
    *, before: CompactRange, leaf_hashes: Sequence[bytes], tiles: HashReader
) -> Append:
    """Add leaves on the right of a stored tree; say what to write, and write nothing.

    Reads one partial tile a level at most. Each touched tile is returned once, whole, by level
    and then by index.
    Raises: TileUnreadableError.
    """
    after, created = grow(before, leaf_hashes)
    changed: list[Tile] = []
    for level, nodes in enumerate(created[::TILE_HEIGHT]):
        index, width = divmod(before.size >> (TILE_HEIGHT * level), TILE_WIDTH)
        head = read_tile(tiles, level=level, index=index, width=width) if width else b""
        content = head + b"".join(nodes)
        changed.extend(
            Tile(level=level, index=index + count, hashes=content[at : at + TILE_BYTES])
            for count, at in enumerate(range(0, len(content), TILE_BYTES))
        )
    return Append(after=after, tiles=tuple(changed))


def read_tile(tiles: HashReader, *, level: int, index: int, width: int) -> bytes:
    """Read through the port and hold it to its promise.

    Raises: TileUnreadableError, also if the answer has another length than was asked for.
    """
    data = tiles.read_tile(level=level, index=index, width=width)
    if len(data) != width * HASH_BYTES:
        raise TileUnreadableError(
            f"tile level {level} index {index}: {len(data)} bytes instead of {width} hashes"
        )
    return data


def inclusion_proof(*, leaf_index: int, tree_size: int, tiles: HashReader) -> list[bytes]:
    """Make one inclusion proof; for several against one size, keep a `TiledTree`."""
    return TiledTree(size=tree_size, tiles=tiles).inclusion_proof(leaf_index)


def consistency_proof(*, old_size: int, new_size: int, tiles: HashReader) -> list[bytes]:
    """Make one consistency proof; for several to one size, keep a `TiledTree`."""
    return TiledTree(size=new_size, tiles=tiles).consistency_proof(old_size)


class TiledTree:
    """The tree of one size, read from tiles.

    It remembers the tiles that it has unfolded, so proofs that share tiles (a block's receipts,
    always the right edge) hash them once. Not for two threads at a time.
    """

    def __init__(self, *, size: int, tiles: HashReader) -> None:
        """Look at the first `size` leaves of what `tiles` holds; reads nothing yet."""
        assert size >= 0, size
        self._size = size
        self._tiles = tiles
        self._unfolded: dict[tuple[int, int], list[list[bytes]]] = {}

    def edge(self) -> CompactRange:
        """Return the right edge of this tree: how a ledger starts again from its store.

        Raises: TileUnreadableError.
        """
        return CompactRange(size=self._size, hashes=tuple(self._perfect_nodes(0, self._size)))

    def root(self) -> bytes:
        """Return the root, 32 bytes. Raises: TileUnreadableError."""
        return self._subtree(0, self._size) if self._size else EMPTY_ROOT

    def inclusion_proof(self, leaf_index: int) -> list[bytes]:
        """Return the 32-byte hashes that lead from a leaf to the root, the leaf's sibling first.

        Raises: ProofInvalidError, if no such leaf is in the tree; TileUnreadableError.
        Source: RFC 9162, section 2.1.3.1.
        """
        if not 0 <= leaf_index < self._size:
            raise ProofInvalidError(
                f"leaf index {leaf_index} is not below the tree size {self._size}"
            )
        return self._path(height=0, index=leaf_index)

    def consistency_proof(self, old_size: int) -> list[bytes]:
        """Return the hashes that prove the first `old_size` leaves to be a prefix of this tree.

        Empty for equal sizes.
        Raises: ProofInvalidError, if 0 < `old_size` <= size does not hold; TileUnreadableError.
        Source: RFC 9162, section 2.1.4.1.
        """
        if not 0 < old_size <= self._size:
            raise ProofInvalidError(
                f"no consistency proof goes from size {old_size} to {self._size}"
            )
        if old_size == self._size:
            return []
        # The last perfect subtree of the old tree is also a node of the new one: start there.
        height = (old_size & -old_size).bit_length() - 1
        index = (old_size - 1) >> height
        is_whole_old_tree = index == 0
        seed = [] if is_whole_old_tree else [self._node(height, index)]
        return seed + self._path(height=height, index=index)

    def node_path(self, *, height: int, index: int) -> list[bytes]:
        """Return the hashes that lead from a perfect node to the root, its sibling first.

        The node is the `index`-th over 2^`height` leaves, and has to be whole in this tree. An
        inclusion proof is this at height 0; it is checked by the same folding, with `index` for the
        leaf's and ((size - 1) >> height) + 1 for the tree's size.
        Raises: ProofInvalidError, if there is no such node; TileUnreadableError.
        """
        if not 0 <= index < self._size >> height:
            raise ProofInvalidError(
                f"no whole node {index} over {1 << height} leaves in a tree of {self._size}"
            )
        return self._path(height=height, index=index)

    def _path(self, *, height: int, index: int) -> list[bytes]:
        """Return the siblings on the way from a node to the root, the lowest first."""
        path = []
        last = (self._size - 1) >> height
        while last:
            sibling = index ^ 1
            if sibling <= last:
                end = min((sibling + 1) << height, self._size)
                path.append(self._subtree(sibling << height, end))
            index, last, height = index >> 1, last >> 1, height + 1
        return path

    def _subtree(self, start: int, end: int) -> bytes:
        """Return the root over leaves `start` <= i < `end`; `start` is aligned as RFC 6962 cuts."""
        return fold_edge(self._perfect_nodes(start, end))

    def _perfect_nodes(self, start: int, end: int) -> list[bytes]:
        nodes = []
        while start < end:
            height = (end - start).bit_length() - 1
            nodes.append(self._node(height, start >> height))
            start += 1 << height
        return nodes

    def _node(self, height: int, index: int) -> bytes:
        level, rise = divmod(height, TILE_HEIGHT)
        tile_index, offset = divmod(index, TILE_WIDTH >> rise)
        return self._rows(level, tile_index)[rise][offset]

    def _rows(self, level: int, index: int) -> list[list[bytes]]:
        """Return a tile's hashes and the perfect nodes above them, one list for each height."""
        rows = self._unfolded.get((level, index))
        if rows is None:
            width = min(TILE_WIDTH, (self._size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH)
            rows = unfold(read_tile(self._tiles, level=level, index=index, width=width))
            while len(self._unfolded) >= UNFOLDED_TILES_MAX:
                del self._unfolded[next(iter(self._unfolded))]
            self._unfolded[level, index] = rows
        return rows


def unfold(tile: bytes) -> list[list[bytes]]:
    """Return the rows of perfect nodes that stand on a tile: first the tile's own hashes."""
    rows = [split_hashes(tile)]
    while len(rows[-1]) > 1:
        row = rows[-1]
        rows.append([node_hash(a, b) for a, b in zip(row[::2], row[1::2], strict=False)])
    return rows
