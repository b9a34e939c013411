"""A tree that grows from entries alone, kept as the tiles of its right edge.

Why tiles and not a compact range: whoever reads a log compares the log's tiles with its own
arithmetic, also those that were begun before it last stopped; a partial tile of each level is what
that takes, at most eight and 64 KiB for any log there will be, and the compact range follows from
them. The log's own tiles are never read here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from heptad.transparency.merkle import CompactRange
from heptad.transparency.tiled_tree import TILE_WIDTH, Tile, TiledTree, append_leaves
from heptad.transparency.tiles import partial_tiles


@dataclass(frozen=True, slots=True)
class OpenTree:
    """A tree of `edge.size` leaves; `open_tiles` are its partial tiles by level."""

    edge: CompactRange = field(default_factory=CompactRange.empty)
    open_tiles: Mapping[int, Tile] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of_tiles(cls, *, size: int, hashes: Mapping[int, bytes]) -> Self:
        """The tree whose partial tile of each level has these hashes, 32 bytes each.

        Raises: TileUnreadableError, if a level's tile is missing or has another width.
        """
        paths = [path for path in partial_tiles(size) if path.level is not None]
        tiles = {
            path.level: Tile(path.level, path.index, hashes.get(path.level, b""))
            for path in paths
            if path.level is not None
        }
        unproven = cls(CompactRange.empty(), MappingProxyType(tiles))
        edge = TiledTree(size=size, tiles=unproven).edge()
        return cls(edge, unproven.open_tiles)

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """The port that `append_leaves` reads through: only ever one of the partial tiles."""
        tile = self.open_tiles.get(level)
        return b"" if tile is None or tile.index != index else tile.hashes[: width * 32]

    def grown(self, leaf_hashes: Sequence[bytes]) -> tuple["OpenTree", list[Tile]]:
        """The tree with these leaves added on the right, and the tiles that became full."""
        append = append_leaves(before=self.edge, leaf_hashes=leaf_hashes, tiles=self)
        open_tiles, full = dict(self.open_tiles), []
        for tile in append.tiles:
            if tile.width == TILE_WIDTH:
                open_tiles.pop(tile.level, None)
                full.append(tile)
            else:
                open_tiles[tile.level] = tile
        return OpenTree(append.after, MappingProxyType(open_tiles)), full
