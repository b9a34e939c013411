"""Who is registered, and how their keys are proved: derived from the log, private on disk.

A row (`heptad.crypto.registry_rows`) leads from a subject's id to its slot and to the entries that
added and revoked its keys. It is written by the transactions that apply those entries, from nothing
but the entries, their records and the vault, so applying the log again makes the same registry.

Nothing that links a subject's entries is readable on disk once its slot's key is destroyed: the
row's own key is a PRF of the subject's id under the *registry key*, the slot in it is encrypted
under that key too, and the list of entries under the subject's slot key. The registry key is the
key of a vault slot of the ledger's own, so it lives nowhere but under the vault's effaceable root.
No subject is ever registered on that slot.

A registration must also be found by its request, which names no subject. If the registry key hid
that slot, the leftovers of two tables would tie the entry to the slot, for ever. So what is kept is
the record's own routing header as it came: it opens as long as its routing key exists, a day or
two, and no longer than the replicas' copies of the same header do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from heptad.crypto.errors import SealBrokenError
from heptad.crypto.filing import open_routing_box, routing_box
from heptad.crypto.jwk import PublicKey
from heptad.crypto.registration import verify_registration
from heptad.crypto.registry_rows import (
    KeyRow,
    open_keys,
    open_slot,
    registry_row_key,
    seal_row,
    tombstone,
    tombstone_digest,
)
from heptad.crypto.requests import parse_request
from heptad.crypto.sealing import Opened
from heptad.model.problems import Problem
from heptad.model.subjects import SubjectId, subject_id
from heptad.vault.cell_keys import DatedRoutingKey
from heptad.vault.errors import SlotErasedError
from heptad.vault.tree import SlotKey
from heptad_ledger.errors import LedgerError
from heptad_ledger.store import Snapshot
from heptad_ledger.store.checked import CHECK_BYTES, with_check, without_check

TOMBSTONE_BYTES: Final = len(tombstone(bytes(32))) + CHECK_BYTES
"""A row of that length is a tombstone: that of a subject which lives is longer."""


class RegistrationRefusedError(LedgerError):
    """A registering record does not register anybody; its leaf stays. The message has no data."""


class Keys(Protocol):
    """What the registry needs of a vault: a `heptad.vault.tree.KeyTree` is one."""

    def lookup(self, slot: int) -> bytes:
        """A slot's 32-byte key. Raises: SlotErasedError, SlotUnknownError."""
        ...

    def routing_keys(self) -> Sequence[DatedRoutingKey]:
        """All routing keys held."""
        ...


class SubjectRows(Protocol):
    """Where rows are found: a `heptad_ledger.store.Snapshot` is one."""

    def subject(self, row_key: bytes) -> bytes | None:
        """A row of the registry."""
        ...


@dataclass(frozen=True, slots=True)
class Registration:
    """What a registering record leads to: the registry's rows, and the subject's first key."""

    rows: tuple[tuple[bytes, bytes], ...]
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Subject:
    """A registered subject: its slot, that slot's key (32 bytes), and its public keys."""

    subject_id: str
    slot: int
    slot_key: bytes
    keys: Sequence[KeyRow]

    def __repr__(self) -> str:
        return f"Subject(slot={self.slot})"


