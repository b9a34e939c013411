"""One check of a ledger's files, from the pages of its databases to the public folder.

Nothing is written unless a repair is asked for. The order follows from what rests on what: pages
first, for damaged ones would mislead everything else, then the public log, then what is private,
then the files that were derived. The ledger must be stopped: its lock is taken for as long.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import ENOTDIR
from pathlib import Path
from typing import Final

from heptad.consensus.genesis import genesis_block
from heptad.crypto import signatures
from heptad.runtime.attestation import attestation_keys
from heptad.runtime.config import Cell
from heptad.runtime.group import agreed_cell
from heptad.runtime.vkeys import cell_policy
from heptad.transparency.checkpoint import verify_checkpoint
from heptad.transparency.errors import TransparencyError
from heptad.transparency.tiled_tree import TiledTree
from heptad.vault.errors import VaultError
from heptad.vault.inspection import VaultInspector
from heptad.vault.root_files import FileRootKeyStore
from heptad_ledger.errors import StoreDamagedError, StoreError
from heptad_ledger.fsck.corrections import GROUND, Corrections
from heptad_ledger.fsck.erasure_check import ErasureCheck
from heptad_ledger.fsck.findings import Code, Findings, Progress, Report
from heptad_ledger.fsck.pages import check_pages
from heptad_ledger.fsck.private_half import PrivateCheck
from heptad_ledger.fsck.public_log import PublicCheck, Verified
from heptad_ledger.fsck.registry_check import RegistryCheck
from heptad_ledger.fsck.static_files import StaticCheck
from heptad_ledger.fsck.tables import Tables
from heptad_ledger.parts import LOG_FOLDER, OWN_SLOT, ROOT_FOLDER, VAULT_FOLDER
from heptad_ledger.registry import Registry
from heptad_ledger.store import AppliedState, Snapshot
from heptad_ledger.store.checked import without_check
from heptad_ledger.store.environment import Environment, owned
from heptad_ledger.store.log_store import SCHEMA
from heptad_ledger.store.private_tables import read_merged
from heptad_ledger.store.recent import (
    RecentRows,
    RecentView,
    those_waiting,
    unpack_rows,
)

MAP_BYTES: Final = 1 << 42
PRIVATE_TABLES: Final = frozenset(
    {"sealed", "by_subject", "by_request", "recent", "subject", "duplicate", "erasure"}
)
"""Tables that the public half does not read."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to check: a ledger's `data` folder and where its static files are, None for nowhere.

    `kept` is a checkpoint that somebody kept elsewhere. Without `private` records are not opened,
    and the vault is not needed.
    """

    data: Path
    static: Path | None
    cell: Cell
    kept: bytes | None = None
    private: bool = True
    repair: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of it. `size` is the log's, `vouched` what its last good checkpoint covers."""

    size: int
    vouched: int
    counts: dict[Code, int]
    repaired: int = 0
    left_out: int = 0

    @property
    def is_clean(self) -> bool:
        """Nothing is wrong."""
        return not self.counts


def check(job: Job, *, report: Report, progress: Progress) -> Summary:
    """Check it. Raises: StoreInUseError; StoreFullError from a repair; OSError."""
    findings = Findings(report)
    if not job.data.is_dir():
        raise NotADirectoryError(ENOTDIR, "is no folder", str(job.data))
    with _nobody_writing(job.data / LOG_FOLDER):
        _check_files(job, findings, progress)
    if findings.total:
        return Summary(0, 0, findings.counts)
    corrections = Corrections()
    try:
        environment = Environment(
            job.data / LOG_FOLDER, map_bytes_max=MAP_BYTES, is_read_only=not job.repair
        )
    except StoreDamagedError as error:
        findings.add(Code.TABLE_DAMAGED, "log", str(error))
        return Summary(0, 0, findings.counts)
    try:
        return _Run(job, environment, findings, corrections, progress).run()
    finally:
        environment.close()


@contextmanager
def _nobody_writing(folder: Path) -> Iterator[None]:
    """Pages of a file that is written to are no damage. Raises: StoreInUseError; OSError."""
    if not folder.is_dir():
        yield  # That its file is missing is a finding.
        return
    with owned(folder):
        yield


def _check_files(job: Job, findings: Findings, progress: Progress) -> None:
    folders = (LOG_FOLDER, VAULT_FOLDER) if job.private else (LOG_FOLDER,)
    for number, folder in enumerate(folders):
        progress("pages", number, len(folders))
        path = job.data / folder / "data.mdb"
        if not path.is_file():
            findings.add(Code.FILE_MISSING, f"{folder}/data.mdb", "it is not there")
            continue

        def tell(table: str, what: str, folder: str = folder) -> None:
            findings.add(Code.PAGE_DAMAGED, f"{folder}/data.mdb, {table}", what)

        check_pages(path, tell, without=() if job.private else PRIVATE_TABLES)


