"""The entries that came since the last look: read, hashed, and compared with what the log serves.

The tree grows from the entries and from nothing else. Hash tiles are read beside it and only
compared, the partial ones also when nothing is new; where they differ, what differs is kept (a few,
the rest counted) for `diagnosis` to say whose fault it is, which nobody can before the root is
known.

A file that cannot be read just now is asked for again after a while, a few times: the first look at
a large log takes long, and would otherwise begin anew for one answer that did not come.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from heptad.auditing.terms import Progress
from heptad.transparency.errors import FormatError
from heptad.transparency.merkle import HASH_BYTES, leaf_hash, leaf_hashes, split_hashes
from heptad.transparency.tiled_tree import TILE_WIDTH, Tile
from heptad.transparency.tiles import TilePath, decode_entries, width_at
from heptad.verification.alarms import BrokenFile, MissingFile
from heptad.verification.errors import SourceAwayError
from heptad.verification.logs import ReadPath
from heptad.verification.open_tree import OpenTree

KEPT_MAX: Final = 16
"""Wrong tiles and entries that are kept with their content."""

LEAVES_KEPT_MAX: Final = 16_384

PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""How long to wait before a file is asked for again that could not be read, time after time."""

_NAP_S: Final = 0.5
"""How often, while waiting, it is asked whether to go on at all."""


@dataclass(frozen=True, slots=True)
class WrongTile:
    """`tile` is ours; what was served at `path` has another hash at position `at` of it."""

    tile: Tile
    path: str
    at: int
    served: bytes


@dataclass(frozen=True, slots=True)
class WrongEntry:
    """A served entry whose hash is not the `expected` one."""

    path: str
    index: int
    entry: bytes
    expected: bytes


@dataclass(slots=True)
class Growth:
    """What came out.

    `lost` is the bundle after which nothing more could be hashed. Of two kinds of wrong entries,
    `forgotten` ones are not those of the last look, and `doubted` ones differ from the tile beside
    them, so one of both is wrong. `ours` are our tiles where the log's differ.
    So many reads were `repeated`, for they had failed.
    """

    tree: OpenTree
    lost: MissingFile | BrokenFile | None = None
    lost_because: str = ""
    wrong_tiles: list[WrongTile] = field(default_factory=list)
    forgotten: list[WrongEntry] = field(default_factory=list)
    doubted: list[WrongEntry] = field(default_factory=list)
    ours: dict[tuple[int, int], Tile] = field(default_factory=dict)
    bad_files: list[MissingFile | BrokenFile] = field(default_factory=list)
    untold: Counter[str] = field(default_factory=Counter)
    leaves: list[bytes] = field(default_factory=list)
    entries: int = 0
    repeated: int = 0


