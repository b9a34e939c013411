"""Puts a backup in the place of a lost ledger, after everything in it was checked.

In this order: the manifest's hashes; a copy beside the ledger's files; the same check as `heptad
ledger fsck`, of the copy and in full, against the checkpoint that was kept elsewhere; then the
folders are renamed into place, the log last, for it is what makes a ledger. A kept checkpoint that
is larger than the backup is nothing unusual: it is laid beside the log, and until the ledger has
followed the replicas up to it and has shown the same root, nothing is published
(`heptad_ledger.publishing.kept`).

What a vault has given out since the backup it no longer knows. Its next slots are therefore left
out, `SLOTS_SKIPPED` of them: a slot that was a lost subject's must never become another's, or
records that are still under way would be filed under the wrong person.

Erasures since the backup are carried out again before anything private is read: the row `restored`
in the log's store shuts `heptad_ledger.privacy.gate` until that is done.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.consensus.genesis import genesis_block
from heptad.runtime.config import Cell, LedgerConfig
from heptad.runtime.disk import sync_folder
from heptad.runtime.group import agreed_cell
from heptad.runtime.vkeys import cell_policy
from heptad.transparency.merkle import CompactRange
from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.tree import ALLOCATION_MAX, KeyTree
from heptad_ledger.backup.key_book import KeyRow, bring_back
from heptad_ledger.backup.manifest import (
    BackupKey,
    Manifest,
    read_key,
    read_manifest,
    require_whole,
)
from heptad_ledger.backup.taking import DATA_FILE
from heptad_ledger.errors import BackupError
from heptad_ledger.fsck.findings import Code, Finding
from heptad_ledger.fsck.run import Job, check
from heptad_ledger.parts import LOG_FOLDER, ROOT_FOLDER, VAULT_FOLDER
from heptad_ledger.publishing.kept import lay_kept, verified
from heptad_ledger.store import AppliedState, LogStore
from heptad_ledger.store.wave import pack_index

SLOTS_SKIPPED: Final = 100_000
"""More than a cell registers between two backups; of 134 million, and 3 MB of the vault."""

REMARKS: Final = frozenset({Code.ROLLED_BACK, Code.ENTRY_UNREADABLE, Code.RECORD_ALTERED})
"""Findings that do not stop a restore: that the log has grown since, and what an evil validator can
bring into any log, rubbish under good hashes. It must not be able to make backups worthless."""

RESTORED: Final = "restored"
STAGED_FOLDER: Final = ".restoring"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RestoreJob:
    """Which backup goes where.

    `data` is the ledger's folder of data, which holds no log and no vault. `kept` is a checkpoint
    that somebody kept elsewhere. `key` is the file of the backup key; without it the root key that
    still lies in `data` has to open the vault.
    """

    source: Path
    data: Path
    cell: Cell
    config: LedgerConfig
    now_ms: int
    kept: bytes | None = None
    key: Path | None = None
    slots_skipped: int = SLOTS_SKIPPED


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of it; `kept_size` is 0 without a kept checkpoint, `findings` the check's.

    Unless `is_in_place` something is wrong with the backup, and nothing was changed.
    """

    manifest: Manifest
    kept_size: int
    findings: tuple[Finding, ...]
    is_in_place: bool


def restore(job: RestoreJob, *, progress: Progress) -> Restored:
    """Check the backup and put it in place, or change nothing.

    Raises: BackupError; KeptCheckpointError; StoreError; heptad.vault.errors.VaultFaultError;
    OSError.
    """
    manifest, key, kept_size = _required(job)
    with _staged(job) as staged:
        _copy(job, staged, progress)
        _lay_root_key(job, staged, key)
        findings: list[Finding] = []
        fsck = Job(data=staged, static=None, cell=job.cell, kept=job.kept)
        size = check(fsck, report=findings.append, progress=progress).size
        is_right = all(finding.code in REMARKS for finding in findings)
        if is_right and size != manifest.size:
            said = f"the manifest says {manifest.size} entries, the log beside it has {size}"
            raise BackupError(f"{job.source}: {said}")
        if is_right:
            _mark(job, staged, manifest, has_key=key is not None)
            _put_in_place(job, staged, manifest, has_key=key is not None)
    remarks = (finding for finding in findings if finding.code is not Code.ROLLED_BACK)
    return Restored(manifest, kept_size, tuple(remarks), is_right)


def _required(job: RestoreJob) -> tuple[Manifest, BackupKey | None, int]:
    for folder in (LOG_FOLDER, VAULT_FOLDER):
        if (job.data / folder).exists():
            raise BackupError(
                f"{job.data / folder} is there: a ledger is never written over; move it away first"
            )
    manifest = read_manifest(job.source)
    if manifest.origin != job.cell.origin:
        raise BackupError(f"the backup is of {manifest.origin}, this cell is {job.cell.origin}")
    key = _required_key(job, manifest)
    policy = cell_policy(job.cell)
    kept_size = verified(job.kept, policy, name="the kept checkpoint").size if job.kept else 0
    require_whole(job.source, manifest)
    return manifest, key, kept_size


