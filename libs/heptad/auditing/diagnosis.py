"""What is wrong, when the arithmetic does not come out: two histories, or a file that was altered.

All of it is made out of the log's own tiles, and none of it believes them: a path counts only if it
folds to a root that was signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.errors import ProofInvalidError, TileUnreadableError
from heptad.transparency.merkle import HASH_BYTES, verify_consistency, verify_inclusion
from heptad.transparency.tiled_tree import TILE_WIDTH, HashReader, Tile, TiledTree
from heptad.transparency.tiles import TilePath, width_at
from heptad.verification.logs import ReadPath


@dataclass(frozen=True, slots=True)
class Relation:
    """How the greater of two signed trees stands to the smaller: proved, one way or the other.

    `root_before` is the root that the greater had at the smaller's size, and `hashes` proves it.
    """

    is_fork: bool
    root_before: bytes = b""
    hashes: tuple[bytes, ...] = ()


def relate(smaller: Checkpoint, larger: Checkpoint, read: ReadPath) -> Relation | None:
    """Is the smaller a prefix of the larger? None if the tiles behind `read` prove neither.

    Raises: whatever `read` raises.
    """
    if smaller.size == larger.size:
        return Relation(is_fork=smaller.root != larger.root)
    if smaller.size == 0:
        return Relation(is_fork=False)
    tiles = TilesAt(read, size=larger.size)
    try:
        before = TiledTree(size=smaller.size, tiles=tiles).root()
        proof = TiledTree(size=larger.size, tiles=tiles).consistency_proof(smaller.size)
        verify_consistency(
            old_size=smaller.size,
            new_size=larger.size,
            old_root=before,
            new_root=larger.root,
            proof=proof,
        )
    except (TileUnreadableError, ProofInvalidError):
        return None
    return Relation(before != smaller.root, before, tuple(proof))


def path_to_root(
    head: Checkpoint, *, height: int, index: int, expected: bytes, tiles: HashReader
) -> tuple[bytes, ...] | None:
    """The hashes that prove a node to be `expected` under a head; None if the tiles do not."""
    try:
        path = TiledTree(size=head.size, tiles=tiles).node_path(height=height, index=index)
        verify_inclusion(
            leaf_index=index,
            tree_size=((head.size - 1) >> height) + 1,
            leaf_hash=expected,
            proof=path,
            root_hash=head.root,
        )
    except (TileUnreadableError, ProofInvalidError):
        return None
    return tuple(path)


class TilesAt:
    """The tiles that a log of one size serves, for every tree up to that size.

    A smaller tree ends within tiles that have grown since, so its own partial ones need not be
    there (nor ever have been, if that size was never published).
    """

    def __init__(self, read: ReadPath, *, size: int) -> None:
        self._read = read
        self._size = size

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """See `HashReader`."""
        grown = width_at(tree_size=self._size, level=level, index=index)
        for wide in sorted({grown, TILE_WIDTH} - {0}):
            data = self._read(TilePath(level=level, index=index, width=wide).format())
            if data is not None and len(data) == wide * HASH_BYTES:
                return data[: width * HASH_BYTES]
        raise TileUnreadableError(f"tile level {level} index {index} of size {self._size}")


class MendedTiles:
    """The log's tiles, with ours in place of those that are known to be wrong."""

    def __init__(self, served: HashReader, ours: Mapping[tuple[int, int], Tile]) -> None:
        self._served = served
        self._ours = ours

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """See `HashReader`."""
        tile = self._ours.get((level, index))
        if tile is not None and tile.width >= width:
            return tile.hashes[: width * HASH_BYTES]
        return self._served.read_tile(level=level, index=index, width=width)
