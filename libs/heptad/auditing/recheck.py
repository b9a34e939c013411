"""Spot checks: a few bundles that were proved before are read again, with the tiles above them.

A look reads only what is new, so a file that is altered or taken away later would be found by
nobody. Here some bundles are read in turn, so that all of the log is walked round, and some at
random, so that whoever serves it cannot foresee which.

Everything is judged from above. The auditor's own partial tiles hold the hash of each full tile of
the right edge; a served tile whose hashes fold to the hash above it is right, and judges those
below. So it is always the first wrong file on the way down that is named, the way from it to the
signed root needs only what is already known to be right, and no checkpoint served today is asked.
Below a tile that is wrong nothing can be judged; that leaves a gap in the round until it is right.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from heptad.auditing.diagnosis import path_to_root
from heptad.auditing.state import AuditState
from heptad.auditing.terms import ALARMS_MAX, AuditTerms, Progress
from heptad.auditing.walk import Walk
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.errors import TileUnreadableError
from heptad.transparency.merkle import HASH_BYTES, leaf_hash, leaf_hashes, split_hashes
from heptad.transparency.tiled_tree import TILE_BYTES, TILE_HEIGHT, TILE_WIDTH, unfold
from heptad.transparency.tiles import CHECKPOINT_PATH, TilePath, decode_entries
from heptad.verification.alarm_judging import bundle_fault
from heptad.verification.alarms import Alarm, BrokenFile, MissingFile, Raised, Shown, WrongNode
from heptad.verification.errors import SourceUnreadableError
from heptad.verification.logs import ReadPath

RANDOM_SHARE: Final = 4
"""One of so many bundles is chosen at random."""

BYTES_MAX: Final = 32 << 20
SECONDS_MAX: Final = 20.0
UNREAD_MAX: Final = 3
"""What one leg (of two: bundles to be read at each look, and the walk) may cost; its first bundle
is read whatever that costs, so that the walk comes round. A file has bounds of its own."""

ELSEWHERE: Final = frozenset(
    {
        Alarm.FORK,
        Alarm.ROLLBACK,
        Alarm.OTHER_LOG,
        Alarm.CHECKPOINT_MISSING,
        Alarm.CHECKPOINT_MALFORMED,
    }
)
"""After these what is served is another log, or none: that is told, and not again file by file."""


@dataclass(frozen=True, slots=True)
class Chance:
    """What is not arithmetic: `below(n)` is a number in 0..n-1 that nobody can foresee, and
    `clock_s` seconds that only ever go forward."""

    below: Callable[[int], int]
    clock_s: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Rechecked:
    """What came out. `bundles` are those that were proved, `unread` says why others were not
    read, `is_round` that all of the log has been walked round now."""

    walk: Walk
    raised: Sequence[Raised] = ()
    untold: Counter[str] = dataclasses.field(default_factory=Counter)
    bundles: int = 0
    unread: Sequence[str] = ()
    is_round: bool = False


def recheck(
    read: ReadPath,
    *,
    state: AuditState,
    terms: AuditTerms,
    now_s: int,
    chance: Chance,
    progress: Progress,
) -> Rechecked:
    """Read up to `terms.recheck_bundles` of the log that `state` has proved, and those to be seen
    at each look. A file that cannot be read is no finding.

    Raises: what `progress` raises.
    """
    head = state.checkpoint
    if head is None or not terms.recheck_bundles:
        return Rechecked(state.walk)
    bundles = head.size // TILE_WIDTH
    walk = state.walk.under(bundles, now_s)
    checks = _Recheck(_Judge(read, state, head, terms.source, now_s), walk, chance, progress)
    checks.leg(walk.again)
    chosen = terms.recheck_bundles // RANDOM_SHARE
    turn = range(walk.cursor, min(walk.end, walk.cursor + terms.recheck_bundles - chosen))
    picked = [chance.below(bundles) for _ in range(chosen if turn else 0)]
    done = checks.leg([*turn[:1], *picked, *turn[1:]])
    # What a leg has left out was at its end: one in turn comes before those at random.
    in_turn = min(done, 1) + max(0, done - 1 - len(picked))
    return checks.result(walk.cursor + min(in_turn, len(turn)))


class _Found(Enum):
    RIGHT = auto()
    WRONG = auto()
    BELOW_WRONG = auto()


class _Recheck:
    """The bundles of one look, judged one by one within the bounds of a leg."""

    def __init__(self, judge: "_Judge", walk: Walk, chance: Chance, progress: Progress) -> None:
        self._judge = judge
        self._walk = walk
        self._chance = chance
        self._progress = progress
        self._seen: set[int] = set()
        self._unread: list[str] = []
        self._right = 0

    def leg(self, bundles: Iterable[int]) -> int:
        """Judge bundles, each once a look. Returns how many of them are done with."""
        until_s = self._chance.clock_s() + SECONDS_MAX
        bytes_max, unread_max = self._judge.bytes + BYTES_MAX, len(self._unread) + UNREAD_MAX
        done = 0
        for bundle in bundles:
            is_spent = (
                self._judge.bytes >= bytes_max
                or len(self._unread) >= unread_max
                or self._chance.clock_s() >= until_s
            )
            if is_spent:
                break
            if bundle not in self._seen:
                self._seen.add(bundle)
                self._visit(bundle)
            done += 1
        return done

    def _visit(self, bundle: int) -> None:
        self._progress(self._right * TILE_WIDTH, len(self._seen) * TILE_WIDTH)
        try:
            found = self._judge.bundle(bundle)
        except SourceUnreadableError as error:
            self._unread.append(str(error))
            self._walk = self._walk.remembering(bundle)
            return
        if found is _Found.RIGHT:
            self._right += 1
            self._walk = self._walk.without(bundle)
        elif found is _Found.WRONG:
            self._walk = self._walk.remembering(bundle)
        else:
            self._walk = dataclasses.replace(self._walk, has_gap=True)

    def result(self, cursor: int) -> Rechecked:
        """What came out, with the walk at `cursor`."""
        judge, walk = self._judge, self._walk.at(cursor)
        return Rechecked(walk, judge.raised, judge.untold, self._right, self._unread, walk.is_round)


class _Judge:
    """Judges bundles and the tiles above them; a tile is read once, and then known."""

    def __init__(
        self, read: ReadPath, state: AuditState, head: Checkpoint, source: str, now_s: int
    ) -> None:
        self._read = read
        self._state = state
        self._head = head
        self._source = source
        self._now_s = now_s
        self._tiles: dict[tuple[int, int], bytes | None] = {}
        self.raised: list[Raised] = []
        self.untold: Counter[str] = Counter()
        self.bytes = 0

    def bundle(self, index: int) -> _Found:
        """Judge a full bundle and all tiles on its way to the root. Raises: what `read` raises."""
        told = self._told()
        tile, expected = self._tile(0, index), self._expected(0, index)
        if expected is not None:
            self._entries(index, tile, expected)
        if self._told() > told:
            return _Found.WRONG
        return _Found.RIGHT if tile is not None else _Found.BELOW_WRONG

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        """See `HashReader`: only what is known to be right."""
        tile = self._tile(level, index)
        if tile is None:
            raise TileUnreadableError(f"tile level {level} index {index} is wrong")
        return tile[: width * HASH_BYTES]

    def _told(self) -> int:
        return len(self.raised) + sum(self.untold.values())

    def _tile(self, level: int, index: int) -> bytes | None:
        """The tile's hashes, if they are known to be right: our own, or served and proved."""
        ours = self._state.tree.open_tiles.get(level)
        if ours is not None and ours.index == index:
            return ours.hashes
        if (level, index) not in self._tiles:
            expected = self._expected(level, index)
            tile = None if expected is None else self._served_tile(level, index, expected)
            self._tiles[level, index] = tile
        return self._tiles[level, index]

    def _expected(self, level: int, index: int) -> bytes | None:
        """The hash of a whole tile, as the tile above it says; None if that one is wrong."""
        above, at = divmod(index, TILE_WIDTH)
        hashes = self._tile(level + 1, above)
        return None if hashes is None else hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]

    def _served_tile(self, level: int, index: int, expected: bytes) -> bytes | None:
        path = TilePath(level=level, index=index).format()
        data = self._file(path)
        if data is None:
            self._raise(Alarm.TILE_MISSING, f"{path} is not there any more", self._missing(path))
        elif len(data) != TILE_BYTES:
            broken = BrokenFile(self._state.note, path, data)
            self._raise(Alarm.TILE_ALTERED, f"{path} has {len(data)} bytes", broken)
        elif (folded := _root(data)) != expected:
            detail = f"{path}: its hashes fold to {folded.hex()}, not {expected.hex()}"
            height = (level + 1) * TILE_HEIGHT
            shown = self._wrong_node(path, height, index, expected, data)
            self._raise(Alarm.TILE_ALTERED, detail, shown)
        else:
            return data
        return None

    def _entries(self, index: int, tile: bytes | None, expected: bytes) -> None:
        """Judge the entries by the tile beside them or, where that is wrong, as a whole."""
        path = TilePath(level=None, index=index).format()
        data = self._file(path)
        if data is None:
            self._raise(Alarm.BUNDLE_MISSING, f"{path} is not there any more", self._missing(path))
            return
        if fault := bundle_fault(data, width=TILE_WIDTH):
            broken = BrokenFile(self._state.note, path, data)
            self._raise(Alarm.BUNDLE_ALTERED, f"{path}: {fault}", broken)
            return
        entries = decode_entries(data)
        hashes = leaf_hashes(entries)
        if tile is None:
            folded = _root(b"".join(hashes))
            if folded != expected:
                detail = f"{path}: its entries hash to {folded.hex()}, not {expected.hex()}"
                shown = self._wrong_node(path, TILE_HEIGHT, index, expected, data)
                self._raise(Alarm.BUNDLE_ALTERED, detail, shown)
            return
        known = split_hashes(tile)
        if hashes != known:
            at = next(n for n, own in enumerate(known) if own != hashes[n])
            number = index * TILE_WIDTH + at
            detail = f"{path}: entry {number} hashes to {leaf_hash(entries[at]).hex()}"
            shown = self._wrong_node(path, 0, number, known[at], entries[at])
            self._raise(Alarm.BUNDLE_ALTERED, detail, shown)

    def _file(self, path: str) -> bytes | None:
        """What is served; if all of the log went away since the look, that is no finding."""
        data = self._read(path)
        if data is None and self._read(CHECKPOINT_PATH) is None:
            raise SourceUnreadableError(f"{path} is not there, and neither is a checkpoint")
        self.bytes += len(data or b"")
        return data

    def _missing(self, path: str) -> MissingFile:
        return MissingFile(self._state.note, path)

    def _wrong_node(
        self, path_served: str, height: int, index: int, expected: bytes, served: bytes
    ) -> WrongNode:
        path = path_to_root(self._head, height=height, index=index, expected=expected, tiles=self)
        assert path is not None, "every tile above was proved"
        return WrongNode(
            self._state.note, path_served, height, index, expected, path, served=served
        )

    def _raise(self, alarm: Alarm, detail: str, shown: Shown) -> None:
        if len(self.raised) < ALARMS_MAX:
            self.raised.append(Raised(alarm, detail, self._now_s, self._source, shown))
        else:
            self.untold[str(alarm)] += 1


def _root(hashes: bytes) -> bytes:
    """The hash over 256 hashes."""
    return unfold(hashes)[-1][0]
