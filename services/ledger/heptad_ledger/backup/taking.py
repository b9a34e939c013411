"""Takes a backup of a ledger that runs, beside it, from a process of its own.

Why not inside the ledger, behind a call of its own: a process that may read the files needs no
door, no role and no thread in the ledger, and works the same when the ledger is stopped. LMDB lets
any number of processes read while one writes: a copy is one read transaction, so it holds up no
commit, and all that it costs the ledger is disk and that pages freed meanwhile are used again only
after it. (The ledger's own lock keeps out a second *writer*.) So whoever may read the ledger's
files may take a backup, and nobody else.

The log is copied first, the vault after it. A slot is durable in the vault before anybody can name
it, so every slot that the log's copy names is in a copy of the vault that was begun later. The
other way round, a registration that comes between the two would be in the log without its key.

A backup is there whole or not at all: it is made beside its place, under a name with a dot, synced,
and renamed. Its key is in the book of keys before the vault is copied (`key_book` says why), and
its file is the last thing that is made before the backup gets its name.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import lmdb

from heptad.runtime.config import Cell
from heptad.runtime.config.files import CELL_FILE, NODE_FILE
from heptad.runtime.disk import sync_folder
from heptad.runtime.vkeys import cell_policy
from heptad.vault.errors import RootKeyLostError
from heptad.vault.node_store import VaultState
from heptad.vault.rewrapping import read_state, rewrap
from heptad.vault.root_files import FileRootKeyStore
from heptad_ledger.backup.key_book import (
    BOOK_FILE,
    EPOCH_UNKNOWN,
    KeyRow,
    enter,
    revise,
    withdraw,
)
from heptad_ledger.backup.key_files import destroy_file, write_key
from heptad_ledger.backup.manifest import (
    CHECKPOINT_FILE,
    MANIFEST_FILE,
    BackupKey,
    Manifest,
    facts_of,
)
from heptad_ledger.errors import BackupError
from heptad_ledger.parts import LOG_FOLDER, ROOT_FOLDER, VAULT_FOLDER
from heptad_ledger.store import Snapshot
from heptad_ledger.store.environment import Environment
from heptad_ledger.store.recent import RecentRows

MAP_BYTES: Final = 1 << 42
"""Address space of a reader; sparse, and more than any database has."""

COPY_MAP_BYTES: Final = 1 << 36
"""Of the vault's copy, while one node of it is written: more than all slots need."""

VAULT_TRIES: Final = 3
POLICY_FILE: Final = "policy"
DATA_FILE: Final = "data.mdb"

_TABLES_MAX: Final = 32
_DAY_MS: Final = 86_400_000

