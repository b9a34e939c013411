"""Checks what erasures have left behind: their cases, the tombstones, and that the keys are gone.

An erasure deletes rows that other checks would miss, and leaves a few on purpose: a tombstone in
the registry, and the row of the request that asked for it. So those checks ask here.
"""

from typing import Final

from heptad.crypto.derivation import request_ref
from heptad.crypto.registry_rows import tombstone_digest
from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind
from heptad.model.erasure import ErasureState
from heptad.model.requests import request_id_of
from heptad.vault.errors import SlotErasedError, VaultFaultError
from heptad.vault.inspection import VaultInspector
from heptad.wire.convert.entry_facts import entry_facts
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.fsck.findings import Code, Findings
from heptad_ledger.fsck.tables import Tables
from heptad_ledger.registry import TOMBSTONE_BYTES
from heptad_ledger.store import Snapshot
from heptad_ledger.store.checked import without_check
from heptad_ledger.store.erasure_rows import ErasureCase, Progress

_TABLE: Final = "erasure"
_ENDS: Final = {ErasureState.ERASED: Kind.ERASED, ErasureState.REFUSED: Kind.ERASURE_REFUSED}
_ROWS_GONE: Final = (Progress.ROWS_DELETED, Progress.DESTROYED)


class ErasureCheck:
    """One run over the table of erasures."""

    def __init__(
        self, tables: Tables, snapshot: Snapshot, vault: VaultInspector, findings: Findings
    ) -> None:
        self._tables = tables
        self._snapshot = snapshot
        self._vault = vault
        self._findings = findings
        self._cases = self._read()
        self._tombstones = self._read_tombstones()

    def run(self) -> None:
        """Hold each case against the log and the vault."""
        size = self._snapshot.state().size
        for case in self._cases:
            for index, kind in self._said(case):
                if index >= size or self._kind(index) != kind:
                    self._wrong(case, f"entry {index} is no {kind.name} of it")
            if case.progress is Progress.DESTROYED and self._is_alive(case.slot):
                self._wrong(case, f"it was carried out, and the key of slot {case.slot} is there")
            # Whoever had records was registered.
            is_marked = case.request_digest in self._tombstones or not case.ciphertexts
            if case.progress in _ROWS_GONE and not is_marked:
                self._wrong(case, "no row keeps the id of its subject from coming back")

    def kept_requests(self) -> frozenset[bytes]:
        """References of requests whose records are deleted and whose rows are kept."""
        index_key = self._vault.cell_keys.index_key
        return frozenset(
            request_ref(cell_index_key=index_key, request_id=request_id_of(case.request_hash))
            for case in self._cases
            if case.request_hash and case.progress in _ROWS_GONE
        )

    def count_tombstones(self) -> int:
        """How many rows of the registry stand for subjects that were erased."""
        return len(self._tombstones)

    def _read_tombstones(self) -> list[bytes]:
        """The digests of the requests for which subjects were erased."""
        digests: list[bytes] = []
        for key, row in self._tables.rows("subject"):
            if len(row) != TOMBSTONE_BYTES:
                continue
            try:
                digest = tombstone_digest(without_check(b"subject", key, row))
                is_known = digest and self._snapshot.erasures.by_digest(digest) is not None
            except StoreDamagedError as error:
                self._findings.add(Code.REGISTRY_WRONG, "log/subject", str(error))
                continue
            if not is_known:
                what = "a row says that a subject was erased by a request that is not known"
                self._findings.add(Code.REGISTRY_WRONG, "log/subject", what)
            digests.append(digest or b"")
        return digests

    def _read(self) -> tuple[ErasureCase, ...]:
        """All cases; every row of the table is looked at."""
        for key, value in self._tables.rows(_TABLE):
            try:
                without_check(_TABLE.encode(), key, value)
            except StoreDamagedError as error:
                self._findings.add(Code.TABLE_DAMAGED, f"log/{_TABLE}", str(error))
                return ()
        try:
            return tuple(self._snapshot.erasures.cases())
        except (StoreDamagedError, MalformedError, ValueError) as error:
            self._findings.add(Code.TABLE_DAMAGED, f"log/{_TABLE}", str(error))
            return ()

    def _said(self, case: ErasureCase) -> list[tuple[int, Kind]]:
        """Entries that the case names, with the kind that each should be."""
        said = [(case.order_index, Kind.ERASURE_ORDERED), (case.end_index, _ENDS.get(case.state))]
        return [(index, kind) for index, kind in said if index is not None and kind is not None]

    def _kind(self, index: int) -> int:
        [(kind, _)] = entry_facts([self._snapshot.entry(index)])
        return kind

    def _is_alive(self, slot: int) -> bool:
        try:
            self._vault.lookup(slot)
        except SlotErasedError:
            return False
        except VaultFaultError:
            # Told by who walks the vault.
            return False
        return True

    def _wrong(self, case: ErasureCase, what: str) -> None:
        self._findings.add(Code.ERASURE_WRONG, f"log/{_TABLE} case {case.number}", what)