class Reading:
    """Reads one growth, from where `tree` ends up to `size`, under the checkpoint `note`."""

    def __init__(self, read: ReadPath, *, tree: OpenTree, size: int, note: str) -> None:
        self._read_once = read
        self._progress: Progress = lambda done, total: None
        self._size = size
        self._note = note
        self._start = tree.edge.size
        self.growth = Growth(tree)

    def run(self, *, visit: Callable[[int, Sequence[bytes]], None], progress: Progress) -> Growth:
        """Read all of it. `visit` sees the index of a bundle's first new entry, and the new ones.

        Raises: what `read` and `progress` raise; of SourceAwayError the last of several.
        """
        growth, self._progress = self.growth, progress
        newest: tuple[str, Sequence[bytes]] = ("", ())
        for index in range(self._start // TILE_WIDTH, -(-self._size // TILE_WIDTH)):
            bundle = self._bundle(index)
            if bundle is None:
                return growth
            newest = path, entries = bundle
            known = max(0, self._start - index * TILE_WIDTH)
            hashes = leaf_hashes(entries)
            self._compare_known(path, entries, hashes, count=known)
            growth.tree, full = growth.tree.grown(hashes[known:])
            growth.entries += len(entries) - known
            if growth.entries <= LEAVES_KEPT_MAX:
                growth.leaves += hashes[known:]
            for tile in full:
                self._compare(tile, (path, entries))
            visit(index * TILE_WIDTH + known, entries[known:])
            self._tell()
        for tile in growth.tree.open_tiles.values():
            self._compare(tile, newest)
        return growth

    def _tell(self) -> None:
        self._progress(self.growth.entries, self._size - self._start)

    def _read(self, path: str) -> bytes | None:
        """What `path` holds, waited for as long as `PAUSES_S` says."""
        for pause_s in PAUSES_S:
            try:
                return self._read_once(path)
            except SourceAwayError:
                self.growth.repeated += 1
                self._wait(pause_s)
        return self._read_once(path)

    def _wait(self, pause_s: float) -> None:
        """Let time go by, and the caller end it. Raises: what `progress` raises."""
        until_s = time.monotonic() + pause_s
        while (left_s := until_s - time.monotonic()) > 0:
            self._tell()
            time.sleep(min(left_s, _NAP_S))

    def _bundle(self, index: int) -> tuple[str, list[bytes]] | None:
        width = width_at(tree_size=self._size, level=None, index=index)
        place = TilePath(level=None, index=index, width=width)
        path, data = self._served(place)
        if data is None:
            self.growth.lost = MissingFile(self._note, place.format())
            self.growth.lost_because = f"{place.format()} is not there"
            return None
        fault, entries = "", []
        try:
            entries = decode_entries(data)
        except FormatError as error:
            fault = str(error)
        if not fault and len(entries) != path.width:
            fault = f"{len(entries)} entries, not {path.width}"
        if fault:
            self.growth.lost = BrokenFile(self._note, path.format(), data)
            self.growth.lost_because = f"{path.format()}: {fault}"
            return None
        return path.format(), entries[:width]

    def _served(self, place: TilePath) -> tuple[TilePath, bytes | None]:
        """What is there; a partial one that is gone by now is looked for in the full one."""
        data = self._read(place.format())
        if data is None and place.width < TILE_WIDTH:
            place = TilePath(level=place.level, index=place.index)
            data = self._read(place.format())
        return place, data

    def _compare_known(
        self, path: str, entries: Sequence[bytes], hashes: Sequence[bytes], *, count: int
    ) -> None:
        """The first entries of a bundle that was partial at the last look are those of then."""
        if not count:
            return
        known = split_hashes(self.growth.tree.open_tiles[0].hashes)
        for at in range(count):
            if known[at] != hashes[at]:
                index = self._start // TILE_WIDTH * TILE_WIDTH + at
                self.growth.forgotten.append(WrongEntry(path, index, entries[at], known[at]))
                return

    def _compare(self, tile: Tile, bundle: tuple[str, Sequence[bytes]]) -> None:
        """Compare one of our tiles with the log's; of level 0 it is the one over `bundle`."""
        growth = self.growth
        place = TilePath(level=tile.level, index=tile.index, width=tile.width)
        path, data = self._served(place)
        if data is None:
            self._keep_file("tile_missing", tile, MissingFile(self._note, place.format()))
            return
        if len(data) != path.width * HASH_BYTES:
            self._keep_file("tile_altered", tile, BrokenFile(self._note, path.format(), data))
            return
        if data[: len(tile.hashes)] == tile.hashes:
            return
        ours, theirs = split_hashes(tile.hashes), split_hashes(data)
        at = next(n for n, own in enumerate(ours) if own != theirs[n])
        if len(growth.wrong_tiles) == KEPT_MAX:
            growth.untold["tile_altered"] += 1
            return
        growth.wrong_tiles.append(WrongTile(tile, path.format(), at, theirs[at]))
        growth.ours[tile.level, tile.index] = tile
        if tile.level == 0 and leaf_hash(bundle[1][at]) != theirs[at]:
            index = tile.index * TILE_WIDTH + at
            growth.doubted.append(WrongEntry(bundle[0], index, bundle[1][at], theirs[at]))

    def _keep_file(self, name: str, tile: Tile, file: MissingFile | BrokenFile) -> None:
        if len(self.growth.bad_files) == KEPT_MAX:
            self.growth.untold[name] += 1
            return
        self.growth.bad_files.append(file)
        self.growth.ours[tile.level, tile.index] = tile
