"""Reads all that the ledger holds about one subject, under one checkpoint, a few entries at a time.

Whoever exports takes seconds or minutes, so nothing is held meanwhile: each chunk has a snapshot of
its own (an open one would keep LMDB from using freed pages again), and asks the vault for the
slot's key anew. A subject that is erased in between is so for its export too. What was published
never changes, so all chunks stand under the checkpoint of the beginning.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from heptad.crypto.bundles import membership_path
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.sealing import open_stored
from heptad.exports import Held
from heptad.model.bundles import leaves_of_entries
from heptad.model.entry import Entry, Kind
from heptad.model.log_reads import BundleMembership, PublishedCheckpoint
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.errors import TransparencyError
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.notes import Note
from heptad.transparency.receipt import Receipt
from heptad.transparency.tiled_tree import TiledTree
from heptad.transparency.tiles import decode_entries
from heptad.verification import ReceiptFile
from heptad.wire.convert.entry_facts import entry_facts
from heptad_ledger.bundles import bundle_at, events_of
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.log_reads import StoreTiles
from heptad_ledger.privacy.rows import entries_of
from heptad_ledger.store import LogStore, Snapshot

CHUNK: Final = 64
BUNDLES_KEPT_MAX: Final = 16
"""About half a megabyte each: many events of one subject come in one bundle."""


@dataclass(frozen=True, slots=True)
class _Bundle:
    """A bundle's place, its own entry, and its events with their leaves."""

    index: int
    entry: bytes
    count: int
    leaves: Sequence[bytes]


class SubjectReader:
    """A `heptad.exports.Source`. For one thread at a time."""

    def __init__(
        self,
        store: LogStore,
        *,
        slot_key: Callable[[], bytes],
        checkpoint: PublishedCheckpoint,
    ) -> None:
        """`slot_key` gives the subject's key as long as there is one; else it raises Problem."""
        self._store = store
        self._slot_key = slot_key
        self._checkpoint = checkpoint
        self._root = Checkpoint.parse(Note.parse(checkpoint.note).text).root
        self._tree = TiledTree(size=checkpoint.size, tiles=StoreTiles(store))
        self._bundles: OrderedDict[int, _Bundle] = OrderedDict()
        self._indexes = array("Q")
        self._continues_at: int | None = None

    @property
    def indexes(self) -> Sequence[int]:
        """See `heptad.exports.Source`."""
        return self._indexes

    @property
    def continues_at(self) -> int | None:
        """See `heptad.exports.Source`."""
        return self._continues_at

    def find(self, *, from_index: int, count_max: int) -> None:
        """Find the subject's entries from an index on, so many at most: 5 µs each."""
        with self._store.snapshot() as snapshot:
            rows = entries_of(snapshot, slot_key=self._slot_key())
            for index in takewhile(lambda index: index < self._checkpoint.size, rows):
                if index < from_index:
                    continue
                if len(self._indexes) == count_max:
                    self._continues_at = index
                    return
                self._indexes.append(index)

    def held(self, kinds: Container[Kind] | None = None) -> Iterator[Held]:
        """See `heptad.exports.Source`. Raises: StoreDamagedError; Problem of `slot_key`."""
        for start in range(0, len(self._indexes), CHUNK):
            slot_key = self._slot_key()
            with self._store.snapshot() as snapshot:
                chunk = [
                    held
                    for index in self._indexes[start : start + CHUNK]
                    if (held := _held(index, snapshot, slot_key, kinds)) is not None
                ]
            yield from chunk

    def receipt(self, held: Held) -> ReceiptFile:
        """See `heptad.exports.Source`. Raises: StoreDamagedError."""
        receipt = Receipt(held.index, self._proof(held.index, held.data), self._checkpoint.note)
        bundle = None
        if entry_facts([held.data])[0][0] == Kind.EVENT:
            bundle = self._membership(held.index)
        if held.payload is None or held.witness is None:
            return ReceiptFile(held.data, receipt, bundle=bundle)
        return ReceiptFile(held.data, receipt, held.payload, held.witness, bundle)

    def _proof(self, index: int, entry: bytes) -> tuple[bytes, ...]:
        """An inclusion proof, held against the root that was signed. Raises: StoreDamagedError."""
        try:
            proof = self._tree.inclusion_proof(index)
            verify_inclusion(
                leaf_index=index,
                tree_size=self._checkpoint.size,
                leaf_hash=leaf_hash(entry),
                proof=proof,
                root_hash=self._root,
            )
        except TransparencyError as error:
            raise StoreDamagedError(f"the proof of entry {index}: {error}") from error
        return tuple(proof)

    def _membership(self, index: int) -> BundleMembership | None:
        """What proves an event to be its service's; None where no bundle stands in front of it."""
        bundle = self._bundle_of(index)
        if bundle is None:
            return None
        return BundleMembership(
            index=bundle.index,
            entry=bundle.entry,
            inclusion=self._proof(bundle.index, bundle.entry),
            path=membership_path(bundle.leaves, index - bundle.index - 1),
        )

    def _bundle_of(self, index: int) -> _Bundle | None:
        for bundle in self._bundles.values():
            if bundle.index < index <= bundle.index + bundle.count:
                return bundle
        with self._store.snapshot() as snapshot:
            found = _find_bundle(index, snapshot)
        if found is not None:
            self._bundles[found.index] = found
            while len(self._bundles) > BUNDLES_KEPT_MAX:
                self._bundles.popitem(last=False)
        return found


def _held(
    index: int, snapshot: Snapshot, slot_key: bytes, kinds: Container[Kind] | None
) -> Held | None:
    """An entry and what its record opens to; None for one that is not of these kinds."""
    data = snapshot.entry(index)
    if kinds is not None and entry_facts([data])[0][0] not in kinds:
        return None
    stored = snapshot.sealed(index)
    if stored is None:
        return Held(index, data)
    try:
        opened = open_stored(stored, entry=data, entry_index=index, slot_key=slot_key)
    except SealBrokenError:
        # A validator may have sealed it to be opened by nobody; fsck tells the operator.
        return Held(index, data)
    return Held(index, data, opened.payload, opened.witness)


def _find_bundle(index: int, snapshot: Snapshot) -> _Bundle | None:
    """The bundle that the event at `index` is of: it stands before it in the same batch."""
    first_index, leaves = next(snapshot.batches(index))
    kinds = [kind for kind, _ in entry_facts(decode_entries(leaves)[: index - first_index])]
    for place in range(len(kinds) - 1, -1, -1):
        if kinds[place] == Kind.BUNDLE:
            return _whole(first_index + place, index, snapshot)
    return None


def _whole(bundle_index: int, index: int, snapshot: Snapshot) -> _Bundle | None:
    entries = bundle_at(snapshot, bundle_index)
    events: list[Entry] = events_of(entries)
    if index > bundle_index + len(events):
        return None
    leaves = leaves_of_entries(events, service=events[0].service)
    return _Bundle(bundle_index, entries[0], len(events), leaves)
