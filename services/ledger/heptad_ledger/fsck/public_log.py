"""Checks the public half of a store: entries, tiles, checkpoints, and the indexes made from them.

Everything is computed again from the entries, a stretch from one checkpoint to the next at a time.
Where the roots agree, the cosigned checkpoint vouches for the entries, and whatever else differs
(a tile, an index, a counter) is wrong itself and can be made again. Where they do not, the hashes
in the lowest tiles are tried: if those lead to the checkpoint's root, an entry was altered, and it
is the one whose hash is not the tile's. So a changed bit is named where it is, and not where it is
noticed.
"""

import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from heptad.crypto import signatures
from heptad.transparency.checkpoint import Checkpoint, TimeWindow, examine_checkpoint
from heptad.transparency.errors import FormatError, TransparencyError
from heptad.transparency.merkle import HASH_BYTES, CompactRange, leaf_hashes
from heptad.transparency.notes import Note
from heptad.transparency.policy import Policy
from heptad.transparency.tiled_tree import TILE_HEIGHT, TILE_WIDTH, append_leaves
from heptad.transparency.tiles import decode_entries
from heptad.wire.convert.entry_facts import entry_facts
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.fsck.corrections import Corrections
from heptad_ledger.fsck.findings import Code, Findings, Progress
from heptad_ledger.fsck.tables import Tables
from heptad_ledger.store.checked import without_check
from heptad_ledger.store.log_store import EdgeTiles
from heptad_ledger.store.state import AppliedState
from heptad_ledger.store.totals import SERVICES_LISTED_MAX, read_totals
from heptad_ledger.store.wave import Totals, batch_postings, pack_index, unpack_index

STRETCH_MAX: Final = 1 << 20
"""Entries between two checkpoints that are kept in mind, at 32 bytes each; beyond it, see
`_Stretch`."""

CLOCK_SKEW_S: Final = 600


@dataclass(frozen=True, slots=True)
class Verified:
    """What the checkpoints of the store vouch for: the size and root of the last good one."""

    size: int
    root: bytes


