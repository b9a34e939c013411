"""The public layout of the log: tile paths, tile widths, entry bundles (C2SP tlog-tiles).

Why so strict: tiles are cached for ever under their path, by caches nobody here controls. So a
tile has exactly one path and a path means exactly one tile; `tile/0/x000/001` and `tile/0/1` are
refused, not understood. Entry bundles use the framing that batches already have on their way in,
so a bundle is a slice of bytes that were signed, never a re-serialisation.

Source: c2sp.org/tlog-tiles.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from heptad.transparency.errors import FormatError, TileUnreadableError
from heptad.transparency.merkle import HASH_BYTES, SIZE_MAX
from heptad.transparency.tiled_tree import TILE_HEIGHT, TILE_WIDTH

CHECKPOINT_PATH = "checkpoint"
LEVEL_MAX = 63
ENTRY_BYTES_MAX = 65_535
"""What the u16 length in front of an entry can say."""

_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)"
    r"/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class TilePath:
    """The name of one tile, or of one entry bundle (then `level` is None).

    `index` counts tiles of the level from the left. `width` is 1 to 255 for a partial tile and 256
    for a full one.
    Raises: FormatError, on construction, for what no tree can have.
    """

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        """Refuse coordinates outside of the largest tree."""
        if self.level is not None and not 0 <= self.level <= LEVEL_MAX:
            raise FormatError(f"tile level {self.level} is not in 0..{LEVEL_MAX}")
        if not 1 <= self.width <= TILE_WIDTH:
            raise FormatError(f"tile width {self.width} is not in 1..{TILE_WIDTH}")
        if not 0 <= self.index * TILE_WIDTH < SIZE_MAX:
            raise FormatError(f"tile index {self.index} is outside of every tree")

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`, without a leading slash.

        Raises: FormatError for anything but the one canonical spelling.
        """
        found = _PATH.fullmatch(path)
        if found is None or found["index"].startswith("x000"):
            raise FormatError("not a canonical tile path")
        level, width = found["level"], int(found["width"] or TILE_WIDTH)
        if found["width"] and width >= TILE_WIDTH:
            raise FormatError(f"a partial tile is at most 255 wide, not {width}")
        return cls(
            level=None if level == "entries" else int(level),
            index=int(found["index"].replace("x", "").replace("/", "")),
            width=width,
        )

    def format(self) -> str:
        """Return the canonical path, without a leading slash: `tile/0/x001/x234/067.p/12`."""
        level = "entries" if self.level is None else self.level
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{_format_index(self.index)}{partial}"


def _format_index(index: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    return "/".join(reversed(groups))


def width_at(*, tree_size: int, level: int | None, index: int) -> int:
    """Say how wide a tile is in a tree of this size: 0 if it does not exist, 256 if it is full.

    Entry bundles (`level` None) are as wide as the level-0 tiles beside them.
    """
    hashes = tree_size >> (TILE_HEIGHT * (level or 0))
    return max(0, min(TILE_WIDTH, hashes - index * TILE_WIDTH))


def exists(path: TilePath, *, tree_size: int) -> bool:
    """Tell whether a tree of this size holds that tile, perhaps as a part of a wider one."""
    return path.width <= width_at(tree_size=tree_size, level=path.level, index=path.index)


def partial_tiles(tree_size: int) -> list[TilePath]:
    """Name the partial tiles that a checkpoint of this size needs; the entry bundle comes first.

    At most one a level; a level without a remainder has none.
    """
    paths = []
    for level in (None, *range(LEVEL_MAX + 1)):
        index, width = divmod(tree_size >> (TILE_HEIGHT * (level or 0)), TILE_WIDTH)
        if width:
            paths.append(TilePath(level=level, index=index, width=width))
    return paths


def all_tiles(tree_size: int) -> Iterator[TilePath]:
    """Name every bundle and tile of a tree, the partial ones last in their level.

    What an auditor copies. Order: entry bundles, then level by level, each from the left.
    """
    return new_tiles(old_size=0, new_size=tree_size)


def new_tiles(*, old_size: int, new_size: int) -> Iterator[TilePath]:
    """Name the bundles and tiles of a tree that a smaller one before it had not, in that order.

    What who has the files of `old_size` lacks for `new_size`: the tiles that were partial and are
    wider now, and those that are new.
    """
    for level in (None, *range(LEVEL_MAX + 1)):
        unit = TILE_HEIGHT * (level or 0)
        old, new = old_size >> unit, new_size >> unit
        if old == new:
            continue
        full, width = divmod(new, TILE_WIDTH)
        for index in range(old // TILE_WIDTH, full):
            yield TilePath(level=level, index=index)
        if width:
            yield TilePath(level=level, index=full, width=width)


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """Frame entries as a bundle: for each, u16be length and then its bytes.

    Raises: FormatError, if an entry is longer than 65,535 bytes.
    """
    parts = []
    for entry in entries:
        if len(entry) > ENTRY_BYTES_MAX:
            raise FormatError(f"an entry of {len(entry)} bytes exceeds {ENTRY_BYTES_MAX}")
        parts.append(len(entry).to_bytes(2, "big"))
        parts.append(entry)
    return b"".join(parts)


def decode_entries(data: bytes) -> list[bytes]:
    """Cut a bundle, or a batch's leaves section, into its entries, in order.

    Raises: FormatError, if the last entry is cut off.
    """
    entries: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        start = at + 2
        # A length cut in half reads as a short one, and is caught by the comparison below.
        at = start + int.from_bytes(data[at:start], "big")
        if at > end:
            raise FormatError(f"entry {len(entries)} ends at byte {at} of a bundle of {end}")
        entries.append(data[start:at])
    return entries


class FetchedTiles:
    """A `HashReader` over anything that fetches by path: a folder, or a log's HTTP door."""

    def __init__(self, fetch: Callable[[str], bytes | None]) -> None:
        """Take `fetch(path)`, which returns the file's bytes, or None where there is none."""
        self._fetch = fetch

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """Read a tile; a partial one that is gone by now is cut out of the full one.

        Raises: TileUnreadableError.
        """
        path = TilePath(level=level, index=index, width=width).format()
        data = self._fetch(path)
        if data is not None and len(data) == width * HASH_BYTES:
            return data
        if data is not None:
            raise TileUnreadableError(f"{path} has {len(data)} bytes, not {width * HASH_BYTES}")
        full = TilePath(level=level, index=index).format()
        data = self._fetch(full) if width < TILE_WIDTH else None
        if data is None or len(data) != TILE_WIDTH * HASH_BYTES:
            raise TileUnreadableError(f"neither {path} nor a full {full} is there")
        return data[: width * HASH_BYTES]
