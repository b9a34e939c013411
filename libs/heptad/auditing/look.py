"""One look at a log: from the checkpoint that it serves now to the state to remember.

The state moves on only where the new entries, hashed here, continue what was remembered and lead
to the root that the policy's quorum has signed. Whatever else is found is raised as an alarm, and
the state stays: after a fork the auditor keeps the history that it saw first, and goes on watching.
"""

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from heptad.auditing.diagnosis import MendedTiles, Relation, path_to_root, relate
from heptad.auditing.entries import EntryRules, Suspect
from heptad.auditing.growth import Growth, Reading, WrongEntry, WrongTile
from heptad.auditing.state import AuditState
from heptad.auditing.terms import (
    ALARMS_MAX,
    RANGE_BYTES_MAX,
    RANGES_BYTES_MAX,
    AuditTerms,
    LookResult,
    Progress,
)
from heptad.auditing.walk import Walk
from heptad.transparency.checkpoint import Checkpoint, ExaminedCheckpoint
from heptad.transparency.errors import FormatError, ProofInvalidError, TileUnreadableError
from heptad.transparency.merkle import leaf_hash
from heptad.transparency.notes import Note
from heptad.transparency.receipt import Receipt
from heptad.transparency.tiled_tree import TILE_HEIGHT, TILE_WIDTH, HashReader, TiledTree
from heptad.transparency.tiles import (
    CHECKPOINT_PATH,
    FetchedTiles,
    TilePath,
    decode_entries,
    width_at,
)
from heptad.verification.alarm_judging import backwards_of
from heptad.verification.alarms import (
    Alarm,
    BrokenFile,
    LoggedEntry,
    LoggedRange,
    MissingFile,
    OneNote,
    Raised,
    Shown,
    TwoNotes,
    WrongNode,
    WrongRoot,
)
from heptad.verification.bundle_file import BundleFile
from heptad.verification.errors import SourceUnreadableError
from heptad.verification.event_rules import unsigned_fault
from heptad.verification.logs import ReadPath
from heptad.verification.notes import examine_note, faults_of, quorum_time_s
from heptad.verification.receipt_file import ReceiptFile

TRIES_MAX: Final = 3
"""How often a look begins anew because the log has moved on while it was read."""

_MISSING: Final = frozenset({Alarm.TILE_MISSING, Alarm.BUNDLE_MISSING})


def look(
    read: ReadPath, *, state: AuditState, terms: AuditTerms, now_s: int, progress: Progress
) -> LookResult:
    """Look at the log behind `read` once. `now_s` is the auditor's clock, seconds since 1970.

    A log may clear away the partial tiles of an old size while they are being looked for: what is
    missing is an alarm only if the checkpoint is still the one that it is missing under.
    Raises: SourceUnreadableError, if the log could not be looked at; what `progress` raises.
    """
    for _ in range(TRIES_MAX):
        content = read(CHECKPOINT_PATH)
        result = _Look(read, state, terms, now_s, progress).run(content)
        if all(raised.alarm not in _MISSING for raised in result.raised):
            break
        if read(CHECKPOINT_PATH) == content:
            break
    return result


@dataclass(frozen=True, slots=True)
class _Judged:
    """A note that the policy is content with."""

    note: str
    head: Checkpoint
    examined: ExaminedCheckpoint