def _required_key(job: RestoreJob, manifest: Manifest) -> BackupKey | None:
    """The backup key; None if the root key that lies in `data` is the one that opens the vault."""
    roots = job.data / ROOT_FOLDER
    held = FileRootKeyStore(roots, is_read_only=True).read() if roots.is_dir() else ()
    if job.key is None:
        if all(key.epoch != manifest.epoch for key in held):
            raise BackupError(
                f"{roots} holds no root key of epoch {manifest.epoch}: nothing in the vault would "
                "open; give the backup's key"
            )
        return None
    key = read_key(job.key)
    if held:
        raise BackupError(
            f"{roots} holds a root key; it may open another copy of the vault, so it is never "
            "replaced: move it away first"
        )
    if (key.origin, key.root.epoch) != (manifest.origin, manifest.epoch):
        raise BackupError(f"{job.key}: is not the key of this backup")
    if job.now_ms >= key.expires_ms:
        raise BackupError(f"{job.key}: has expired; it was to be destroyed and opens nothing here")
    return key


@contextmanager
def _staged(job: RestoreJob) -> Iterator[Path]:
    """A folder beside the places where all of it goes, gone in the end."""
    job.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = job.data / STAGED_FOLDER
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700)
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _copy(job: RestoreJob, staged: Path, progress: Progress) -> None:
    for number, folder in enumerate((LOG_FOLDER, VAULT_FOLDER)):
        progress("copy", number, 2)
        (staged / folder).mkdir(mode=0o700)
        target = staged / folder / DATA_FILE
        shutil.copyfile(job.source / folder / DATA_FILE, target)
        target.chmod(0o600)
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    progress("copy", 2, 2)


def _lay_root_key(job: RestoreJob, staged: Path, key: BackupKey | None) -> None:
    if key is None:
        # No second copy of a root key is made: what checks the vault reads it where it lies.
        (staged / ROOT_FOLDER).symlink_to((job.data / ROOT_FOLDER).absolute())
        return
    FileRootKeyStore(staged / ROOT_FOLDER).stage(key.root)


def _mark(job: RestoreJob, staged: Path, manifest: Manifest, *, has_key: bool) -> None:
    """Skip the slots that may have been given out since, and note from where this ledger is.

    With a backup's key, the first of them is erased: that gives root, middle and last leaf fresh
    keys. Otherwise the backup's key would be the live root's second copy, and it would open what
    the lost ledger wrote over these nodes since, whose subjects may be erased and unknown here. The
    keys are those of the copy, so whatever crashes, the backup is as it was.
    """
    vault = KeyTree.open(
        staged / VAULT_FOLDER,
        FileRootKeyStore(staged / ROOT_FOLDER),
        map_bytes=job.config.vault_map_bytes_max,
    )
    try:
        left, first = job.slots_skipped, vault.slot_next
        while left:
            left -= len(vault.allocate(min(left, ALLOCATION_MAX)))
        if has_key and job.slots_skipped:
            vault.erase([first])
    finally:
        vault.close()
    cell = agreed_cell(job.cell)
    store = LogStore.open(
        staged / LOG_FOLDER,
        origin=cell.origin,
        genesis=AppliedState(0, genesis_block(cell).id, 0, CompactRange.empty()),
        map_bytes_max=job.config.log_map_bytes_max,
    )
    try:
        facts = (job.now_ms, manifest.created_ms, manifest.size, manifest.epoch)
        store.keep(RESTORED, b"".join(map(pack_index, facts)))
    finally:
        store.close()


def _own_row(job: RestoreJob, manifest: Manifest) -> KeyRow | None:
    """The row of this backup's own key, if it has one, for a book that does not know it."""
    if not manifest.key_expires_ms:
        return None
    return KeyRow(
        id=manifest.key_id or f"backup-{manifest.created_ms}",
        epoch=manifest.epoch,
        created_ms=manifest.created_ms,
        expires_ms=manifest.key_expires_ms,
        path=str(job.key.absolute()) if job.key is not None else "",
    )


def _put_in_place(job: RestoreJob, staged: Path, manifest: Manifest, *, has_key: bool) -> None:
    """The log comes last. If we crash before, the folder holds a vault without a log, which the
    next restore refuses by name and which is to be moved away; the backup is as it was."""
    bring_back(
        job.data, job.source, _own_row(job, manifest), epoch=manifest.epoch, now_ms=job.now_ms
    )
    if job.kept is not None:
        lay_kept(job.data, job.kept)
    if has_key and (job.data / ROOT_FOLDER).is_dir():
        shutil.rmtree(job.data / ROOT_FOLDER)
    for folder in (*((ROOT_FOLDER,) if has_key else ()), VAULT_FOLDER, LOG_FOLDER):
        sync_folder(staged / folder)
        (staged / folder).rename(job.data / folder)
        sync_folder(job.data)
