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
_UNREAD: Final = 255
"""No kind; an entry's kind is known once it was read."""

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
        self._places = _Places()
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
        """Find the subject's entries from an index on, so many at most: 5 µs each. Called once."""
        with self._store.snapshot() as snapshot:
            rows = entries_of(snapshot, slot_key=self._slot_key())
            for index in takewhile(lambda index: index < self._checkpoint.size, rows):
                if index < from_index:
                    continue
                if len(self._indexes) == count_max:
                    self._continues_at = index
                    break
                self._indexes.append(index)
        self._places.extend(len(self._indexes))

    def held(self, kinds: Container[Kind] | None = None) -> Iterator[Held]:
        """See `heptad.exports.Source`. Raises: StoreDamagedError; Problem of `slot_key`."""
        for start in range(0, len(self._indexes), CHUNK):
            slot_key = self._slot_key()
            numbers = range(start, min(start + CHUNK, len(self._indexes)))
            with self._store.snapshot() as snapshot:
                chunk = [
                    _held(self._indexes[number], self._read(number, snapshot), snapshot, slot_key)
                    for number in numbers
                    if self._is_wanted(number, kinds, snapshot)
                ]
            yield from chunk

    def _is_wanted(self, number: int, kinds: Container[Kind] | None, snapshot: Snapshot) -> bool:
        if kinds is None:
            return True
        if self._places.kinds[number] == _UNREAD:
            self._read(number, snapshot)
        return self._places.kinds[number] in kinds

    def _read(self, number: int, snapshot: Snapshot) -> bytes:
        """The bytes of the subject's entry of that number, held against their hash."""
        index, places = self._indexes[number], self._places
        if places.kinds[number] == _UNREAD:
            first_index, leaves = next(snapshot.batches(index))
            places.firsts[number] = first_index
            places.offsets[number] = _offset(leaves, index - first_index)
        else:
            leaves = snapshot.leaves(places.firsts[number])
        at = places.offsets[number]
        data = leaves[at + 2 : at + 2 + int.from_bytes(leaves[at : at + 2], "big")]
        snapshot.require_whole([(index, data)])
        places.kinds[number] = min(entry_facts([data])[0][0], _UNREAD - 1)
        return data

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


class _Places:
    """Where the entries lie, once they were read: in which batch, at which byte, of which kind.

    A leaf is found by walking through its batch, half of it on average, which costs ten times as
    much as all else; an export reads each entry several times. 13 bytes an entry.
    """

    __slots__ = ("firsts", "kinds", "offsets")

    def __init__(self) -> None:
        self.firsts = array("Q")
        self.offsets = array("I")
        self.kinds = array("B")

    def extend(self, count: int) -> None:
        """So many entries, none of them read yet."""
        self.firsts.extend([0] * count)
        self.offsets.extend([0] * count)
        self.kinds.extend([_UNREAD] * count)


def _offset(leaves: bytes, skipped: int) -> int:
    """Where an entry begins in the leaves section of its batch, with its length in front."""
    at = 0
    for _ in range(skipped):
        at += 2 + (leaves[at] << 8 | leaves[at + 1])
    return at


def _held(index: int, data: bytes, snapshot: Snapshot, slot_key: bytes) -> Held:
    """An entry and what its record opens to."""
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
