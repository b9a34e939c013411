"""From committed blocks to one write transaction: leaves, tiles, head, private rows.

Every hash is computed here again, level by level over whole blocks, and must lead to the head that
the block carries and a quorum has certified. If it does not, more replicas are faulty than the
group can stand, or this program is wrong: nothing is written, and nothing after it ever will be.

The cost of an entry must not depend on how many there are. So the right edge and the last tile of
each level stay in memory (no reads), rows are put in sorted runs, and what an entry costs in LMDB
falls with the size of a wave: a page that is touched once for ten rows is written once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from heptad.model.batch import Batch, join_leaves
from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind
from heptad.model.own_actions import OWN_SERVICE
from heptad.model.problems import Problem
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.tiled_tree import append_leaves
from heptad.wire.convert.entry import decode_entry
from heptad.wire.convert.entry_facts import decode_duplicate, entry_facts
from heptad_ledger.chain import CheckedBlock
from heptad_ledger.errors import FollowRefusedError, StoreError, StoreFullError
from heptad_ledger.filing import Filer, WaveFiling
from heptad_ledger.heads import Head
from heptad_ledger.privacy.key_changes import ChangedKeys
from heptad_ledger.privacy.noticing import STATED, noticed
from heptad_ledger.store import (
    AppliedState,
    Duplicate,
    LogStore,
    ServicePosting,
    Snapshot,
    TimeSpan,
    Wave,
)
from heptad_ledger.store.wave import Totals, batch_postings, pack_index


class HeadContradictedError(FollowRefusedError):
    """A quorum certified a head that these entries do not have: an alarm, not a lie of one."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a wave has led to.

    `heads` are those after each of its blocks, `changed_keys` whose keys are others from now on.
    `erasures` counts entries that concern erasures.
    """

    state: AppliedState
    heads: Sequence[Head]
    duplicates: Sequence[Duplicate]
    stated: int
    changed_keys: Sequence[ChangedKeys] = ()
    erasures: int = 0


def _take_none() -> None:
    """For a ledger that only applies."""


class Applier:
    """Applies blocks to the store, in the one thread that writes to it."""

    def __init__(
        self, store: LogStore, filer: Filer, *, take_erasures: Callable[[], None] = _take_none
    ) -> None:
        """`take_erasures` looks at what the store has queued about erasures."""
        self._store = store
        self._filer = filer
        self._take_erasures = take_erasures

    def apply(self, blocks: Sequence[CheckedBlock]) -> Applied:
        """Make one wave of blocks durable; they follow the store's state without a gap.

        Raises: HeadContradictedError, StoreFullError, StoreDamagedError; then nothing has changed.
        """
        try:
            with self._store.snapshot() as snapshot:
                draft = _WaveDraft(self._store, snapshot, self._filer.begin(snapshot))
                for block in blocks:
                    draft.add(block)
            duplicates = self._store.write(draft.wave())
        except (FollowRefusedError, StoreError):
            # The filer counted rows that were never written.
            self._filer.forget()
            raise
        if draft.queued:
            # The wave is durable whatever comes now. What stays queued for want of room is taken by
            # the office, which tries again.
            with suppress(StoreFullError):
                self._take_erasures()
        return Applied(
            state=self._store.state,
            heads=draft.heads,
            duplicates=duplicates,
            stated=len(draft.stated),
            changed_keys=draft.changed_keys,
            erasures=len(draft.queued),
        )


class _WaveDraft:
    """Gathers one wave."""

    def __init__(self, store: LogStore, snapshot: Snapshot, filing: WaveFiling) -> None:
        self._before = store.state
        self._snapshot = snapshot
        self._filing = filing
        self._edge: CompactRange = store.state.edge
        self._edge_tiles = store.edge_tiles.copy()
        self._last: CheckedBlock | None = None
        self._leaves: list[tuple[bytes, bytes]] = []
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._spans: list[TimeSpan] = []
        self._postings: list[ServicePosting] = []
        self._totals = Totals()
        self.stated: list[bytes] = []
        self.queued: list[tuple[int, bytes]] = []
        self.heads: list[Head] = []

    @property
    def changed_keys(self) -> Sequence[ChangedKeys]:
        """Subjects whose keys this wave changes."""
        return self._filing.rows.changed_keys

    def add(self, block: CheckedBlock) -> None:
        """Add the next block. Raises: HeadContradictedError."""
        first_index = index = self._edge.size
        hashes: list[bytes] = []
        for batch in block.batches:
            if batch.header.count:
                hashes += self._add_batch(batch, index)
                index += batch.header.count
        if block.control:
            self._leaves.append((pack_index(index), join_leaves(block.control)))
            hashes += leaf_hashes(block.control)
            self._totals.add(entry_facts(block.control))
            index += len(block.control)
        self._grow(hashes)
        root = self._edge.root()
        if (self._edge.size, root) != (block.head.size, block.head.root):
            raise HeadContradictedError(
                f"block of height {block.height}: {self._edge.size} entries with root {root.hex()},"
                f" its head says {block.head.size} with {block.head.root.hex()}"
            )
        if index > first_index:
            self._spans.append(TimeSpan(block.time_ms, first_index, index))
        self.heads.append(Head(index, root, block.time_ms))
        self._last = block

    def wave(self) -> Wave:
        """All of it, ready to be written."""
        assert self._last is not None, "a wave has at least one block"
        rows = self._filing.rows
        state = replace(
            self._before,
            height=self._last.height,
            block_id=self._last.block_id,
            time_ms=self._last.time_ms,
            edge=self._edge,
            subjects=self._before.subjects + rows.registered,
            unfiled=self._before.unfiled + rows.unfiled,
        )
        return Wave(
            state=state,
            leaves=self._leaves,
            tiles=self._tiles,
            spans=self._spans,
            postings=self._postings,
            sealed=rows.sealed,
            by_subject=rows.by_subject,
            by_request=rows.by_request,
            subjects=tuple(rows.subjects.items()),
            stated=self.stated,
            totals=self._totals,
            queued=self.queued,
        )

    def _add_batch(self, batch: Batch, first_index: int) -> list[bytes]:
        entries = batch.entries()
        facts = entry_facts(entries)
        kinds = [kind for kind, _ in facts]
        self._totals.add(facts)
        self._leaves.append((pack_index(first_index), batch.leaves))
        services = [service for _, service in facts]
        self._postings += batch_postings(services, first_index)
        records = batch.sealed_records()
        self._filing.add(first_index=first_index, entries=entries, kinds=kinds, records=records)
        if OWN_SERVICE in services or not STATED.isdisjoint(kinds):
            self.queued += noticed(
                first_index=first_index, entries=entries, facts=facts, records=records
            )
        if Kind.DUPLICATE in kinds:
            stating = (entries[at] for at, kind in enumerate(kinds) if kind == Kind.DUPLICATE)
            self.stated += [index for entry in stating for index in self._stated_by(entry)]
        return leaf_hashes(entries)

    def _grow(self, hashes: list[bytes]) -> None:
        append = append_leaves(before=self._edge, leaf_hashes=hashes, tiles=self._edge_tiles)
        for tile in append.tiles:
            self._tiles[tile.level, tile.index] = tile.hashes
            self._edge_tiles.replace(tile.level, tile.index, tile.hashes)
        self._edge = append.after

    def _stated_by(self, entry: bytes) -> Iterator[bytes]:
        """The packed index of the queued duplicate that an entry states; none if it is untrue."""
        try:
            index, first_index = decode_duplicate(decode_entry(entry).statement)
        except (MalformedError, Problem):
            return
        if Duplicate(index, first_index) in self._snapshot.duplicates(
            count_max=1, from_index=index
        ):
            yield pack_index(index)
