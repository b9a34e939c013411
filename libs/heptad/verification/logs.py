"""A whole log, hashed again from its entries up to the checkpoint's root.

What an auditor does who has copied the folder or crawls the server: read every entry bundle, hash
its entries, compare with every tile that the log serves, and arrive at the root that the replicas
have cosigned. The tree is grown with the very function that the ledger grows it with, but into this
file's own few partial tiles, so the log's tiles are only ever compared with and never believed.

Memory is one partial tile a level, whatever the size of the log.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from heptad.crypto.signatures import verify
from heptad.transparency.checkpoint import Checkpoint, TimeWindow, verify_checkpoint
from heptad.transparency.errors import CheckpointRejectedError, FormatError, TileUnreadableError
from heptad.transparency.merkle import CompactRange, leaf_hashes, split_hashes
from heptad.transparency.policy import Policy
from heptad.transparency.tiled_tree import TILE_WIDTH, Tile
from heptad.transparency.tiles import (
    CHECKPOINT_PATH,
    FetchedTiles,
    TilePath,
    decode_entries,
    width_at,
)
from heptad.verification.errors import LogInvalidError
from heptad.verification.open_tree import OpenTree
from heptad.verification.receipts import CLOCK_BOUND_S

ReadPath: TypeAlias = Callable[[str], bytes | None]
"""`read("tile/0/000")` returns the bytes there, or None where there is nothing: what
`TileSource.read` does, and what a test puts in its place."""

VisitEntries: TypeAlias = Callable[[int, Sequence[bytes]], None]
"""Is given the index of the first entry of a bundle, and the bundle's entries."""

_NOT_READ: Final = "the log serves no {path}, which a log of {size} entries must have"


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """A log that was hashed from its first entry to its cosigned root.

    `bundles` and `tiles` count what was read and compared.
    """

    checkpoint: Checkpoint
    bundles: int
    tiles: int


def verify_log(
    read: ReadPath,
    *,
    policy: Policy,
    now_s: int,
    note: bytes | None = None,
    visit: VisitEntries | None = None,
) -> VerifiedLog:
    """Prove that the log behind `read` is what its checkpoint says, or raise.

    `note` is the checkpoint to judge by; without it the log's own is read. `now_s` is the
    verifier's clock, seconds since 1970. `visit` sees each bundle's entries once they are known to
    agree with the log's tile; the root is compared last.
    Raises: LogInvalidError; whatever `read` and `visit` raise.
    """
    checkpoint = _judged(note if note is not None else read(CHECKPOINT_PATH), policy, now_s)
    regrown = _Regrown(read, checkpoint.size)
    for index in range(-(-checkpoint.size // TILE_WIDTH)):
        entries = _read_bundle(read, index=index, tree_size=checkpoint.size)
        regrown.add(entries)
        if visit is not None:
            visit(index * TILE_WIDTH, entries)
    regrown.compare_partial_tiles()
    if regrown.edge.root() != checkpoint.root:
        raise LogInvalidError(
            f"{checkpoint.size} entries hash to {regrown.edge.root().hex()}, the checkpoint's "
            f"root is {checkpoint.root.hex()}"
        )
    bundles = -(-checkpoint.size // TILE_WIDTH)
    return VerifiedLog(checkpoint=checkpoint, bundles=bundles, tiles=regrown.tiles_compared)


def _judged(note: bytes | None, policy: Policy, now_s: int) -> Checkpoint:
    if note is None:
        raise LogInvalidError("the log serves no checkpoint")
    window = TimeWindow.until(now_s, bound_s=CLOCK_BOUND_S)
    try:
        return verify_checkpoint(note, policy=policy, verify=verify, window=window)
    except (FormatError, CheckpointRejectedError) as error:
        raise LogInvalidError(f"checkpoint: {error}") from None


def _read_bundle(read: ReadPath, *, index: int, tree_size: int) -> list[bytes]:
    """The entries of one bundle; a partial one that is gone by now is cut out of the full one."""
    width = wide = width_at(tree_size=tree_size, level=None, index=index)
    path = wanted = TilePath(level=None, index=index, width=width).format()
    data = read(path)
    if data is None and width < TILE_WIDTH:
        wide = TILE_WIDTH
        path = TilePath(level=None, index=index).format()
        data = read(path)
    if data is None:
        raise LogInvalidError(_NOT_READ.format(path=wanted, size=tree_size))
    try:
        entries = decode_entries(data)
    except FormatError as error:
        raise LogInvalidError(f"{path}: {error}") from None
    if len(entries) != wide:
        raise LogInvalidError(f"{path} holds {len(entries)} entries, not {wide}")
    return entries[:width]


class _Regrown:
    """The tree as it grows from the entries, and its comparison with the log's own tiles."""

    def __init__(self, read: ReadPath, size: int) -> None:
        self._served = FetchedTiles(read)
        self._size = size
        self._tree = OpenTree()
        self.tiles_compared = 0

    @property
    def edge(self) -> CompactRange:
        """The right edge of what was added."""
        return self._tree.edge

    def add(self, entries: Sequence[bytes]) -> None:
        """Grow by one bundle; compare the tiles that it fills. Raises: LogInvalidError."""
        self._tree, full = self._tree.grown(leaf_hashes(entries))
        for tile in full:
            self._compare(tile)

    def compare_partial_tiles(self) -> None:
        """Compare what is left on the right edge. Raises: LogInvalidError."""
        for tile in self._tree.open_tiles.values():
            self._compare(tile)

    def _compare(self, tile: Tile) -> None:
        path = TilePath(level=tile.level, index=tile.index, width=tile.width).format()
        try:
            served = self._served.read_tile(level=tile.level, index=tile.index, width=tile.width)
        except TileUnreadableError as error:
            raise LogInvalidError(f"a log of {self._size} entries: {error}") from None
        if served != tile.hashes:
            raise LogInvalidError(f"{path}: {_first_difference(tile, served)}")
        self.tiles_compared += 1


def _first_difference(tile: Tile, served: bytes) -> str:
    ours, theirs = split_hashes(tile.hashes), split_hashes(served)
    at = next(
        count for count, pair in enumerate(zip(ours, theirs, strict=True)) if len({*pair}) > 1
    )
    first_entry = (tile.index * TILE_WIDTH + at) << (8 * tile.level)
    what = f"entry {first_entry}" if tile.level == 0 else f"the entries from {first_entry}"
    return f"hash {at} is {theirs[at].hex()}, but {what} hash to {ours[at].hex()}"
