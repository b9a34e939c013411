"""Filing a record: its private half, the rows that find it, and whom it registers.

For each record the routing header is opened and dropped; what stays is the sealed record with its
lease id masked, a row under a PRF of the subject's index key, and a row for the request. That is
done to every record of the cell, so the loop is flat and what it calls works on many at a time.

A validator may be evil, so nothing here may break the ledger, whatever a record holds. A record
stays unfiled (its leaf stays, it is counted) if its header does not open, if its slot was never
given out, is erased or is to be, if it names a slot on which nobody is registered, or registers
somebody on a slot that is taken, or whose id is known. So the first row of a slot is always its
subject's registration, and no id ever gets a second one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from heptad.crypto.derivation import lease_key, request_ref, subject_index_key, subject_row_key
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.filing import RoutingFields, open_routings, stored_row
from heptad.crypto.key_history import KEY_KINDS, KeyChangeRefusedError, is_key_change
from heptad.crypto.sealing import NO_REQUEST_REF, Opened, open_record
from heptad.model.entry import Kind
from heptad.vault.errors import SlotErasedError, SlotUnknownError
from heptad.vault.genesis import FIRST_SLOT
from heptad.vault.tree import KeyTree, SlotKey
from heptad_ledger.bundles import stated_bundle
from heptad_ledger.privacy.holds import HoldBook
from heptad_ledger.privacy.key_changes import ChangedKeys, KeyChanges
from heptad_ledger.registry import Registration, RegistrationRefusedError, Registry
from heptad_ledger.store import Snapshot
from heptad_ledger.store.wave import pack_index

SLOTS_REMEMBERED_MAX: Final = 200_000
"""Index keys kept in memory, about 250 bytes each; without one a record costs 60 µs more."""

_KINDS_CHANGING_KEYS: Final = frozenset(map(int, {*KEY_KINDS, Kind.ACCESS}))


@dataclass(slots=True)
class FiledRows:
    """Rows for the store, by ascending index, and what was counted on the way."""

    sealed: list[tuple[bytes, bytes]] = field(default_factory=list)
    by_subject: list[tuple[bytes, bytes]] = field(default_factory=list)
    by_request: list[tuple[bytes, bytes]] = field(default_factory=list)
    subjects: dict[bytes, bytes] = field(default_factory=dict)
    """Rows of the registry, by row key; of several for one subject the last one counts."""
    changed_keys: list[ChangedKeys] = field(default_factory=list)
    registered: int = 0
    unfiled: int = 0


@dataclass(slots=True)
class _Slot:
    """What is kept of a subject's slot: its index key, and the number of its next row."""

    index_key: bytes
    row_next: int


class Filer:
    """Files records, wave by wave; remembers slots that it has met. For one thread."""

    def __init__(self, vault: KeyTree, registry: Registry) -> None:
        self._vault = vault
        self.registry = registry
        self.slots: dict[bytes, _Slot] = {}
        """The slots that are remembered, by their number as u64be."""
        self.holds = HoldBook()
        self.closed: set[int] = set()
        """Slots whose erasure is ordered: nothing more is filed for them, while their keys live."""

    def forget(self) -> None:
        """Drop everything remembered: after a wave that was not written, or an erasure."""
        self.slots.clear()

    def close(self, slot: int) -> None:
        """File nothing more for that slot."""
        self.closed.add(slot)
        self.slots.pop(slot.to_bytes(8, "big"), None)

    def begin(self, snapshot: Snapshot) -> "WaveFiling":
        """File one wave; `snapshot` shows the store before it."""
        return WaveFiling(self, snapshot)

    def index_key(self) -> bytes:
        """The cell's key for request references."""
        return self._vault.index_key()

    def slot_key(self, slot: int) -> bytes | None:
        """The key of a slot that a subject may have; None for any other."""
        if slot == self.registry.own_slot or slot in self.closed:
            return None
        try:
            return self._vault.lookup(slot)
        except (SlotErasedError, SlotUnknownError):
            return None

    def find(self, packed_slot: bytes, snapshot: Snapshot) -> _Slot | None:
        """A slot that is not in `slots`, from vault and store; from then on it is remembered."""
        slot_key = self.slot_key(int.from_bytes(packed_slot, "big"))
        if slot_key is None:
            return None
        index_key = subject_index_key(slot_key)
        known = _Slot(index_key, row_count(snapshot, index_key))
        while len(self.slots) >= SLOTS_REMEMBERED_MAX:
            del self.slots[next(iter(self.slots))]
        self.slots[packed_slot] = known
        return known

    def was_given_out(self, slot: int) -> bool:
        """Whether a subject may have, or have had, that slot."""
        return slot != self.registry.own_slot and FIRST_SLOT <= slot < self._vault.slot_next

    def register(
        self, *, entry: bytes, sealed: bytes, routing: RoutingFields, index: int
    ) -> Registration:
        """What a registering record leads to. Raises: RegistrationRefusedError."""
        opened, slot_key = self.opened(entry=entry, sealed=sealed, routing=routing)
        if opened is None or slot_key is None:
            raise RegistrationRefusedError("a registration does not open")
        return self.registry.register(
            opened, sealed=sealed, slot_key=slot_key, request_ref=routing[2], index=index
        )

    def opened(
        self, *, entry: bytes, sealed: bytes, routing: RoutingFields
    ) -> tuple[Opened, SlotKey] | tuple[None, None]:
        """A record as it came, with the key of its slot; None twice where it does not open."""
        packed_slot, lease_id, _ = routing
        slot = int.from_bytes(packed_slot, "big")
        key = self.slot_key(slot)
        if key is None:
            return None, None
        try:
            lease = lease_key(slot_key=key, lease_id=lease_id)
            return open_record(sealed, entry=entry, lease=lease), SlotKey(slot, key)
        except SealBrokenError:
            return None, None


