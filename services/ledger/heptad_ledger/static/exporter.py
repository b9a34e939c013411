"""Brings the folder from one published size to the next: first the tiles, then the checkpoint.

The order is the whole protocol. A checkpoint is shown only after everything that its tree needs is
durable, so a reader of the folder, or of a copy whose checkpoint was copied first, never misses a
tile. And the checkpoint that lies there says how far the folder is, so nothing else is kept and
recovery is the normal path: after a crash at any write the step is done again from that size, with
the same bytes under the same names.

Not every published size comes here. The folder is a mirror that takes the newest one each time it
is free, and has partial tiles for the sizes that it has shown, as the standard demands of it. A
partial tile goes when the full one has been there for a while, and then readers take that
(C2SP tlog-tiles, "Partial Tiles").

Blocking, and for one thread; a step is bounded in files and bytes, and holds no snapshot while it
writes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Final

from heptad.model.log_reads import PublishedCheckpoint
from heptad.transparency.checkpoint import Checkpoint, verify_signature
from heptad.transparency.errors import CheckpointRejectedError, FormatError
from heptad.transparency.notes import Note, VerifierKey, Verify
from heptad.transparency.tiled_tree import TILE_HEIGHT, TILE_WIDTH, TiledTree
from heptad.transparency.tiles import CHECKPOINT_PATH, TilePath, new_tiles, partial_tiles
from heptad_ledger.errors import StaticFolderError
from heptad_ledger.static.folder import STAGED_PREFIX, DiskFolder, Files, NamedContent, put
from heptad_ledger.store import LogStore, Snapshot

STRIDE_ENTRIES: Final = 64 * TILE_WIDTH
"""About how far one checkpoint of the folder is from the next while it catches up."""

STEP_FILES_MAX: Final = 64
STEP_BYTES_MAX: Final = 4 << 20
"""What one step writes; of entries as long as they can be, one bundle is 16 MiB."""

PARTIALS_KEPT_MAX: Final = 1 << 16
"""Folders of partial tiles that wait for their end; beyond it the oldest go early."""

_PARTIAL_SUFFIX: Final = ".p"


@dataclass(frozen=True, slots=True)
class _Target:
    """The checkpoint that the folder shall show next, and what is not written of it yet."""

    checkpoint: PublishedCheckpoint
    missing: Iterator[TilePath]


class Exporter:
    """Writes the folder, step by step. After an error it looks at the folder anew."""

    def __init__(
        self,
        *,
        store: LogStore,
        folder: DiskFolder,
        log_keys: Sequence[VerifierKey],
        verify: Verify,
        partials_s: float,
        now_s: Callable[[], float],
        files: Files | None = None,
    ) -> None:
        """`log_keys`: all that the log has signed with; of one name, at least one.

        `partials_s`: how long partial tiles stay once there is the full one. `files` is what is
        written through, by default the folder itself."""
        self._store = store
        self._folder = folder
        self._files: Files = files or folder
        self._log_keys = log_keys
        self._verify = verify
        self._partials_s = partials_s
        self._now_s = now_s
        self.size = 0
        """The size that the folder shows."""
        self._forget()

    def _forget(self) -> None:
        """Begin again with what the folder shows: it may be other than we left it."""
        self._is_open = False
        self._target: _Target | None = None
        self._known: set[str] = set()
        self._outdated: deque[tuple[float, str]] = deque()
        self._sweep: Iterator[None] = iter(())

    def work(self) -> bool:
        """Do one step; False if there is nothing more to do before the next checkpoint.

        Raises: OSError; StaticFolderError; StoreError.
        """
        try:
            return self._step()
        except BaseException:
            self._forget()
            raise

    def _step(self) -> bool:
        if not self._is_open:
            self._open()
        if self._target is None:
            self._target = self._next_target()
        if self._target is not None:
            self._advance(self._target)
            return True
        self._take_away_outdated()
        return any(True for _ in islice(self._sweep, 1))

    # Where the folder is.

    def _open(self) -> None:
        self._folder.open()
        note = self._folder.read(CHECKPOINT_PATH)
        self.size = 0 if note is None else self._size_shown(note)
        self._sweep = self._sweeping()
        self._is_open = True

    def _size_shown(self, note: bytes) -> int:
        """How far the folder is; 0 if that cannot be believed, and then all of it is written anew.

        Raises: StaticFolderError, if the folder holds what must not be written over.
        """
        shown = self._signed(note)
        if shown is None:
            return 0
        with self._store.snapshot() as snapshot:
            latest = snapshot.latest_checkpoint()
            published = latest.size if latest else 0
            if shown.size > published:
                raise StaticFolderError(
                    f"{self._folder.root} shows {shown.size} entries, published are {published}: "
                    "it waits until this ledger is there"
                )
            root = TiledTree(size=shown.size, tiles=snapshot).root()
        if root != shown.root:
            raise StaticFolderError(
                f"{self._folder.root} shows root {shown.root.hex()} for {shown.size} entries, "
                f"this log has {root.hex()}: keep that checkpoint, and move the folder away"
            )
        return shown.size

    def _signed(self, note: bytes) -> Checkpoint | None:
        """What the log itself has signed there; None for bytes that it has not."""
        try:
            parsed = Note.parse(note)
            checkpoint = Checkpoint.parse(parsed.text)
        except FormatError:
            return None
        origin = self._log_keys[0].name
        if checkpoint.origin != origin:
            raise StaticFolderError(
                f"{self._folder.root} holds the log {checkpoint.origin}, not {origin}"
            )
        for line, key in product(parsed.signatures, self._log_keys):
            try:
                verify_signature(parsed.text, line, key=key, verify=self._verify)
            except CheckpointRejectedError:
                continue
            return checkpoint
        return None

    # Where it goes.

    def _next_target(self) -> _Target | None:
        with self._store.snapshot() as snapshot:
            latest = snapshot.latest_checkpoint()
            if latest is None or latest.size <= self.size:
                return None
            near = snapshot.checkpoint_from(self.size + STRIDE_ENTRIES)
        checkpoint = near or latest
        return _Target(checkpoint, new_tiles(old_size=self.size, new_size=checkpoint.size))

    def _advance(self, target: _Target) -> None:
        with self._store.snapshot() as snapshot:
            batch = _read_some(target.missing, snapshot)
        if batch:
            put(self._files, batch, known=self._known)
            return
        note = target.checkpoint.note
        put(self._files, [(CHECKPOINT_PATH, note)], known=self._known)
        old_size, self.size, self._target = self.size, target.checkpoint.size, None
        for partial in partial_tiles(old_size):
            full = TilePath(level=partial.level, index=partial.index)
            hashes = self.size >> (TILE_HEIGHT * (partial.level or 0))
            if (partial.index + 1) * TILE_WIDTH <= hashes:
                self._let_go(full.format() + _PARTIAL_SUFFIX)

    # What goes.

    def _let_go(self, folder: str) -> None:
        self._outdated.append((self._now_s() + self._partials_s, folder))

    def _take_away_outdated(self) -> None:
        while self._outdated:
            due_s, folder = self._outdated[0]
            if due_s > self._now_s() and len(self._outdated) <= PARTIALS_KEPT_MAX:
                return
            self._folder.remove(folder)
            self._known.discard(folder)
            self._outdated.popleft()

    def _sweeping(self) -> Iterator[None]:
        """Find what an earlier process has left: staged files, and outdated partial tiles.

        One folder a step, and nothing is touched that this code has not named.
        """
        for folder, names in self._folder.names():
            there = set(names)
            for name in names:
                path = f"{folder}/{name}" if folder else name
                if name.startswith(STAGED_PREFIX) and _is_ours(folder, name):
                    self._folder.remove(path)
                elif name.endswith(_PARTIAL_SUFFIX) and name.removesuffix(_PARTIAL_SUFFIX) in there:
                    self._let_go(path)
            yield


def _read_some(missing: Iterator[TilePath], snapshot: Snapshot) -> list[NamedContent]:
    """The next files, as many as fit a step."""
    batch: list[NamedContent] = []
    size = 0
    for path in missing:
        if path.level is None:
            content = snapshot.bundle(path.index * TILE_WIDTH, path.width)
        else:
            content = snapshot.read_tile(level=path.level, index=path.index, width=path.width)
        batch.append((path.format(), content))
        size += len(content)
        if len(batch) >= STEP_FILES_MAX or size >= STEP_BYTES_MAX:
            break
    return batch


def _is_ours(folder: str, name: str) -> bool:
    """Whether a staged file has a name that the exporter gives."""
    path = f"{folder}/{name.removeprefix(STAGED_PREFIX)}".lstrip("/")
    try:
        return path == CHECKPOINT_PATH or bool(TilePath.parse(path))
    except FormatError:
        return False