Progress = Callable[[str, int, int], None]
"""Takes the stage's name, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class KeyWish:
    """Where the backup key is to lie, apart from the backup, and for how long it is kept."""

    path: Path
    days: int


_ID_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class BackupJob:
    """What to copy: the cell's home, the ledger's `data` folder, and where to."""

    home: Path
    data: Path
    cell: Cell
    target: Path
    now_ms: int
    key: KeyWish | None = None


def take(job: BackupJob, *, progress: Progress) -> Manifest:
    """Make the backup; when this returns it is durable, and so is its key.

    Raises: BackupError, StoreError, heptad.vault.errors.VaultFaultError, OSError; then neither is
    there.
    """
    _require_free(job)
    row = _entered(job)
    staged = job.target.with_name(f".{job.target.name}.partial")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700, parents=True)
    is_key_written = False
    try:
        manifest, key = _fill(job, staged, row, progress)
        _sync_tree(staged)
        if key is not None and row is not None:
            write_key(Path(row.path), key)
            is_key_written = True
        staged = staged.rename(job.target)
        sync_folder(job.target.parent)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        if row is not None:
            _undo_key(job, row, is_written=is_key_written)
        raise
    return manifest


def _undo_key(job: BackupJob, row: KeyRow, *, is_written: bool) -> None:
    """Destroy the key of a backup that is not going to be; its row goes if there is none."""
    if is_written:
        destroy_file(Path(row.path))
    if not os.path.lexists(row.path):
        withdraw(job.data, row.id)


def _entered(job: BackupJob) -> KeyRow | None:
    """The row of the key that is going to be, durable. Crash from here on: it says too much."""
    if job.key is None:
        return None
    row = KeyRow(
        id=os.urandom(_ID_BYTES).hex(),
        epoch=EPOCH_UNKNOWN,
        created_ms=job.now_ms,
        expires_ms=job.now_ms + job.key.days * _DAY_MS,
        path=str(job.key.path.absolute()),
    )
    enter(job.data, row)
    return row


def _require_free(job: BackupJob) -> None:
    for folder in (LOG_FOLDER, VAULT_FOLDER):
        if not (job.data / folder / DATA_FILE).is_file():
            raise BackupError(f"{job.data / folder / DATA_FILE} is not there: nothing to back up")
    if job.target.exists():
        raise BackupError(f"{job.target} is there already; a backup is never written over")
    if job.key is None:
        return
    if job.key.path.exists():
        raise BackupError(f"{job.key.path} is there already; a key is never written over")
    if job.key.path.absolute().is_relative_to(job.target.absolute()):
        raise BackupError("the backup key must not lie in the backup that it opens")


def _fill(
    job: BackupJob, staged: Path, row: KeyRow | None, progress: Progress
) -> tuple[Manifest, BackupKey | None]:
    progress("log", 0, 1)
    copy_environment(job.data / LOG_FOLDER, staged / LOG_FOLDER)
    progress("log", 1, 1)
    vault, key = _copy_vault(job, staged, row)
    progress("vault", 1, 1)
    if row is not None:
        revise(job.data, row.id, lambda entered: replace(entered, epoch=vault.epoch))
    if (job.data / BOOK_FILE).exists():
        shutil.copyfile(job.data / BOOK_FILE, staged / BOOK_FILE)
    for source, name in (
        (job.home / CELL_FILE, CELL_FILE),
        (job.home / job.cell.ledger.id / NODE_FILE, NODE_FILE),
    ):
        shutil.copyfile(source, staged / name)
    (staged / POLICY_FILE).write_bytes(cell_policy(job.cell).format())
    manifest = _described(job, staged, vault, row)
    (staged / MANIFEST_FILE).write_bytes(manifest.encode())
    progress("files", 1, 1)
    return manifest, key


def copy_environment(source: Path, target: Path) -> None:
    """Copy one database as some transaction left it, without its free pages.

    Whatever erased rows or older nodes free pages still hold is thus not in the copy.
    Raises: BackupError.
    """
    target.mkdir(mode=0o700)
    try:
        # `create` only concerns the file; a read-only environment takes a place in the reader
        # table, which keeps the writer from using pages again that this copy still reads.
        environment = lmdb.open(
            str(source),
            map_size=MAP_BYTES,
            max_dbs=_TABLES_MAX,
            readonly=True,
            create=False,
            readahead=False,
        )
        try:
            # Places that a killed backup has left would hold pages back for ever.
            environment.reader_check()
            environment.copy(str(target), compact=True)
        finally:
            environment.close()
    except lmdb.Error as error:
        raise BackupError(f"{source}: {error}") from error
    (target / DATA_FILE).chmod(0o600)


def _copy_vault(
    job: BackupJob, staged: Path, row: KeyRow | None
) -> tuple[VaultState, BackupKey | None]:
    """The vault; again if an erasure has destroyed the root key of the copy while it was made."""
    for attempt in range(1, VAULT_TRIES + 1):
        copy_environment(job.data / VAULT_FOLDER, staged / VAULT_FOLDER)
        state = read_state(staged / VAULT_FOLDER, map_bytes=COPY_MAP_BYTES)
        if row is None:
            return state, None
        try:
            return state, _rewrapped(job, row, staged)
        except RootKeyLostError:
            if attempt == VAULT_TRIES:
                raise
            shutil.rmtree(staged / VAULT_FOLDER)
    raise AssertionError("the last attempt returns or raises")


def _rewrapped(job: BackupJob, row: KeyRow, staged: Path) -> BackupKey:
    roots = FileRootKeyStore(job.data / ROOT_FOLDER)
    copied = staged / VAULT_FOLDER
    root = rewrap(copied, roots, map_bytes=COPY_MAP_BYTES, entropy=os.urandom)
    (copied / "lock.mdb").unlink(missing_ok=True)
    return BackupKey(job.cell.origin, root, row.created_ms, row.expires_ms)


def _described(job: BackupJob, staged: Path, vault: VaultState, row: KeyRow | None) -> Manifest:
    environment = Environment(staged / LOG_FOLDER, map_bytes_max=MAP_BYTES, is_read_only=True)
    try:
        with environment.reading() as transaction:
            snapshot = Snapshot(transaction, environment, RecentRows().view())
            state, latest = snapshot.state(), snapshot.latest_checkpoint()
    finally:
        environment.close()
    (staged / LOG_FOLDER / "owner.lock").unlink(missing_ok=True)
    if latest is not None:
        (staged / CHECKPOINT_FILE).write_bytes(latest.note)
    paths = [path for path in sorted(staged.rglob("*")) if path.is_file()]
    return Manifest(
        origin=job.cell.origin,
        created_ms=job.now_ms,
        size=state.size,
        root=state.edge.root().hex(),
        height=state.height,
        checkpoint_size=latest.size if latest else 0,
        epoch=vault.epoch,
        slot_next=vault.slot_next,
        key_expires_ms=row.expires_ms if row else 0,
        files=tuple(facts_of(staged, path.relative_to(staged).as_posix()) for path in paths),
        key_id=row.id if row else "",
    )


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            sync_folder(path)
            continue
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_folder(folder)
