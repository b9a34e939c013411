"""Makes a store anew from a public log: another ledger's tiles, over HTTP or in a copied folder.

Nothing of the source is believed. Its checkpoint is judged by the policy, every entry is hashed,
every tile compared, and what is written grows from the entries alone; only when the root is the
cosigned one, and a replica has proved which block it belongs to, does the new store get its place.

A public log has no more than the public half. What cannot be had from it: sealed records and the
rows that find subjects and requests (so nobody's records can be read, subjects register again, and
a request that is sent again is not recognised as a copy; only bundles say their names in public),
older checkpoints, and the times of the blocks: all entries of the clone count as having come with
the block of its checkpoint. The vault that is there is kept; if there is none, a new one is made.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from heptad.consensus.committee import Cell as AgreedCell
from heptad.consensus.genesis import genesis_block
from heptad.crypto.derivation import request_ref
from heptad.model.entry import Kind
from heptad.runtime.config import LedgerConfig
from heptad.runtime.disk import sync_folder
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.policy import Policy
from heptad.transparency.tiled_tree import append_leaves
from heptad.transparency.tiles import CHECKPOINT_PATH, encode_entries
from heptad.vault.inspection import VaultInspector
from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.tree import KeyTree
from heptad.verification.errors import VerificationError
from heptad.verification.logs import verify_log
from heptad.verification.sources import TileSource
from heptad.wire.convert.entry_facts import entry_facts
from heptad_ledger.backup.heads import HeadBlock
from heptad_ledger.backup.taking import DATA_FILE
from heptad_ledger.bundles import stated_bundle
from heptad_ledger.errors import BackupError
from heptad_ledger.log_reads import StoreTiles
from heptad_ledger.parts import LOG_FOLDER, ROOT_FOLDER, VAULT_FOLDER
from heptad_ledger.privacy.noticing import noticed
from heptad_ledger.publishing.kept import Anchor, lay_kept, verified
from heptad_ledger.store import AppliedState, LogStore, ServicePosting, TimeSpan, Totals, Wave
from heptad_ledger.store.wave import batch_postings, pack_index

CLONED: Final = "cloned"
STAGED_FOLDER: Final = ".cloning"
WAVE_ENTRIES: Final = 16_384


@dataclass(frozen=True, slots=True)
class CloneJob:
    """Where the new log goes: `data` holds none. `policy` judges the source's checkpoint, `own`
    is this cell's. `kept` is a checkpoint that somebody kept elsewhere."""

    data: Path
    cell: AgreedCell
    config: LedgerConfig
    policy: Policy
    own: Policy
    now_s: int
    kept: bytes | None = None


