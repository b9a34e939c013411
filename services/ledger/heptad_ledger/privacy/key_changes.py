"""Entries that add and revoke keys, applied to the registry: from the log alone, in its order.

A change is proved before it counts: its request is signed by a key of the same subject that is
active at this place in the log, and a new key has signed for itself; an officer's revocation, by
the ledger's attestation key. The rules are those by which
validators prove the keys in a lease (`heptad.crypto.key_history`). What breaks one is filed like
any other record of that slot and changes nothing, so a validator that records rubbish, or an old
request once more, achieves nothing.

Several changes of one subject may come in one wave, and in a ledger that is built anew even its
registration with them. So rows and keys of the wave are looked at before those of the store.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from heptad.crypto.device_keys import read_addition
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.jwk import PublicKey
from heptad.crypto.key_history import KeyChange, KeyChangeRefusedError, changed, read_change
from heptad.crypto.registration import read_registration
from heptad.crypto.registry_rows import KeyRow
from heptad.crypto.requests import parse_request
from heptad.crypto.sealing import Opened, open_stored
from heptad.model.canonical import MalformedError
from heptad.model.own_actions import KEY_ADD
from heptad.model.problems import Problem
from heptad.wire.convert.entry import decode_entry
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.registry import Registry, Subject
from heptad_ledger.store import Snapshot


@dataclass(frozen=True, slots=True)
class ChangedKeys:
    """The entry at `index` has changed the keys of a subject."""

    subject_id: str
    index: int
    is_revocation: bool

    def __repr__(self) -> str:
        return f"ChangedKeys(index={self.index})"


class _WaveRows:
    """The registry as it stands in the middle of a wave."""

    def __init__(self, snapshot: Snapshot, rows: Mapping[bytes, bytes]) -> None:
        self._snapshot = snapshot
        self._rows = rows

    def subject(self, row_key: bytes) -> bytes | None:
        """A row of the registry."""
        return self._rows.get(row_key) or self._snapshot.subject(row_key)


class KeyChanges:
    """The changes of one wave; `rows` are the wave's rows of the registry, changed in place."""

    def __init__(
        self, registry: Registry, snapshot: Snapshot, rows: MutableMapping[bytes, bytes]
    ) -> None:
        self._registry = registry
        self._snapshot = snapshot
        self._rows = rows
        self.view = _WaveRows(snapshot, rows)
        """The registry after the changes so far."""
        self._new_keys: dict[str, PublicKey] = {}

    def note(self, key: PublicKey) -> None:
        """This key came with the wave: its record is not in the store yet."""
        self._new_keys[key.kid] = key

    def apply(self, opened: Opened, *, entry: bytes, slot: int, index: int) -> ChangedKeys:
        """Apply the change that the opened record of an entry on `slot` makes.

        Raises: KeyChangeRefusedError; then nothing has changed.
        """
        try:
            change = read_change(decode_entry(entry), opened, origin=self._registry.origin)
        except MalformedError as error:
            raise KeyChangeRefusedError(f"the entry: {error}") from None
        subject = self._subject(change.subject_id, slot)
        step = change.step
        rows = changed(subject.keys, step, index=index)
        change.verify(self._signer(subject, change))
        row_key, row = self._registry.row_of(subject, rows)
        self._rows[row_key] = row
        if step.added is not None:
            self.note(step.added)
        return ChangedKeys(subject.subject_id, index, is_revocation=step.added is None)

    def _subject(self, subject_id: str, slot: int) -> Subject:
        subject = self._registry.find(self.view, subject_id)
        if subject is None or subject.slot != slot:
            raise KeyChangeRefusedError("the record lies on another slot than its subject's")
        return subject

    def _signer(self, subject: Subject, change: KeyChange) -> PublicKey:
        """The key that must have signed the change; a subject's is active, so it has a row.

        Raises: KeyChangeRefusedError, StoreDamagedError.
        """
        kid = change.step.signer_kid
        if change.step.by_officer:
            key = self._registry.attestation_keys.get(kid)
            if key is None:
                raise KeyChangeRefusedError("attested by a key that is none of this ledger's")
            return key
        if kid in self._new_keys:
            return self._new_keys[kid]
        [row] = (row for row in subject.keys if row.kid == kid)
        return stored_key(self._snapshot, row, slot_key=subject.slot_key)


def stored_key(snapshot: Snapshot, row: KeyRow, *, slot_key: bytes) -> PublicKey:
    """The public key of a row, out of the record that brought it. Raises: StoreDamagedError."""
    entry, stored = snapshot.entry(row.index), snapshot.sealed(row.index)
    if stored is None:
        raise StoreDamagedError(f"entry {row.index} brings a key, and its record is gone")
    try:
        opened = open_stored(stored, entry=entry, entry_index=row.index, slot_key=slot_key)
        request = parse_request(opened.payload)
        if request.act == KEY_ADD:
            return read_addition(request).key
        return read_registration(request)
    except (Problem, SealBrokenError) as error:
        raise StoreDamagedError(f"entry {row.index} brings a key: {error}") from error
