"""Checks the registry: each registration in the log has its two rows, and they say what it says."""

from heptad.crypto.derivation import request_ref
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.requests import parse_request
from heptad.crypto.sealing import Opened
from heptad.vault.errors import VaultFaultError
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.fsck.findings import Code, Findings
from heptad_ledger.fsck.tables import Tables
from heptad_ledger.registry import RegistrationRefusedError, Registry
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
    ) -> None:
        self._cell_index_key = cell_index_key
        self._registry = registry
        self._snapshot = snapshot
        self._tables = tables
        self._findings = findings
        self._met = 0

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
        reference = request_ref(cell_index_key=self._cell_index_key, request_id=request.request_id)
        try:
            is_there = self._registry.registration_box(self._snapshot, reference) is not None
        except StoreDamagedError as error:
            self._findings.add(Code.REGISTRY_WRONG, where, str(error))
            return
        self._met += is_there

    def check_count(self) -> None:
        """Each registration has a row under its subject and one under its request."""
        there = self._tables.count("subject")
        if there != 2 * self._met and Code.REGISTRY_WRONG not in self._findings.counts:
            self._findings.add(
                Code.REGISTRY_WRONG, "log/subject", f"{there} rows for {self._met} subjects"
            )