class WaveFiling:
    """The records of one wave: `add` batch after batch, then take `rows`."""

    def __init__(self, filer: Filer, snapshot: Snapshot) -> None:
        self.rows = FiledRows()
        self._filer = filer
        self._snapshot = snapshot
        self._routing_keys = filer.registry.routing_keys()
        self._registrations: set[bytes] = set()
        self._key_changes = KeyChanges(filer.registry, snapshot, self.rows.subjects)

    def add(
        self,
        *,
        first_index: int,
        entries: Sequence[bytes],
        kinds: Sequence[int],
        records: Sequence[bytes],
    ) -> None:
        """File the records of one batch; an empty record has no private half."""
        pairs = zip(entries, records, strict=True)
        registering, bundle = int(Kind.SUBJECT_REGISTERED), int(Kind.BUNDLE)
        changing = _KINDS_CHANGING_KEYS
        routings = open_routings(pairs, routing_keys=self._routing_keys)
        rows, slots, find = self.rows, self._filer.slots, self._find
        file_sealed, file_row = rows.sealed.append, rows.by_subject.append
        file_request = rows.by_request.append
        for offset, (routing, sealed) in enumerate(zip(routings, records, strict=True)):
            slot = (slots.get(routing[0]) or find(routing[0])) if routing else None
            if routing is None or slot is None:
                if kinds[offset] == bundle:
                    self._file_bundle(entries[offset], first_index + offset)
                else:
                    rows.unfiled += bool(sealed)
                continue
            is_registration = kinds[offset] == registering
            if is_registration is not (slot.row_next == 0):
                rows.unfiled += 1
                continue
            index = first_index + offset
            if is_registration and not self._register(entries[offset], sealed, routing, index):
                continue
            if kinds[offset] in changing and is_key_change(kinds[offset], entries[offset]):
                self._change_keys(entries[offset], sealed, routing, index)
            _, lease_id, request_ref = routing
            packed = pack_index(index)
            stored, row_key = stored_row(
                sealed,
                lease_id=lease_id,
                index_key=slot.index_key,
                packed_index=packed,
                packed_row=pack_index(slot.row_next),
            )
            slot.row_next += 1
            file_sealed((packed, stored))
            file_row((row_key, packed))
            if request_ref != NO_REQUEST_REF:
                file_request((request_ref, packed))

    def _file_bundle(self, entry: bytes, index: int) -> None:
        """File a bundle's own entry under its request reference.

        It has no sealed half, so its name is taken from what it says in public. A statement that
        cannot be read names nothing: its leaf stays, and it cannot be found.
        """
        statement = stated_bundle(entry)
        if statement is None:
            self.rows.unfiled += 1
            return
        reference = request_ref(
            cell_index_key=self._filer.index_key(), request_id=statement.request_id
        )
        self.rows.by_request.append((reference, pack_index(index)))

    def _find(self, packed_slot: bytes) -> _Slot | None:
        return self._filer.find(packed_slot, self._snapshot)

    def _register(self, entry: bytes, sealed: bytes, routing: RoutingFields, index: int) -> bool:
        """Register the subject of this record; tell whether the record is to be filed.

        A later copy of a registration registers nobody: the lowest index wins, and a second id for
        one request would leave data that no subject can reach. It is known as a later copy.
        """
        request_ref = routing[2]
        if request_ref in self._registrations or self._snapshot.request(request_ref) is not None:
            self.rows.by_request.append((request_ref, pack_index(index)))
            return False
        try:
            new = self._filer.register(entry=entry, sealed=sealed, routing=routing, index=index)
            self._require_new(new.rows)
        except RegistrationRefusedError:
            self.rows.unfiled += 1
            return False
        self._registrations.add(request_ref)
        self.rows.subjects.update(new.rows)
        self.rows.registered += 1
        self._key_changes.note(new.key)
        return True

    def _change_keys(self, entry: bytes, sealed: bytes, routing: RoutingFields, index: int) -> None:
        """Apply a change of a subject's keys; one that does not count is filed and no more."""
        opened, slot_key = self._filer.opened(entry=entry, sealed=sealed, routing=routing)
        if opened is None or slot_key is None:
            return
        try:
            made = self._key_changes.apply(opened, entry=entry, slot=slot_key.slot, index=index)
        except KeyChangeRefusedError:
            return
        self.rows.changed_keys.append(made)

    def _require_new(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Refuse the id of a subject that is there, or was: its record, sealed once more for
        another slot by who has kept it, would take the subject's place or bring it back.

        Raises: RegistrationRefusedError.
        """
        for key, _ in rows:
            if key in self.rows.subjects or self._snapshot.subject(key) is not None:
                raise RegistrationRefusedError("a registration of an id that is known")


def row_count(snapshot: Snapshot, index_key: bytes) -> int:
    """How many rows a subject has: they are numbered from 0 without a gap, so a galloping search
    finds the end in O(log n) look-ups and no count has to be kept where it would say something.
    """

    def exists(row: int) -> bool:
        return snapshot.subject_row(subject_row_key(index_key=index_key, row=row)) is not None

    if not exists(0):
        return 0
    low, high = 0, 1
    while exists(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exists(middle) else (low, middle)
    return high
