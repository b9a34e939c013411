"""Checks the folder of static files against the store that it was made from."""

from collections.abc import Iterator
from pathlib import Path

from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.errors import FormatError, TransparencyError
from heptad.transparency.merkle import HASH_BYTES
from heptad.transparency.notes import Note
from heptad.transparency.tiles import (
    CHECKPOINT_PATH,
    TilePath,
    all_tiles,
    exists,
    partial_tiles,
)
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.fsck.corrections import Corrections
from heptad_ledger.fsck.findings import Code, Findings, Progress
from heptad_ledger.static.folder import DiskFolder, NamedContent, put
from heptad_ledger.store import Snapshot
from heptad_ledger.store.wave import pack_index


class StaticCheck:
    """One run over one folder. Files of other names than the log's are not looked at."""

    def __init__(
        self,
        root: Path,
        snapshot: Snapshot,
        *,
        findings: Findings,
        corrections: Corrections,
        progress: Progress,
    ) -> None:
        """`corrections` hold the right content of tiles that are wrong in the store."""
        self._corrections = corrections
        self._folder = DiskFolder(root)
        self._snapshot = snapshot
        self._findings = findings
        self._progress = progress
        self.wrong: list[str] = []
        """Paths that are missing or wrong, and can be written again."""

    def run(self) -> None:
        """Check all files; an empty or missing folder is in order, for the ledger will fill it."""
        latest = self._snapshot.latest_checkpoint()
        note = self._folder.read(CHECKPOINT_PATH) if self._folder.root.is_dir() else None
        if note is None:
            return
        size = self._size_shown(note)
        if size is None:
            return
        if latest is None or size > latest.size:
            published = latest.size if latest else 0
            self._findings.add(
                Code.STATIC_FOLDER_AHEAD,
                f"static/{CHECKPOINT_PATH}",
                f"it shows {size} entries, but the store has published {published}:"
                " the store is an older one, put back",
            )
            return
        for number, path in enumerate(all_tiles(size)):
            self._compare(path, is_needed=True)
            if not number & 0xFF:
                self._progress("static files", path.index * 256, size)
        needed = set(partial_tiles(size))
        for path in self._partials():
            if path not in needed:
                self._compare(path, is_needed=False)

    def _size_shown(self, note: bytes) -> int | None:
        try:
            shown = Checkpoint.parse(Note.parse(note).text)
        except FormatError as error:
            self._wrong(CHECKPOINT_PATH, f"it cannot be read ({error})")
            return None
        kept = self._snapshot.checkpoint(shown.size)
        latest = self._snapshot.latest_checkpoint()
        if latest is not None and shown.size <= latest.size and (kept is None or kept.note != note):
            self._wrong(CHECKPOINT_PATH, f"the store published no such note of {shown.size}")
            return None
        return shown.size

    def _compare(self, path: TilePath, *, is_needed: bool) -> None:
        name = path.format()
        found = self._folder.read(name)
        try:
            right = self._content(path)
        except (TransparencyError, StoreDamagedError):
            return  # What the store lacks was found there.
        if found is None and is_needed:
            self._wrong(name, "it is missing")
        elif found is not None and found != right:
            self._wrong(name, "it is not what the store holds")

    def _wrong(self, name: str, what: str) -> None:
        self._findings.add(Code.STATIC_FILE_WRONG, f"static/{name}", what)
        self.wrong.append(name)

    def _content(self, path: TilePath) -> bytes:
        if path.level is None:
            return self._snapshot.bundle(path.index * 256, path.width)
        corrected = self._corrections.rows.get(
            ("tile", bytes((path.level,)) + pack_index(path.index))
        )
        if corrected is not None:
            return corrected[: path.width * HASH_BYTES]
        return self._snapshot.read_tile(level=path.level, index=path.index, width=path.width)

    def _partials(self) -> Iterator[TilePath]:
        """The partial tiles that are there, of any size."""
        size = self._snapshot.state().size
        for folder, names in self._folder.names():
            for name in names:
                try:
                    path = TilePath.parse(f"{folder}/{name}")
                except FormatError:
                    continue
                if path.width < 256 and exists(path, tree_size=size):
                    yield path

    def repair(self) -> int:
        """Write again what was wrong; return how many files that were. Raises: OSError."""
        latest = self._snapshot.latest_checkpoint()
        batch: list[NamedContent] = [
            (name, self._content(TilePath.parse(name)))
            for name in self.wrong
            if name != CHECKPOINT_PATH
        ]
        if batch:
            put(self._folder, batch, known=set())
        if CHECKPOINT_PATH in self.wrong and latest is not None:
            # Without a checkpoint the ledger looks at the folder as empty, and fills it in order.
            self._folder.remove(CHECKPOINT_PATH)
        return len(self.wrong)
