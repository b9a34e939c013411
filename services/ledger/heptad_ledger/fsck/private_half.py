"""Checks the private half of a store: records, what finds them, the registry, and the vault.

A record is good if it opens under its subject's key and its payload and witness are those that the
public entry commits to. Who a record belongs to is found as a ledger finds it: row after row under
the subject's index key. So two passes: the first walks the rows of every slot and notes whose each
entry is (four bytes an entry), the second goes through entries and records in their order, for a
record at a random place would cost a search each.

Nothing that is found out about a person leaves this module: findings name entries and slots.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from heptad.crypto.derivation import request_ref, subject_index_key, subject_row_key
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.key_history import is_key_change
from heptad.crypto.peeking import peeked_claims
from heptad.crypto.sealing import Opened, commitment, open_stored
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind
from heptad.model.problems import Problem
from heptad.model.requests import RequestId, request_id
from heptad.transparency.tiles import decode_entries
from heptad.vault.errors import VaultFaultError
from heptad.vault.inspection import VaultInspector
from heptad.wire.convert.entry import decode_entry
from heptad_ledger.bundles import stated_bundle
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.fsck.erasure_check import ErasureCheck
from heptad_ledger.fsck.findings import Code, Findings, Progress
from heptad_ledger.fsck.registry_check import RegistryCheck
from heptad_ledger.fsck.tables import Tables
from heptad_ledger.store.checked import without_check
from heptad_ledger.store.private_tables import read_merged
from heptad_ledger.store.recent import SLICES, Row, unpack_rows
from heptad_ledger.store.row_pages import KEY_BYTES, ROW_BYTES, cut
from heptad_ledger.store.wave import pack_index, unpack_index

NOBODY: Final = 0
_UNREAD: Final = frozenset({Code.RECORD_ALTERED, Code.RECORD_MISSING, Code.RECORD_UNKNOWN})
_NAMED: Final = frozenset(
    {
        Kind.REQUEST,
        Kind.SUBJECT_REGISTERED,
        Kind.KEY_ADDED,
        Kind.KEY_REVOKED,
        Kind.EXPORT,
        Kind.ACCESS,
    }
)
"""Kinds whose payload is signed and has a name, and is found under its reference."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A record, as it lies there."""

    index: int
    entry: bytes
    stored: bytes