class _Run:
    """The check of what the pages hold."""

    def __init__(
        self,
        job: Job,
        environment: Environment,
        findings: Findings,
        corrections: Corrections,
        progress: Progress,
    ) -> None:
        self._job = job
        self._environment = environment
        self._findings = findings
        self._corrections = corrections
        self._progress = progress
        self._repaired = 0

    def run(self) -> Summary:
        with self._environment.reading() as transaction:
            tables = Tables(transaction, self._environment)
            state = self._state(tables)
            if state is None:
                return Summary(0, 0, self._findings.counts)
            vouched = PublicCheck(
                tables,
                state=state,
                policy=cell_policy(self._job.cell),
                findings=self._findings,
                corrections=self._corrections,
                progress=self._progress,
            ).run()
            waiting = _waiting_rows(tables) if self._job.private else RecentRows().view()
            snapshot = Snapshot(transaction, self._environment, waiting)
            self._check_kept(snapshot, state)
            if self._job.private and not self._is_in_doubt():
                self._check_private(tables, snapshot, state)
            static = self._check_static(snapshot)
            if self._job.repair and static is not None and not self._is_in_doubt():
                self._repaired += static.repair()
        if self._job.repair and not self._is_in_doubt():
            self._repaired += self._corrections.apply(self._environment, size=state.size)
        return self._summary(state, vouched)

    def _is_in_doubt(self) -> bool:
        return bool(GROUND & self._findings.counts.keys())

    def _summary(self, state: AppliedState, vouched: Verified) -> Summary:
        return Summary(
            size=state.size,
            vouched=vouched.size,
            counts=self._findings.counts,
            repaired=self._repaired,
            left_out=self._corrections.left_out,
        )

    def _state(self, tables: Tables) -> AppliedState | None:
        """Where the ledger says it stands, if it is this cell's."""
        cell = agreed_cell(self._job.cell)
        identity = {
            b"schema": SCHEMA,
            b"origin": cell.origin.encode(),
            b"genesis": genesis_block(cell).id,
        }
        for key, value in identity.items():
            found = tables.get("meta", key)
            if found != value:
                where = f"log/meta {key.decode()}"
                detail = f"it is {found!r}, and should be {value!r}"
                self._findings.add(Code.STATE_DAMAGED, where, detail)
        try:
            row = tables.get("meta", b"state")
            if row is None:
                raise StoreDamagedError("there is none")
            return AppliedState.decode(without_check(b"meta", b"state", row))
        except StoreDamagedError as error:
            self._findings.add(Code.STATE_DAMAGED, "log/meta state", str(error))
            return None

    def _check_kept(self, snapshot: Snapshot, state: AppliedState) -> None:
        """Hold the log against a checkpoint that somebody kept elsewhere."""
        if self._job.kept is None:
            return
        try:
            kept = verify_checkpoint(
                self._job.kept, policy=cell_policy(self._job.cell), verify=signatures.verify
            )
        except TransparencyError as error:
            self._findings.add(Code.CHECKPOINT_INVALID, "the checkpoint given", str(error))
            return
        where = "the checkpoint given"
        if kept.size > state.size:
            detail = f"it is of {kept.size} entries, this store has {state.size}"
            self._findings.add(Code.ROLLED_BACK, where, detail)
            return
        try:
            root = TiledTree(size=kept.size, tiles=snapshot).root()
        except TransparencyError as error:
            self._findings.add(Code.CHECKPOINT_CONTRADICTED, where, str(error))
            return
        if root != kept.root:
            detail = f"its root of {kept.size} entries is not this log's"
            self._findings.add(Code.CHECKPOINT_CONTRADICTED, where, detail)

    def _check_private(self, tables: Tables, snapshot: Snapshot, state: AppliedState) -> None:
        if not (self._job.data / ROOT_FOLDER).is_dir():
            detail = "no root key lies beside it: a backup without its key is checked with --public"
            self._findings.add(Code.VAULT_DAMAGED, "vault-root", detail)
            return
        try:
            roots = FileRootKeyStore(self._job.data / ROOT_FOLDER, is_read_only=True)
            vault = VaultInspector(self._job.data / VAULT_FOLDER, roots)
        except VaultError as error:
            self._findings.add(Code.VAULT_DAMAGED, "vault", str(error))
            return
        try:
            erasures = ErasureCheck(tables, snapshot, vault, self._findings)
            PrivateCheck(
                tables,
                vault,
                size=state.size,
                registry=self._registry(tables, snapshot, vault, erasures),
                erasures=erasures,
                findings=self._findings,
                progress=self._progress,
            ).run()
        finally:
            vault.close()

    def _registry(
        self,
        tables: Tables,
        snapshot: Snapshot,
        vault: VaultInspector,
        erasures: ErasureCheck,
    ) -> RegistryCheck | None:
        key = b"kept:" + OWN_SLOT.encode()
        try:
            row = tables.get("meta", key)
            if row is None:
                raise StoreDamagedError("the ledger's own slot is not known")
            registry = Registry(
                vault,
                own_slot=int.from_bytes(without_check(b"meta", key, row), "big"),
                origin=self._job.cell.origin,
                cell_code=self._job.cell.code,
                attestation_keys=attestation_keys(self._job.cell),
            )
        except (StoreError, VaultError) as error:
            self._findings.add(Code.REGISTRY_WRONG, "log/meta own slot", str(error))
            return None
        index_key = vault.cell_keys.index_key
        return RegistryCheck(
            registry,
            snapshot,
            tables,
            self._findings,
            cell_index_key=index_key,
            erasures=erasures,
        )

    def _check_static(self, snapshot: Snapshot) -> StaticCheck | None:
        if self._job.static is None:
            return None
        static = StaticCheck(
            self._job.static,
            snapshot,
            findings=self._findings,
            corrections=self._corrections,
            progress=self._progress,
        )
        static.run()
        return static


def _waiting_rows(tables: Tables) -> RecentView:
    """The rows that wait, for a snapshot of a store that nobody writes to."""
    recent = RecentRows()
    merged = recent.merged_until
    with suppress(StoreDamagedError):  # The check of the private half tells it.
        merged = read_merged(tables.transaction, tables.environment)
    for _, packed in tables.rows("recent"):
        with suppress(StoreDamagedError):
            subjects, requests = (those_waiting(rows, merged) for rows in unpack_rows(packed))
            recent.add(by_subject=subjects, by_request=requests)
    return recent.view()
