"""Checks the registry: each registration in the log has its two rows, and they say what it says.

Where keys were added or revoked, the subject's history is gone through once more by the rules by
which it was applied, beginning with the first key alone, and must end at what the row says.
"""

from dataclasses import replace

from heptad.crypto.derivation import request_ref
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.key_history import KeyChangeRefusedError
from heptad.crypto.requests import parse_request
from heptad.crypto.sealing import Opened
from heptad.model.problems import Problem
from heptad.vault.errors import VaultFaultError
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.fsck.erasure_check import ErasureCheck
from heptad_ledger.fsck.findings import Code, Findings
from heptad_ledger.fsck.tables import Tables
from heptad_ledger.privacy.key_changes import KeyChanges
from heptad_ledger.registry import RegistrationRefusedError, Registry, Subject
from heptad_ledger.store import Snapshot


class RegistryCheck:
    """Holds rows of the table `subject` against registrations."""

    def __init__(
        self,
        registry: Registry,
        snapshot: Snapshot,
        tables: Tables,
        findings: Findings,
        *,
        cell_index_key: bytes,
        erasures: ErasureCheck,
    ) -> None:
        self._erasures = erasures
        self._cell_index_key = cell_index_key
        self._registry = registry
        self._snapshot = snapshot
        self._tables = tables
        self._findings = findings
        self._met = 0
        self._histories: dict[bytes, bytes] = {}
        self._changes = KeyChanges(registry, snapshot, self._histories)
        self._changed: dict[int, str] = {}

    def check(
        self, index: int, entry: bytes, opened: Opened, *, slot: int, slot_key: bytes
    ) -> None:
        """The record at that index registers the subject of that slot."""
        where = f"log/subject, registered by entry {index}"
        try:
            name = self._registry.subject_of(opened)
            subject = self._registry.find(self._snapshot, name)
        except (RegistrationRefusedError, SealBrokenError, VaultFaultError) as error:
            self._findings.add(Code.REGISTRY_WRONG, where, f"the row does not open ({error})")
            return
        if subject is None or (subject.slot, subject.slot_key) != (slot, slot_key):
            self._findings.add(Code.REGISTRY_WRONG, where, f"no row leads to slot {slot}")
            return
        request = parse_request(opened.payload)
        if not any(key.kid == request.kid and key.index == index for key in subject.keys):
            self._findings.add(Code.REGISTRY_WRONG, where, "the row does not have its key")
            return
        if len(subject.keys) > 1 or subject.keys[0].revoked:
            self._begin_history(subject)
        reference = request_ref(cell_index_key=self._cell_index_key, request_id=request.request_id)
        try:
            is_there = self._registry.registration_box(self._snapshot, reference) is not None
        except StoreDamagedError as error:
            self._findings.add(Code.REGISTRY_WRONG, where, str(error))
            return
        self._met += is_there

    def check_change(self, index: int, entry: bytes, opened: Opened, *, slot: int) -> None:
        """The record at that index may change the keys of the subject of that slot."""
        try:
            if slot not in self._changed:
                name = parse_request(opened.payload).iss
                subject = self._registry.find(self._snapshot, name)
                if subject is None or subject.slot != slot:
                    return
                self._begin_history(subject)
            self._changes.apply(opened, entry=entry, slot=slot, index=index)
        except (Problem, KeyChangeRefusedError):
            return
        except (SealBrokenError, StoreDamagedError, VaultFaultError) as error:
            where = f"log/subject, changed by entry {index}"
            self._findings.add(Code.REGISTRY_WRONG, where, f"the change cannot be read ({error})")

    def check_end(self) -> None:
        """All entries have been seen: what the histories lead to, and how many rows there are."""
        for slot, name in self._changed.items():
            told = self._registry.find(self._snapshot, name)
            counted = self._registry.find(self._changes.view, name)
            if told != counted:
                where = f"log/subject, of slot {slot}"
                what = "the row has other keys than its entries lead to"
                self._findings.add(Code.REGISTRY_WRONG, where, what)
        self._check_count()

    def _begin_history(self, subject: Subject) -> None:
        first = replace(subject.keys[0], revoked_at=None)
        row_key, row = self._registry.row_of(subject, (first,))
        self._histories[row_key] = row
        self._changed[subject.slot] = subject.subject_id

    def _check_count(self) -> None:
        """Each registration has a row under its subject and one under its request; who was erased
        has a tombstone."""
        there = self._tables.count("subject") - self._erasures.count_tombstones()
        if there != 2 * self._met and Code.REGISTRY_WRONG not in self._findings.counts:
            self._findings.add(
                Code.REGISTRY_WRONG, "log/subject", f"{there} rows for {self._met} subjects"
            )