class Clone:
    """A store in the making, beside its place."""

    def __init__(self, job: CloneJob) -> None:
        """Raises: BackupError if there is a log already."""
        if (job.data / LOG_FOLDER).exists():
            raise BackupError(
                f"{job.data / LOG_FOLDER} is there: a ledger is never written over; move it away"
            )
        self._job = job
        self._staged = job.data / STAGED_FOLDER
        self._store: LogStore | None = None
        self._pending: list[tuple[int, Sequence[bytes]]] = []
        self._pending_count = 0
        self._index_key = b""

    def read(self, source: TileSource) -> Checkpoint:
        """Read and check all of it. Raises: BackupError; SourceUnreadableError; StoreError."""
        note = source.read(CHECKPOINT_PATH)
        if note is None:
            raise BackupError(f"{source.name} serves no checkpoint")
        job = self._job
        shutil.rmtree(self._staged, ignore_errors=True)
        self._index_key = self._cell_index_key()
        self._store = LogStore.open(
            self._staged / LOG_FOLDER,
            origin=job.cell.origin,
            genesis=AppliedState(0, genesis_block(job.cell).id, 0, CompactRange.empty()),
            map_bytes_max=job.config.log_map_bytes_max,
        )
        try:
            log = verify_log(
                source.read, policy=job.policy, now_s=job.now_s, note=note, visit=self._add
            )
        except VerificationError as error:
            raise BackupError(f"{source.name}: {error}") from error
        self._flush()
        checkpoint = log.checkpoint
        if checkpoint.origin != job.cell.origin:
            raise BackupError(f"{source.name} is the log {checkpoint.origin}, not this cell's")
        assert self._store.state.edge.root() == checkpoint.root, "two trees from the same entries"
        self._keep(note, checkpoint)
        return checkpoint

    def finish(self, block: HeadBlock) -> None:
        """Let the ledger go on behind this block, and put the store in its place."""
        store, job = self._opened(), self._job
        size = store.state.size
        state = replace(
            store.state, height=block.height, block_id=block.block_id, time_ms=block.time_ms
        )
        spans = [TimeSpan(block.time_ms, 0, size)] if size else []
        store.write(Wave(state=state, leaves=(), tiles={}, spans=spans))
        store.keep(CLONED, b"".join(map(pack_index, (size, block.height, job.now_s * 1000))))
        self.close()
        if job.kept is not None:
            lay_kept(job.data, job.kept)
        for folder in (ROOT_FOLDER, VAULT_FOLDER, LOG_FOLDER):
            if (self._staged / folder).is_dir():
                # A folder of root keys that is there holds none, or we would not have come here.
                shutil.rmtree(job.data / folder, ignore_errors=True)
                (self._staged / folder).rename(job.data / folder)
                sync_folder(job.data)
        self._staged.rmdir()

    def close(self) -> None:
        """Close the files; what is not in its place is not used."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def drop(self) -> None:
        """Close the files and delete them."""
        self.close()
        shutil.rmtree(self._staged, ignore_errors=True)

    def _opened(self) -> LogStore:
        assert self._store is not None, "read the log first"
        return self._store

    def _keep(self, note: bytes, checkpoint: Checkpoint) -> None:
        """Hold the log against what was kept elsewhere; take the source's note if it is ours."""
        job, store = self._job, self._opened()
        if job.kept is not None:
            kept = verified(job.kept, job.own, name="the kept checkpoint")
            Anchor(kept, StoreTiles(store)).allows(checkpoint.size)
        if job.policy == job.own and checkpoint.size:
            store.publish(checkpoint.size, note)

    def _cell_index_key(self) -> bytes:
        """The key of request references, of the vault that is there or of a new one."""
        vault, roots = self._job.data / VAULT_FOLDER, self._job.data / ROOT_FOLDER
        if (vault / DATA_FILE).is_file():
            held = VaultInspector(vault, FileRootKeyStore(roots, is_read_only=True))
            try:
                return held.cell_keys.index_key
            finally:
                held.close()
        if roots.is_dir() and FileRootKeyStore(roots, is_read_only=True).read():
            raise BackupError(
                f"{roots} holds a root key, and its vault is gone: move it away first"
            )
        made = KeyTree.create(
            self._staged / VAULT_FOLDER,
            FileRootKeyStore(self._staged / ROOT_FOLDER),
            now_ms=self._job.now_s * 1000,
            map_bytes=self._job.config.vault_map_bytes_max,
        )
        try:
            return made.index_key()
        finally:
            made.close()

    def _add(self, first_index: int, entries: Sequence[bytes]) -> None:
        self._pending.append((first_index, entries))
        self._pending_count += len(entries)
        if self._pending_count >= WAVE_ENTRIES:
            self._flush()

    def _flush(self) -> None:
        """Write what has come: one wave, as if these bundles had been batches."""
        if not self._pending:
            return
        store = self._opened()
        hashes = [each for _, entries in self._pending for each in leaf_hashes(entries)]
        append = append_leaves(before=store.state.edge, leaf_hashes=hashes, tiles=store.edge_tiles)
        totals, postings, bundles = Totals(), list[ServicePosting](), list[tuple[bytes, bytes]]()
        queued: list[tuple[int, bytes]] = []
        for first_index, entries in self._pending:
            facts = entry_facts(entries)
            totals.add(facts)
            postings += batch_postings([service for _, service in facts], first_index)
            bundles += self._bundles(first_index, entries, [kind for kind, _ in facts])
            # What was ordered is carried out over the vault that is there, before anything is read.
            bare = [b""] * len(entries)
            queued += noticed(first_index=first_index, entries=entries, facts=facts, records=bare)
        store.write(
            Wave(
                state=replace(store.state, edge=append.after),
                leaves=[
                    (pack_index(index), encode_entries(entries)) for index, entries in self._pending
                ],
                tiles={(tile.level, tile.index): tile.hashes for tile in append.tiles},
                postings=postings,
                by_request=bundles,
                totals=totals,
                queued=queued,
            )
        )
        self._pending, self._pending_count = [], 0

    def _bundles(
        self, first_index: int, entries: Sequence[bytes], kinds: Sequence[int]
    ) -> Iterator[tuple[bytes, bytes]]:
        """The rows by which bundles are found: their entries name the request in public."""
        for place, kind in enumerate(kinds):
            statement = stated_bundle(entries[place]) if kind == Kind.BUNDLE else None
            if statement is not None:
                reference = request_ref(
                    cell_index_key=self._index_key, request_id=statement.request_id
                )
                yield reference, pack_index(first_index + place)
