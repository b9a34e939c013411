"""What of the log is a subject's: told by its rows, for who has its slot's key."""

from collections.abc import Iterator
from itertools import count

from heptad.crypto.derivation import subject_index_key, subject_row_key
from heptad.crypto.device_keys import read_addition
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.jwk import PublicKey
from heptad.crypto.registration import read_registration
from heptad.crypto.requests import parse_request
from heptad.crypto.sealing import Opened, open_stored
from heptad.model.own_actions import REGISTER
from heptad.model.problems import Problem
from heptad.model.subjects import SubjectId
from heptad_ledger.registry import RegistrationRefusedError, Registry, Subject
from heptad_ledger.store import Snapshot


def entries_of(snapshot: Snapshot, *, slot_key: bytes, from_row: int = 0) -> Iterator[int]:
    """The indexes of a subject's entries, ascending; the first is its registration's.

    `slot_key` has 32 bytes; rows before `from_row` are passed over. Rows are numbered from 0
    without a gap, so the first that is missing is the end: about 5 µs each.
    """
    index_key = subject_index_key(slot_key)
    for row in count(from_row):
        index = snapshot.subject_row(subject_row_key(index_key=index_key, row=row))
        if index is None:
            return
        yield index


def opened_at(snapshot: Snapshot, index: int, *, slot_key: bytes) -> Opened | None:
    """The record of a subject's entry; None if it is gone, or was never sealed to be opened."""
    stored = snapshot.sealed(index)
    if stored is None:
        return None
    try:
        entry = snapshot.entry(index)
        return open_stored(stored, entry=entry, entry_index=index, slot_key=slot_key)
    except SealBrokenError:
        return None


def subject_id_of(registry: Registry, snapshot: Snapshot, *, slot_key: bytes) -> SubjectId | None:
    """The id of the subject that has this slot, by its registration's record; None without one."""
    index = next(entries_of(snapshot, slot_key=slot_key), None)
    opened = None if index is None else opened_at(snapshot, index, slot_key=slot_key)
    try:
        return None if opened is None else registry.subject_of(opened)
    except RegistrationRefusedError:
        return None


def public_key_of(subject: Subject, kid: str, snapshot: Snapshot) -> PublicKey | None:
    """The subject's active key of that id, out of the record that brought it; None without one."""
    for row in subject.keys:
        if row.kid == kid and not row.revoked:
            opened = opened_at(snapshot, row.index, slot_key=subject.slot_key)
            return None if opened is None else _key_in(opened)
    return None


def _key_in(opened: Opened) -> PublicKey | None:
    try:
        request = parse_request(opened.payload)
        return read_registration(request) if request.act == REGISTER else read_addition(request).key
    except Problem:
        return None