class Registry:
    """Reads and makes rows. `own_slot` is the vault slot whose key is the registry key."""

    def __init__(
        self,
        vault: Keys,
        *,
        own_slot: int,
        origin: str,
        cell_code: str,
        attestation_keys: Mapping[str, PublicKey] = MappingProxyType({}),
    ) -> None:
        """`attestation_keys`, by their kid, speak for officers."""
        self._vault = vault
        self.attestation_keys = attestation_keys
        self._registry_key = vault.lookup(own_slot)
        self.origin = origin
        self._cell_code = cell_code
        self.own_slot = own_slot

    def find(self, rows: SubjectRows, subject: str) -> Subject | None:
        """The subject of that id; None if nobody is registered under it (any more)."""
        row = rows.subject(self._row_key(subject))
        if row is None or self.erased_row(self._row_key(subject), row) is not None:
            return None
        slot = open_slot(row, registry_key=self._registry_key, subject_id=subject)
        try:
            slot_key = self._vault.lookup(slot)
        except SlotErasedError:
            return None
        keys = open_keys(row, slot_key=slot_key, subject_id=subject)
        return Subject(subject, slot, slot_key, keys)

    def erased(self, snapshot: Snapshot, subject: str) -> bytes | None:
        """The digest of the request for which that subject was erased; None if it was not.

        Raises: StoreDamagedError.
        """
        row = snapshot.subject(self._row_key(subject))
        return None if row is None else self.erased_row(self._row_key(subject), row)

    def erased_row(self, row_key: bytes, row: bytes) -> bytes | None:
        """The digest in the row under that key; None if its subject lives.

        Raises: StoreDamagedError.
        """
        if len(row) != TOMBSTONE_BYTES:
            return None
        return tombstone_digest(without_check(b"subject", row_key, row))

    def tombstone(self, subject: str, digest: bytes) -> tuple[bytes, bytes]:
        """The row that takes the place of an erased subject's."""
        row_key = self._row_key(subject)
        return row_key, with_check(b"subject", row_key, tombstone(digest))

    def slot_of_registration(
        self, snapshot: Snapshot, *, request_ref: bytes, entry: bytes
    ) -> SlotKey | None:
        """The slot of the subject whom that request has registered with that entry.

        None once the routing key of its time is gone, or the subject.
        """
        box = self.registration_box(snapshot, request_ref)
        routing = (
            open_routing_box(box, entry=entry, routing_keys=self.routing_keys()) if box else None
        )
        if routing is None:
            return None
        slot = int.from_bytes(routing[0], "big")
        try:
            return SlotKey(slot, self._vault.lookup(slot))
        except SlotErasedError:
            return None

    def registration_box(self, snapshot: Snapshot, request_ref: bytes) -> bytes | None:
        """The routing header of the registration that came with that request, as it came.

        Raises: StoreDamagedError.
        """
        key = self.registration_key(request_ref)
        row = snapshot.subject(key)
        return None if row is None else without_check(b"subject", key, row)

    def routing_keys(self) -> dict[bytes, bytes]:
        """All routing keys held, by their number as u32be."""
        held = self._vault.routing_keys()
        return {dated.key.key_id.to_bytes(4, "big"): dated.key.key for dated in held}

    def register(
        self, opened: Opened, *, sealed: bytes, slot_key: SlotKey, request_ref: bytes, index: int
    ) -> Registration:
        """The rows of the subject whom this record at log index `index` registers.

        The signature is checked here too, although every validator that is lent the key checks it
        again: nobody gets a row by the word of one validator.
        Raises: RegistrationRefusedError.
        """
        key = self._read(opened)
        keys = (KeyRow(key.kid, index),)
        subject = Subject(self._name_of(opened), slot_key.slot, slot_key.key, keys)
        box_key = self.registration_key(request_ref)
        box = with_check(b"subject", box_key, routing_box(sealed))
        return Registration((self.row_of(subject, keys), (box_key, box)), key)

    def row_of(self, subject: Subject, keys: Sequence[KeyRow]) -> tuple[bytes, bytes]:
        """The row of a subject that has these keys now, and the key under which it stands."""
        row = seal_row(
            registry_key=self._registry_key,
            slot_key=subject.slot_key,
            subject_id=subject.subject_id,
            slot=subject.slot,
            keys=keys,
        )
        return self._row_key(subject.subject_id), row

    def subject_of(self, opened: Opened) -> SubjectId:
        """The id of the subject whom this opened record registers.

        Raises: RegistrationRefusedError.
        """
        self._read(opened)
        return self._name_of(opened)

    def _name_of(self, opened: Opened) -> SubjectId:
        return subject_id(cell_code=self._cell_code, witness=opened.witness, payload=opened.payload)

    def registration_key(self, request_ref: bytes) -> bytes:
        """Where a registration's routing header stands. No subject's id holds a colon."""
        return self._row_key(f"registration:{request_ref.hex()}")

    def _row_key(self, subject_id: str) -> bytes:
        return registry_row_key(registry_key=self._registry_key, subject_id=subject_id)

    def _read(self, opened: Opened) -> PublicKey:
        """The key that a registration brings. Raises: RegistrationRefusedError."""
        try:
            request = parse_request(opened.payload)
            key = verify_registration(request)
        except Problem as problem:
            raise RegistrationRefusedError(f"a registration: {problem.code}") from problem
        except SealBrokenError as error:
            raise RegistrationRefusedError("a registration does not open") from error
        if request.aud != self.origin:
            raise RegistrationRefusedError("a registration for another cell")
        return key
