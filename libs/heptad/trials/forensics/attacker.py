"""Puts together what was carved: keys from roots, payloads from keys, and entries of one person.

Everything is tried with everything that could fit: each record with each key of a slot that was
reached, in any version of any epoch, and with the lease keys that follow from it; each routing
header with each routing key and each public entry; each pointer with each subject's key. Whether a
record opens is judged by its plaintext and not by its seal where its length is not known: an
attacker needs no proof that bytes are unchanged.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Final

from heptad.crypto import aead
from heptad.crypto.derivation import (
    lease_key,
    lease_mask,
    subject_index_key,
    subject_row_key,
)
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.filing import open_routing_box
from heptad.crypto.registry_rows import open_keys, open_slot, registry_row_key
from heptad.crypto.sealing import WITNESS_BYTES, open_stored
from heptad.trials.forensics import carving
from heptad.trials.forensics.loot import Loot
from heptad.trials.forensics.walking import BLOB_BYTES_MAX, Keys, Walk

WAYS: Final = ("routing", "lease", "pointers", "registry", "records")
UNKNOWN_SLOT: Final = -1
EPOCHS_AHEAD_MAX: Final = 1_000
_TEXT_BYTES: Final = 24
_NONCE_AT: Final = 17
_RECORD_AT: Final = _NONCE_AT + aead.NONCE_BYTES


@dataclass(frozen=True, slots=True)
class Header:
    """A routing header that opened: whose entry it is, and under which lease it was sealed."""

    index: int
    slot: int
    lease_id: bytes


class Attacker:
    """One who has this loot; `entries` are the log's, `known_ids` ids of subjects he has learnt."""

    def __init__(
        self, loot: Loot, *, entries: Sequence[bytes], known_ids: Iterable[str] = ()
    ) -> None:
        self._loot = loot
        self._entries = tuple(entries)
        self._known_ids = tuple(known_ids)

    # Keys.

    @cached_property
    def roots(self) -> frozenset[bytes]:
        """Root keys that lie about: in root key files, and in keys of backups."""
        found = {key for _, key in self._root_files}
        found |= {key for raw in self._raw() for key in carving.written_keys(raw)}
        return frozenset(found)

    @cached_property
    def _root_files(self) -> frozenset[tuple[int, bytes]]:
        return frozenset(found for raw in self._raw() for found in carving.root_keys(raw))

    @cached_property
    def keys(self) -> Keys:
        """Everything that the vault's nodes give away, with what lies open in any database."""
        # Most numbers in files would be epochs far ahead of any root key's. Not of the live one's:
        # what a ledger wrote before it was lost may be ahead of the backup that took its place.
        last = max((epoch for epoch, _ in self._root_files), default=carving.EPOCH_MAX)
        epoch_max = last + EPOCHS_AHEAD_MAX
        blobs = (
            blob
            for raw in self._raw()
            for blob in carving.blobs(raw, blob_bytes_max=BLOB_BYTES_MAX)
            if blob.epoch <= epoch_max
        )
        keys = Walk(blobs).keys_from(self.roots)
        for raw in self._raw():
            for key in carving.open_keys(raw):
                keys.slots.setdefault(key, UNKNOWN_SLOT)
        return keys

    @cached_property
    def headers(self) -> dict[bytes, Header]:
        """Routing headers that open, by their boxes."""
        found: dict[bytes, Header] = {}
        for box in {box.box: box for box in self._boxes}.values():
            for key in self.keys.routing.get(box.key_id, ()):
                header = self._header(box.box, box.key_id, key)
                if header is not None:
                    found[box.box] = header
        return found

    # What he learns.

    def payloads(self) -> list[bytes]:
        """Every payload that opens; one whose length is not known may have some bytes too many."""
        return sorted({payload for _, payload, _ in self._opened})

    @cached_property
    def groups(self) -> dict[str, list[frozenset[int]]]:
        """Groups of entries, by index, that are one person's, by the way in which that shows.

        `routing`: their routing headers name one slot; `lease`: or one lease; `pointers`: rows of
        one subject point at them; `registry`: a known id leads to its slot and its keys' entries;
        `records`: they open under one key.
        """
        ways: dict[str, dict[object, set[int]]] = {way: defaultdict(set) for way in WAYS}
        for header in self.headers.values():
            ways["routing"][header.slot].add(header.index)
            ways["lease"][header.lease_id].add(header.index)
        for key, slot in self.keys.slots.items():
            ways["pointers"][slot if slot >= 0 else key].update(self._pointed_at(key))
        for slot, indexes in self._registered():
            ways["registry"][slot].update(indexes)
        for index, _, key in self._opened:
            if index is not None:
                ways["records"][key].add(index)
        return {way: [frozenset(g) for g in of.values() if g] for way, of in ways.items()}

    def links(self, indexes: Iterable[int]) -> dict[str, frozenset[int]]:
        """Which of these entries, all of one person, he knows to be one person's, by each way.

        The largest group that is all theirs, if it is of two or more.
        """
        wanted = frozenset(indexes)
        found = {}
        for way, groups in self.groups.items():
            largest = max((group & wanted for group in groups), key=len, default=frozenset())
            if len(largest) > 1:
                found[way] = largest
        return found

    # Within.

    def _raw(self) -> Iterator[bytes]:
        return self._loot.contents()

    @cached_property
    def _opened(self) -> tuple[tuple[int | None, bytes, bytes], ...]:
        """Index, payload, and the slot's key that opened it."""
        return (*self._stored_payloads(), *self._sent_payloads())

    @cached_property
    def _boxes(self) -> tuple[carving.Box, ...]:
        return tuple({box.box: box for raw in self._raw() for box in carving.boxes(raw)}.values())

    @cached_property
    def _rows(self) -> tuple[carving.StoredRow, ...]:
        return tuple(
            {row.stored: row for raw in self._raw() for row in carving.stored_rows(raw)}.values()
        )

    @cached_property
    def _pointers(self) -> dict[bytes, int]:
        size = len(self._entries)
        return {k: i for raw in self._raw() for k, i in carving.pointers(raw, below=size)}

    @cached_property
    def _short_rows(self) -> dict[bytes, list[bytes]]:
        found: dict[bytes, list[bytes]] = defaultdict(list)
        for raw in self._raw():
            for key, value in carving.rows_by_short_key(raw):
                found[key].append(value)
        return found

    def _header(self, box: bytes, key_id: int, key: bytes) -> Header | None:
        keys = {key_id.to_bytes(4, "big"): key}
        for index, entry in enumerate(self._entries):
            opened = open_routing_box(box, entry=entry, routing_keys=keys)
            if opened is not None:
                return Header(index, int.from_bytes(opened[0], "big"), opened[1])
        return None

    @cached_property
    def _keys_of_entry(self) -> dict[int, list[bytes]]:
        """Where a routing header tells whose an entry is: the keys of that slot, and keys that lie
        open, of which nobody knows the slot."""
        by_slot: dict[int, list[bytes]] = defaultdict(list)
        for key, slot in self.keys.slots.items():
            by_slot[slot].append(key)
        headers = self.headers.values()
        return {header.index: by_slot[header.slot] + by_slot[UNKNOWN_SLOT] for header in headers}

    def _stored_payloads(self) -> Iterator[tuple[int | None, bytes, bytes]]:
        """Of the ledger's rows."""
        everything = list(self.keys.slots)
        for row in self._rows:
            if row.index is None:
                for key in everything:
                    yield from self._long_payloads(row.stored, key)
            elif row.index < len(self._entries):
                for key in self._keys_of_entry.get(row.index, everything):
                    payload = _stored_payload(row, self._entries[row.index], key)
                    if payload is not None:
                        yield row.index, payload, key

    def _long_payloads(self, stored: bytes, key: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """Of a row on overflow pages, which says neither its index nor its length."""
        index_key = subject_index_key(key)
        for index in range(len(self._entries)):
            mask = lease_mask(index_key=index_key, entry_index=index)
            lease = bytes(a ^ b for a, b in zip(stored[1:_NONCE_AT], mask, strict=True))
            payload = _text(
                lease_key(slot_key=key, lease_id=lease),
                stored[_NONCE_AT:_RECORD_AT],
                stored[_RECORD_AT:],
            )
            if payload is not None:
                yield index, payload, key

    def _sent_payloads(self) -> Iterator[tuple[int | None, bytes, bytes]]:
        """Of records as validators have sent them, which replicas keep for a while.

        They are sealed under keys of leases, which only headers name.
        """
        lent = {(header.slot, header.lease_id) for header in self.headers.values()}
        candidates = {
            lease_key(slot_key=key, lease_id=lease_id): key
            for key, slot in self.keys.slots.items()
            for of_slot, lease_id in lent
            if slot in (of_slot, UNKNOWN_SLOT)
        }
        for box in self._boxes:
            header = self.headers.get(box.box)
            nonce, ciphertext = box.rest[: aead.NONCE_BYTES], box.rest[aead.NONCE_BYTES :]
            if not carving.looks_random(nonce):
                continue
            for key, of_slot_key in candidates.items():
                payload = _text(key, nonce, ciphertext)
                if payload is not None:
                    yield header.index if header else None, payload, of_slot_key

    def _pointed_at(self, slot_key: bytes) -> set[int]:
        """The entries that a subject's rows point at."""
        index_key = subject_index_key(slot_key)
        found: set[int] = set()
        for row in count():
            index = self._pointers.get(subject_row_key(index_key=index_key, row=row))
            if index is None:
                return found
            found.add(index)
        raise AssertionError("a count has no end")

    def _registered(self) -> Iterator[tuple[int, set[int]]]:
        """Slots of the ids that he knows, and the entries that brought their keys."""
        for subject_id in self._known_ids:
            for registry_key in self.keys.slots:
                row_key = registry_row_key(registry_key=registry_key, subject_id=subject_id)
                for row in self._short_rows.get(row_key, ()):
                    yield from self._read_registry(row, registry_key, subject_id)

    def _read_registry(
        self, row: bytes, registry_key: bytes, subject_id: str
    ) -> Iterator[tuple[int, set[int]]]:
        try:
            slot = open_slot(row, registry_key=registry_key, subject_id=subject_id)
        except SealBrokenError:
            return
        for key in self.keys.slots:
            try:
                rows = open_keys(row, slot_key=key, subject_id=subject_id)
            except SealBrokenError:
                continue
            yield slot, {row.index for row in rows}


def _stored_payload(row: carving.StoredRow, entry: bytes, slot_key: bytes) -> bytes | None:
    assert row.index is not None
    try:
        return open_stored(
            row.stored, entry=entry, entry_index=row.index, slot_key=slot_key
        ).payload
    except SealBrokenError:
        return None


def _text(key: bytes, nonce: bytes, ciphertext: bytes) -> bytes | None:
    """The payload, if it looks like text; the seal is not asked, and need not be complete."""
    head = _stream(key, nonce, ciphertext[: WITNESS_BYTES + _TEXT_BYTES])[WITNESS_BYTES:]
    if len(head) < _TEXT_BYTES or not _is_printable(head):
        return None
    whole = _stream(key, nonce, ciphertext)[WITNESS_BYTES:]
    end = next((at for at, byte in enumerate(whole) if not 0x20 <= byte < 0x7F), len(whole))
    return whole[:end]


def _stream(key: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
    """What a stream cipher says of bytes whose tag nobody has: its key stream is zeros, sealed."""
    zeros = bytes(len(ciphertext))
    stream = aead.encrypt(key=key, nonce=nonce, plaintext=zeros, associated=b"")
    mixed = int.from_bytes(ciphertext, "big") ^ int.from_bytes(stream[: len(zeros)], "big")
    return mixed.to_bytes(len(zeros), "big")


def _is_printable(text: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in text)