class PublicCheck:
    """One run over one store, in one read transaction."""

    def __init__(
        self,
        tables: Tables,
        *,
        state: AppliedState,
        policy: Policy,
        findings: Findings,
        corrections: Corrections,
        progress: Progress,
    ) -> None:
        self._tables = tables
        self._corrections = corrections
        self._state = state
        self._policy = policy
        self._findings = findings
        self._progress = progress
        self._edge = CompactRange.empty()
        self._edge_tiles = EdgeTiles({})
        self._vouched = CompactRange.empty()
        self._tiles_met = 0
        self._postings_met = 0
        self._ends = array("Q", (0,))
        """Where batches end, ascending: a log may have as many as entries."""
        self._totals = Totals()

    def run(self) -> Verified:
        """Check all of it; what is wrong goes to the findings."""
        checkpoints = self._checkpoints()
        upcoming = next(checkpoints, None)
        hashes: list[bytes] = []
        for first_index, entries in self._batches():
            hashes += leaf_hashes(entries)
            index = first_index + len(entries)
            self._ends.append(index)
            while upcoming is not None and upcoming.size <= index:
                self._close_stretch(hashes, index, upcoming)
                hashes, upcoming = [], next(checkpoints, None)
            if len(hashes) >= STRETCH_MAX:
                self._close_stretch(hashes, index, None)
                hashes = []
            self._progress("entries", index, self._state.size)
        self._close_stretch(hashes, self._edge.size + len(hashes), None)
        while upcoming is not None:
            self._wrong_checkpoint(upcoming.size, f"is larger than the log of {self._edge.size}")
            upcoming = next(checkpoints, None)
        self._check_end()
        return Verified(self._vouched.size, self._vouched.root())

    # Entries.

    def _batches(self) -> Iterator[tuple[int, Sequence[bytes]]]:
        """First index and entries of each batch; stops at the first gap."""
        index = 0
        for packed, leaves in self._tables.rows("entries"):
            first_index = unpack_index(packed)
            if first_index != index:
                self._findings.add(
                    Code.ENTRIES_MISSING,
                    f"log/entries row {first_index}",
                    f"entry {index} should come next; nothing behind it is looked at",
                )
                return
            try:
                entries = decode_entries(leaves)
                if not entries:
                    raise FormatError("it has no entries")
            except TransparencyError as error:
                self._findings.add(
                    Code.ENTRY_UNREADABLE,
                    f"log/entries row {index}",
                    f"the batch cannot be taken apart ({error}); nothing behind it is looked at",
                )
                return
            self._check_indexes(index, entries)
            yield index, entries
            index += len(entries)

    def _check_indexes(self, index: int, entries: Sequence[bytes]) -> None:
        facts = entry_facts(entries)
        self._totals.add(facts)
        for place, (kind, _) in enumerate(facts):
            if not kind:
                where = f"log/entries entry {index + place}"
                self._findings.add(Code.ENTRY_UNREADABLE, where, "its bytes are no entry")
        for posting in batch_postings([service for _, service in facts], index):
            key, value = posting.row()
            found = self._tables.get("by_service", key)
            self._postings_met += found is not None
            if found != value:
                self._wrong_service(index, posting.service, "missing" if found is None else "wrong")
                self._corrections.put("by_service", key, value)

    def _wrong_service(self, index: int, service: bytes, what: str) -> None:
        where = f"log/by_service {service.decode('ascii', 'replace')}, batch {index}"
        self._findings.add(Code.SERVICE_INDEX_WRONG, where, f"the row is {what}")

    # Hashes.

    def _close_stretch(
        self, hashes: list[bytes], index: int, checkpoint: Checkpoint | None
    ) -> None:
        """Hold the entries since the last stretch against a checkpoint, and then the tiles."""
        before = self._edge
        append = append_leaves(before=before, leaf_hashes=hashes, tiles=self._edge_tiles)
        if checkpoint is not None:
            if checkpoint.size != index:
                self._wrong_checkpoint(checkpoint.size, "no batch ends there")
            elif append.after.root() == checkpoint.root:
                self._vouched = append.after
            else:
                hashes = self._explain(hashes, before, checkpoint)
                append = append_leaves(before=before, leaf_hashes=hashes, tiles=self._edge_tiles)
        for tile in append.tiles:
            self._edge_tiles.replace(tile.level, tile.index, tile.hashes)
            if tile.width == TILE_WIDTH:
                self._check_tile(tile.level, tile.index, tile.hashes)
        self._edge = append.after

    def _explain(
        self, hashes: list[bytes], before: CompactRange, checkpoint: Checkpoint
    ) -> list[bytes]:
        """The hashes to go on with where the entries do not lead to the checkpoint's root."""
        stored = self._stored_hashes(before.size, len(hashes))
        if stored is None or before.extended(stored).root() != checkpoint.root:
            self._findings.add(
                Code.CHECKPOINT_CONTRADICTED,
                f"log/checkpoint {checkpoint.size}",
                f"entries {before.size} to {checkpoint.size - 1} do not lead to its root,"
                " and neither do the lowest tiles",
            )
            return hashes
        for place, (mine, theirs) in enumerate(zip(hashes, stored, strict=True)):
            if mine != theirs:
                self._findings.add(
                    Code.ENTRY_ALTERED,
                    f"log/entries entry {before.size + place}",
                    "its hash is not the one that the cosigned checkpoint of"
                    f" {checkpoint.size} entries rests on",
                )
        self._vouched = before.extended(stored)
        return stored

    def _stored_hashes(self, start: int, count: int) -> list[bytes] | None:
        hashes: list[bytes] = []
        while len(hashes) < count:
            tile, skipped = divmod(start + len(hashes), TILE_WIDTH)
            content = self._tile(0, tile)
            wanted = min(TILE_WIDTH - skipped, count - len(hashes))
            if content is None or len(content) < (skipped + wanted) * HASH_BYTES:
                return None
            hashes += [
                content[at * HASH_BYTES : (at + 1) * HASH_BYTES]
                for at in range(skipped, skipped + wanted)
            ]
        return hashes

    def _check_tile(self, level: int, index: int, hashes: bytes) -> None:
        found = self._tile(level, index)
        self._tiles_met += found is not None
        if found == hashes:
            return
        self._corrections.put("tile", bytes((level,)) + pack_index(index), hashes)
        what = "is missing" if found is None else "does not hold the hashes of the entries"
        self._findings.add(Code.TILE_WRONG, f"log/tile level {level}, {index}", f"it {what}")

    def _tile(self, level: int, index: int) -> bytes | None:
        return self._tables.get("tile", bytes((level,)) + pack_index(index))

    # Checkpoints.

    def _checkpoints(self) -> Iterator[Checkpoint]:
        """Those that are good, by size."""
        window = TimeWindow.until(int(time.time()), bound_s=CLOCK_SKEW_S)
        for packed, note in self._tables.rows("checkpoint"):
            size = unpack_index(packed)
            trouble, checkpoint = self._judged(note, window)
            if trouble is not None or checkpoint is None:
                where = f"log/checkpoint {size}"
                self._findings.add(Code.CHECKPOINT_INVALID, where, trouble or "")
            elif checkpoint.size != size:
                self._wrong_checkpoint(size, f"is a checkpoint of {checkpoint.size} entries")
            else:
                yield checkpoint

    def _judged(self, note: bytes, window: TimeWindow) -> tuple[str | None, Checkpoint | None]:
        """What is wrong with a note of ours, which has no line that the policy does not know."""
        try:
            examined = examine_checkpoint(
                note, policy=self._policy, verify=signatures.verify, window=window
            )
            lines = len(Note.parse(note).signatures)
        except TransparencyError as error:
            return str(error), None
        for finding in examined.findings:
            if not finding.holds:
                return f"{finding.subject}: {finding.detail}", None
        if lines != 1 + len(examined.cosigned_at_s):
            return "a signature is by nobody whom the policy knows", None
        return None, examined.checkpoint

    def _wrong_checkpoint(self, size: int, what: str) -> None:
        self._findings.add(Code.CHECKPOINT_CONTRADICTED, f"log/checkpoint {size}", f"it {what}")

    # What is left at the end.

    def _check_end(self) -> None:
        state = self._state
        if self._edge != state.edge:
            self._findings.add(
                Code.ROOT_CONTRADICTED,
                "log/meta state",
                f"it says {state.size} entries with root {state.edge.root().hex()},"
                f" the entries are {self._edge.size} with root {self._edge.root().hex()}",
            )
        for level in range((max(self._edge.size, 1).bit_length() - 1) // TILE_HEIGHT + 1):
            index, width = divmod(self._edge.size >> (TILE_HEIGHT * level), TILE_WIDTH)
            if width:
                hashes = self._edge_tiles.read_tile(level=level, index=index, width=width)
                self._check_tile(level, index, hashes)
        self._check_count("tile", self._tiles_met, Code.TILE_WRONG)
        self._check_count("by_service", self._postings_met, Code.SERVICE_INDEX_WRONG)
        self._check_times()
        self._check_totals()

    def _check_count(self, table: str, met: int, code: Code) -> None:
        extra = self._tables.count(table) - met
        if extra:
            self._corrections.extra.add(table)
            self._findings.add(code, f"log/{table}", f"{extra} rows belong to nothing")

    def _check_times(self) -> None:
        until, last_ms = 0, 0
        for key, stored in self._tables.rows("by_time"):
            time_ms, first_index = unpack_index(key[:8]), unpack_index(key[8:])
            where = f"log/by_time {time_ms}, entry {first_index}"
            try:
                end_index = unpack_index(without_check(b"by_time", key, stored))
            except StoreDamagedError:
                self._findings.add(Code.TIME_INDEX_WRONG, where, "the row was altered")
                return
            if first_index != until or not self._ends_at(end_index) or time_ms < last_ms:
                self._findings.add(
                    Code.TIME_INDEX_WRONG,
                    where,
                    f"entry {until} of a block at or after {last_ms} ms should come next",
                )
                return
            until, last_ms = end_index, time_ms
        if until != self._edge.size:
            detail = f"it ends at entry {until} of {self._edge.size}"
            self._findings.add(Code.TIME_INDEX_WRONG, "log/by_time", detail)

    def _ends_at(self, index: int) -> bool:
        place = bisect_left(self._ends, index)
        return place < len(self._ends) and self._ends[place] == index

    def _check_totals(self) -> None:
        size, told, services = read_totals(self._tables.transaction, self._tables.environment)
        found = self._totals
        is_whole = len(told.services) < SERVICES_LISTED_MAX
        listed = {name: found.services[name] for name in told.services}
        if (
            (size, services) != (self._edge.size, len(found.services))
            or told.kinds != found.kinds
            or told.services != (found.services if is_whole else listed)
        ):
            self._corrections.totals = self._totals
            self._findings.add(
                Code.TOTALS_WRONG, "log/meta totals", "they do not count the entries that are there"
            )