class _Look:
    """One look, from one checkpoint."""

    def __init__(
        self,
        read: ReadPath,
        state: AuditState,
        terms: AuditTerms,
        now_s: int,
        progress: Progress,
    ) -> None:
        self._read = read
        self._served = FetchedTiles(read)
        self._state = state
        self._terms = terms
        self._now_s = now_s
        self._progress = progress
        self._raised: list[Raised] = []
        self._untold: Counter[str] = Counter()
        self._entries = 0
        self._repeated = 0
        self._ranges_bytes = 0
        self._quorum_time_s = 0

    def run(self, content: bytes | None) -> LookResult:
        """Judge the checkpoint, then what is behind it."""
        now = self._judged(content)
        state, away = self._state, ""
        try:
            state = state if now is None else self._followed(now)
        except SourceUnreadableError as error:
            if not self._raised:
                raise
            # Who has shown something wrong does not hide it by answering no more.
            away = str(error)
        counts = (self._entries, self._untold, self._quorum_time_s)
        return LookResult(state, self._raised, *counts, away, self._repeated)

    def _raise(self, alarm: Alarm, detail: str, shown: Shown) -> None:
        if len(self._raised) < ALARMS_MAX:
            self._raised.append(Raised(alarm, detail, self._now_s, self._terms.source, shown))
        else:
            self._untold[str(alarm)] += 1

    def _judged(self, content: bytes | None) -> _Judged | None:
        """The checkpoint, if the policy is content with it."""
        if content is None:
            if not self._state.note:
                raise SourceUnreadableError(f"{self._terms.source} serves no checkpoint yet")
            shown = MissingFile(self._state.note, CHECKPOINT_PATH)
            self._raise(Alarm.CHECKPOINT_MISSING, "the log serves no checkpoint any more", shown)
            return None
        policy = self._terms.policy
        try:
            note = Note.parse(content)
            faults = faults_of(note, policy, now_s=self._now_s)
        except FormatError as error:
            broken = BrokenFile("", CHECKPOINT_PATH, content)
            self._raise(Alarm.CHECKPOINT_MALFORMED, str(error), broken)
            return None
        text = content.decode()
        for alarm in dict.fromkeys(alarm for alarm, _ in faults):
            detail = "; ".join(said for kind, said in faults if kind is alarm)
            self._raise(alarm, detail, OneNote(text))
        if any(alarm.severity != "warning" for alarm, _ in faults):
            return None
        examined = examine_note(content, policy=policy, now_s=self._now_s)
        return _Judged(text, examined.checkpoint, examined)

    def _followed(self, now: _Judged) -> AuditState:
        """The state after this checkpoint, which is the one before if it cannot be followed."""
        self._quorum_time_s = quorum_time_s(now.examined, self._terms.policy)
        self._freeze(now)
        before = self._before()
        if before is not None and not self._continues(before, now):
            return self._state
        terms = self._terms
        rules = EntryRules(charges=self._state.charges, cell=terms.cell, keys=terms.keys)
        reading = Reading(self._read, tree=self._state.tree, size=now.head.size, note=now.note)
        growth = reading.run(visit=rules.visit, progress=self._progress)
        self._entries, self._repeated = growth.entries, growth.repeated
        if growth.lost is not None:
            self._lost(before, now, growth)
            return self._state
        if growth.tree.edge.root() != now.head.root:
            self._contradiction(before, now, growth)
            return self._state
        tiles = MendedTiles(self._served, growth.ours)
        self._wrong_files(now, growth, tiles)
        rules.end()
        for suspect in rules.suspects:
            self._suspect(now, suspect, tiles)
        self._untold += rules.untold
        self._backwards(before, now)
        charges = MappingProxyType(rules.charges)
        walk = self._state.walk if self._state.note else Walk(proved_since_s=self._now_s)
        return AuditState(now.note, growth.tree, charges, self._now_s, walk)

    def _before(self) -> _Judged | None:
        """What is remembered; it was good when it was seen, and is not judged for that again."""
        if not self._state.note:
            return None
        examined = examine_note(
            self._state.note.encode(), policy=self._terms.policy, now_s=self._now_s
        )
        return _Judged(self._state.note, examined.checkpoint, examined)

    def _freeze(self, now: _Judged) -> None:
        limit_s, age_s = self._terms.freeze_after_s, self._now_s - self._quorum_time_s
        if self._quorum_time_s and 0 < limit_s < age_s:
            detail = f"the newest checkpoint is {age_s} s old, {limit_s} s may be"
            self._raise(Alarm.FREEZE, detail, OneNote(now.note, limit_s))

    def _continues(self, before: _Judged, now: _Judged) -> bool:
        """Whether there is something to follow; what can be said without reading is said here."""
        old, new = before.head, now.head
        if old.origin != new.origin:
            detail = f"a checkpoint of {new.origin}, and the log was {old.origin}"
            self._raise(Alarm.OTHER_LOG, detail, TwoNotes(before.note, now.note))
            return False
        if old.size == new.size and old.root != new.root:
            detail = f"two roots of one size {old.size}"
            self._raise(Alarm.FORK, detail, TwoNotes(before.note, now.note))
            return False
        if new.size < old.size:
            relation = self._relation(new, old)
            if relation is not None and relation.is_fork:
                shown = TwoNotes(now.note, before.note, relation.root_before, relation.hashes)
                detail = f"{new.size} entries that are not the first of the {old.size} seen before"
                self._raise(Alarm.FORK, detail, shown)
            else:
                detail = f"{new.size} entries, and there had been {old.size}"
                self._raise(Alarm.ROLLBACK, detail, TwoNotes(now.note, before.note))
            return False
        return True

    def _lost(self, before: _Judged | None, now: _Judged, growth: Growth) -> None:
        """A bundle is not to be had; whoever hides a fork behind that has still signed it."""
        assert growth.lost is not None
        self._is_fork(before, now)
        is_missing = isinstance(growth.lost, MissingFile)
        alarm = Alarm.BUNDLE_MISSING if is_missing else Alarm.BUNDLE_ALTERED
        self._raise(alarm, growth.lost_because, growth.lost)

    def _contradiction(self, before: _Judged | None, now: _Judged, growth: Growth) -> None:
        """The entries do not lead to the root: a fork, altered entries, or nobody can say what."""
        if self._is_fork(before, now):
            return
        told = len(self._raised)
        for wrong in (*growth.forgotten, *growth.doubted):
            self._wrong_entry(now, wrong, self._served)
        if len(self._raised) > told:
            return
        after = growth.tree.edge
        leaves = growth.leaves if len(growth.leaves) == growth.entries else []
        detail = f"{after.size} entries hash to {after.root().hex()}, signed is another root"
        edge = self._state.tree.edge.encode()
        shown_root = WrongRoot(self._state.note, edge, tuple(leaves), after.encode(), now.note)
        self._raise(Alarm.ROOT_MISMATCH, detail, shown_root)

    def _relation(self, smaller: Checkpoint, larger: Checkpoint) -> Relation | None:
        """How two signed heads stand to each other, if the log's tiles are to be had and say so."""
        try:
            return relate(smaller, larger, self._read)
        except SourceUnreadableError:
            return None

    def _is_fork(self, before: _Judged | None, now: _Judged) -> bool:
        """Whether the log's tiles prove that this checkpoint does not continue what is known."""
        if before is None:
            return False
        relation = self._relation(before.head, now.head)
        if relation is None or not relation.is_fork:
            return False
        shown = TwoNotes(before.note, now.note, relation.root_before, relation.hashes)
        detail = (
            f"{now.head.size} entries of which the first {before.head.size} are not those "
            "seen before"
        )
        self._raise(Alarm.FORK, detail, shown)
        return True

    def _wrong_files(self, now: _Judged, growth: Growth, tiles: HashReader) -> None:
        """All entries are right, so what differs from them is wrong."""
        for wrong in growth.forgotten:
            self._wrong_entry(now, wrong, tiles)
        for tile in growth.wrong_tiles:
            self._wrong_tile(now, tile, tiles)
        for file in growth.bad_files:
            if isinstance(file, MissingFile):
                self._raise(Alarm.TILE_MISSING, f"{file.path_served} is not there", file)
            else:
                detail = f"{file.path_served} has {len(file.content)} bytes"
                self._raise(Alarm.TILE_ALTERED, detail, file)
        self._untold += growth.untold

    def _wrong_entry(self, now: _Judged, wrong: WrongEntry, tiles: HashReader) -> None:
        path = path_to_root(
            now.head, height=0, index=wrong.index, expected=wrong.expected, tiles=tiles
        )
        if path is None:
            return
        detail = f"{wrong.path}: entry {wrong.index} hashes to {leaf_hash(wrong.entry).hex()}"
        shown = WrongNode(now.note, wrong.path, 0, wrong.index, wrong.expected, path, wrong.entry)
        self._raise(Alarm.BUNDLE_ALTERED, detail, shown)

    def _wrong_tile(self, now: _Judged, wrong: WrongTile, tiles: HashReader) -> None:
        height = wrong.tile.level * TILE_HEIGHT
        index = wrong.tile.index * TILE_WIDTH + wrong.at
        expected = wrong.tile.hashes[wrong.at * 32 : wrong.at * 32 + 32]
        path = path_to_root(now.head, height=height, index=index, expected=expected, tiles=tiles)
        detail = f"{wrong.path}: hash {wrong.at} is {wrong.served.hex()}, not {expected.hex()}"
        shown = WrongNode(now.note, wrong.path, height, index, expected, path or (), wrong.served)
        self._raise(Alarm.TILE_ALTERED, detail, shown)

    def _suspect(self, now: _Judged, suspect: Suspect, tiles: HashReader) -> None:
        if suspect.until:
            self._suspect_range(now, suspect, tiles)
            return
        before = ""
        if suspect.rival >= 0 and (entry := self._entry_at(now.head, suspect.rival)) is not None:
            before = self._receipt(now, suspect.rival, entry, tiles)
        receipt = self._receipt(now, suspect.index, suspect.entry, tiles)
        detail = f"entry {suspect.index}: {suspect.detail}"
        self._raise(suspect.alarm, detail, LoggedEntry(receipt, before))

    def _suspect_range(self, now: _Judged, suspect: Suspect, tiles: HashReader) -> None:
        """Entries next to each other, read once more; whoever serves others now is found out."""
        start, until = suspect.index, suspect.until
        entries: list[bytes] = []
        bytes_max = min(RANGE_BYTES_MAX, RANGES_BYTES_MAX - self._ranges_bytes)
        while start + len(entries) < until:
            more = self._entries_from(now.head, start + len(entries))
            entries += more[: until - start - len(entries)]
            if not more:
                raise SourceUnreadableError(f"{self._terms.source}: entries are there no more")
            if sum(map(len, entries)) > bytes_max:
                self._untold[str(suspect.alarm)] += 1
                return
        if not unsigned_fault(
            entries, first_index=start, log_size=now.head.size, keys=self._terms.keys
        ):
            return  # A bundle of an earlier look reaches as far; it was cut off, and told then.
        try:
            proof = TiledTree(size=now.head.size, tiles=tiles).consistency_proof(until)
        except (TileUnreadableError, ProofInvalidError):
            proof = []
        path = path_to_root(
            now.head, height=0, index=start, expected=leaf_hash(entries[0]), tiles=tiles
        )
        receipt = Receipt(start, path or (), now.note.encode())
        file = BundleFile(entries[0], receipt, tuple(entries[1:]), tuple(proof))
        shown = LoggedRange(file.encode().decode())
        self._ranges_bytes += sum(map(len, entries))
        self._raise(suspect.alarm, suspect.detail, shown)

    def _receipt(self, now: _Judged, index: int, entry: bytes, tiles: HashReader) -> str:
        path = path_to_root(now.head, height=0, index=index, expected=leaf_hash(entry), tiles=tiles)
        # Without a path (too many wrong tiles to mend) the entry is shown all the same, unproved.
        receipt = Receipt(index, path or (), now.note.encode())
        return ReceiptFile(entry, receipt).encode().decode()

    def _entry_at(self, head: Checkpoint, index: int) -> bytes | None:
        return next(iter(self._entries_from(head, index)), None)

    def _entries_from(self, head: Checkpoint, index: int) -> list[bytes]:
        """The entries from an index on that lie in its bundle; none if that cannot be read."""
        bundle, at = divmod(index, TILE_WIDTH)
        width = width_at(tree_size=head.size, level=None, index=bundle)
        data = None
        for wide in sorted({width, TILE_WIDTH}):
            data = data or self._read(TilePath(level=None, index=bundle, width=wide).format())
        try:
            return decode_entries(data or b"")[at:width]
        except FormatError:
            return []

    def _backwards(self, before: _Judged | None, now: _Judged) -> None:
        if before is not None and (said := backwards_of(before.examined, now.examined)):
            shown = TwoNotes(before.note, now.note)
            self._raise(Alarm.COSIGNATURE_BACKWARDS, "; ".join(said), shown)