class PrivateCheck:
    """One run over one store and its vault."""

    def __init__(
        self,
        tables: Tables,
        vault: VaultInspector,
        *,
        size: int,
        registry: RegistryCheck | None,
        erasures: ErasureCheck,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """`size`: entries in the log. `registry` is None where its own key is not to be had."""
        self._erasures = erasures
        self._tables = tables
        self._vault = vault
        self._size = size
        self._registry = registry
        self._findings = findings
        self._progress = progress
        self._waiting_until = 0
        self._waiting_subjects, self._waiting_requests = self._waiting()
        self._keys: dict[int, bytes] = {}
        self._slot_of = array("I", bytes(4 * size))
        self._requests_met = 0

    def run(self) -> None:
        """Check all of it; what is wrong goes to the findings."""
        self._check_pages("by_subject")
        self._check_pages("by_request")
        rows = sum(self._walk(slot, key) for slot, key in self._slots())
        there = self._tables.count_rows("by_subject") + len(self._waiting_subjects)
        if there > rows:
            self._wrong_subject(f"{there - rows} rows are no subject's")
        self._check_records()
        self._check_duplicates()
        self._erasures.run()
        self._requests_met += self._count_kept()
        there = self._tables.count_rows("by_request") + len(self._waiting_requests)
        extra = there - self._requests_met
        # A record that could not be read has its row too.
        if extra > 0 and not _UNREAD & self._findings.counts.keys():
            where, what = "log/by_request", f"{extra} rows are no request's"
            self._findings.add(Code.REQUEST_INDEX_WRONG, where, what)
        if self._registry is not None:
            self._registry.check_end()

    def _count_kept(self) -> int:
        """Rows of requests to be erased, whose records are gone."""
        kept = self._erasures.kept_requests()
        return sum(self._request_row(reference) is not None for reference in kept)

    def _request_row(self, reference: bytes) -> bytes | None:
        found = self._tables.get_row("by_request", reference)
        return found or self._waiting_requests.get(reference)

    def _check_pages(self, table: str) -> None:
        """A page has the key of its lowest row, and no row that belongs to the next page."""
        until = b""
        for number, (lowest, page) in enumerate(self._tables.rows(table)):
            rows = cut(page)
            is_whole = bool(rows) and not len(page) % ROW_BYTES
            if not is_whole or lowest != min(rows)[:KEY_BYTES] or lowest <= until:
                where = f"log/{table} page {number}"
                self._findings.add(Code.TABLE_DAMAGED, where, "its rows are not those it is for")
            until = max(rows, default=until)

    # The vault, and whose each entry is.

    def _slots(self) -> Iterator[tuple[int, bytes]]:
        until = self._vault.state.slot_next

        def wrong(what: str) -> None:
            self._findings.add(Code.VAULT_DAMAGED, "vault", what)

        try:
            for state in self._vault.slots(wrong):
                self._progress("vault", state.slot + 1, until)
                if state.key is not None:
                    self._keys[state.slot] = state.key
                    yield state.slot, state.key
        except VaultFaultError as error:
            wrong(str(error))

    def _walk(self, slot: int, slot_key: bytes) -> int:
        """Note whose entries these are; return how many rows the slot has."""
        index_key = subject_index_key(slot_key)
        for row in count():
            row_key = subject_row_key(index_key=index_key, row=row)
            found = self._tables.get_row("by_subject", row_key) or self._waiting_subjects.get(
                row_key
            )
            if found is None:
                return row
            index = unpack_index(found)
            if index >= self._size or self._slot_of[index] != NOBODY:
                self._wrong_subject(f"a row of slot {slot} names entry {index}")
                continue
            self._slot_of[index] = slot
        raise AssertionError("count() has no end")

    def _wrong_subject(self, what: str) -> None:
        self._findings.add(Code.SUBJECT_INDEX_WRONG, "log/by_subject", what)

    # Records.

    def _check_records(self) -> None:
        records = self._tables.rows("sealed")
        upcoming = next(records, None)
        for index, raw in self._entries():
            packed = pack_index(index)
            while upcoming is not None and upcoming[0] < packed:
                self._unknown(unpack_index(upcoming[0]))
                upcoming = next(records, None)
            stored = None
            if upcoming is not None and upcoming[0] == packed:
                stored, upcoming = upcoming[1], next(records, None)
            self._check_entry(index, raw, stored)
            if not index & 0xFFF:
                self._progress("records", index, self._size)
        while upcoming is not None:
            self._unknown(unpack_index(upcoming[0]))
            upcoming = next(records, None)

    def _unknown(self, index: int) -> None:
        self._findings.add(
            Code.RECORD_UNKNOWN, f"log/sealed {index}", "no subject's row names this record"
        )

    def _entries(self) -> Iterator[tuple[int, bytes]]:
        index = 0
        for _, leaves in self._tables.rows("entries"):
            for entry in decode_entries(leaves):
                if index < self._size:
                    yield index, entry
                index += 1

    def _check_entry(self, index: int, raw: bytes, stored: bytes | None) -> None:
        slot = self._slot_of[index]
        if slot == NOBODY:
            if stored is not None:
                self._unknown(index)
            elif self._is_bundle(raw):
                self._check_bundle(index, raw)
            return
        if stored is None:
            detail = f"a row of slot {slot} names it, and it is not there"
            self._findings.add(Code.RECORD_MISSING, f"log/sealed {index}", detail)
            return
        entry = _decoded(raw)
        opened = self._opened(_Found(index, raw, stored), slot)
        if entry is None or opened is None:
            return
        if commitment(witness=opened.witness, payload=opened.payload) != entry.commitment:
            detail = "its payload is not the one that the entry commits to"
            self._findings.add(Code.RECORD_ALTERED, f"log/sealed {index}", detail)
        elif entry.kind in _NAMED:
            self._check_request(index, opened.payload)
            if self._registry is not None:
                self._check_registry(index, raw, entry.kind, opened)

    def _check_registry(self, index: int, raw: bytes, kind: Kind, opened: Opened) -> None:
        assert self._registry is not None
        slot = self._slot_of[index]
        if kind == Kind.SUBJECT_REGISTERED:
            self._registry.check(index, raw, opened, slot=slot, slot_key=self._keys[slot])
        elif is_key_change(kind, raw):
            self._registry.check_change(index, raw, opened, slot=slot)

    def _opened(self, found: _Found, slot: int) -> Opened | None:
        try:
            return open_stored(
                found.stored,
                entry=found.entry,
                entry_index=found.index,
                slot_key=self._keys[slot],
            )
        except SealBrokenError:
            self._findings.add(
                Code.RECORD_ALTERED,
                f"log/sealed {found.index}",
                f"it does not open under the key of slot {slot}: it was altered, or its validator"
                " never sealed it to be opened",
            )
            return None

    # Requests.

    def _is_bundle(self, raw: bytes) -> bool:
        entry = _decoded(raw)
        return entry is not None and entry.kind == Kind.BUNDLE

    def _check_bundle(self, index: int, raw: bytes) -> None:
        statement = stated_bundle(raw)
        if statement is not None:
            self._check_reference(index, statement.request_id)

    def _check_request(self, index: int, payload: bytes) -> None:
        request_id = _named(payload)
        if request_id is None:
            detail = "its payload names no request: its validator admitted what is none"
            self._findings.add(Code.REQUEST_INDEX_WRONG, f"log/by_request entry {index}", detail)
            return
        self._check_reference(index, request_id)

    def _check_reference(self, index: int, request_id: str) -> None:
        reference = request_ref(
            cell_index_key=self._vault.cell_keys.index_key, request_id=request_id
        )
        found = self._request_row(reference)
        first = None if found is None else unpack_index(found)
        if first == index:
            self._requests_met += 1
        elif first is None or first > index:
            detail = "it is not found by its request's id"
            self._findings.add(Code.REQUEST_INDEX_WRONG, f"log/by_request entry {index}", detail)

    def _check_duplicates(self) -> None:
        for key, value in self._tables.rows("duplicate"):
            index = unpack_index(key)
            where = f"log/duplicate {index}"
            try:
                first = unpack_index(without_check(b"duplicate", key, value))
            except StoreDamagedError:
                self._findings.add(Code.DUPLICATE_WRONG, where, "the row was altered")
                continue
            if not first < index < self._size:
                self._findings.add(Code.DUPLICATE_WRONG, where, f"it names entry {first}")

    def _waiting(self) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """The rows that are not in their tables yet (`heptad_ledger.store.recent`)."""
        merged = self._merged_until()
        subjects: dict[bytes, bytes] = {}
        requests: dict[bytes, bytes] = {}
        for key, packed in self._tables.rows("recent"):
            try:
                by_subject, by_request = unpack_rows(packed)
            except StoreDamagedError:
                where = f"log/recent {unpack_index(key)}"
                self._findings.add(Code.TABLE_DAMAGED, where, "the rows cannot be taken apart")
                continue
            self._check_wave(key, [unpack_index(index) for _, index in (*by_subject, *by_request)])
            subjects.update(self._those_waiting(key, "by_subject", by_subject, merged))
            requests.update(self._those_waiting(key, "by_request", by_request, merged))
        return subjects, requests

    def _those_waiting(
        self, wave: bytes, table: str, rows: Sequence[Row], merged: Sequence[int]
    ) -> Iterator[Row]:
        """A row of a wave waits, or it is in its table with the same index."""
        for key, index in rows:
            is_waiting = unpack_index(index) >= merged[key[0]]
            if self._tables.get_row(table, key) != (None if is_waiting else index):
                where = f"log/recent {unpack_index(wave)}"
                self._findings.add(Code.TABLE_DAMAGED, where, f"a row is not as in {table}")
            if is_waiting:
                yield key, index

    def _merged_until(self) -> Sequence[int]:
        try:
            return read_merged(self._tables.transaction, self._tables.environment)
        except StoreDamagedError as error:
            self._findings.add(Code.TABLE_DAMAGED, "log/meta merged", str(error))
            return (0,) * SLICES

    def _check_wave(self, key: bytes, indexes: Sequence[int]) -> None:
        """A wave's rows stand under its first index; the next wave is put behind the last."""
        if not self._waiting_until <= unpack_index(key) <= min(indexes, default=self._size):
            where = f"log/recent {unpack_index(key)}"
            self._findings.add(Code.TABLE_DAMAGED, where, "no wave with these rows begins there")
            return
        self._waiting_until = max(indexes, default=unpack_index(key)) + 1


def _named(payload: bytes) -> RequestId | None:
    """The id of the request in a JWS, without judging it as a validator does: a third of the time.

    The commitment vouches for the bytes, and what they mean was decided when they came in.
    """
    claims = peeked_claims(payload) or {}
    iss, jti = claims.get("iss"), claims.get("jti")
    if not (isinstance(iss, str) and isinstance(jti, str) and iss.isascii() and jti.isascii()):
        return None
    return request_id(iss=iss, jti=jti)


def _decoded(raw: bytes) -> Entry | None:
    try:
        return decode_entry(raw)
    except (MalformedError, Problem):
        return None
