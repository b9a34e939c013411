"""One folder of files that others read while it is written, and that a crash leaves whole.

Why in four passes (write all, sync all, rename all, sync the folders): each pass makes what the
next one builds on durable, so that a reader meets a whole file or none, also after the power went;
and the file system groups the syncs of one pass into few writes (half the time of file after file,
measured). What a crash leaves besides are staged files, whose names begin with a dot: they are
served to nobody, and the next start takes them away.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, Protocol, TypeAlias

from heptad.transparency.tiled_tree import TILE_WIDTH
from heptad.transparency.tiles import ENTRY_BYTES_MAX

STAGED_PREFIX: Final = "."
_FOLDERS_KNOWN_MAX: Final = 4_096
_BYTES_MAX: Final = TILE_WIDTH * (2 + ENTRY_BYTES_MAX)
"""A bundle of the longest entries."""

NamedContent: TypeAlias = tuple[str, bytes]
"""A path below the folder, as the log's public names have it, and the file's bytes."""


class Files(Protocol):
    """The few things that are done to a file system. All raise OSError."""

    def make_folder(self, folder: str) -> bool:
        """Make it; False if it is there. Its name lasts once the folder around it is synced."""
        ...

    def stage(self, path: str, content: bytes) -> None:
        """Write a file beside `path`, under a name that no reader looks for."""
        ...

    def sync(self, path: str) -> None:
        """Make the content of what was staged for `path` durable."""
        ...

    def show(self, path: str) -> None:
        """Let what was staged be at `path`, at once. It lasts once its folder is synced."""
        ...

    def sync_folder(self, folder: str) -> None:
        """Make the names in a folder durable."""
        ...


def put(files: Files, batch: Sequence[NamedContent], *, known: set[str]) -> None:
    """Let these files be there, durably; readers see each whole or not at all.

    `known` are folders that are there already, for the caller to keep from call to call.
    Raises: OSError; then some of them are there.
    """
    touched: dict[str, None] = {}
    for path, _ in batch:
        touched.update(dict.fromkeys(_ensure(files, _parent(path), known)))
    for path, content in batch:
        files.stage(path, content)
    for path, _ in batch:
        files.sync(path)
    for path, _ in batch:
        files.show(path)
        touched[_parent(path)] = None
    for folder in touched:
        files.sync_folder(folder)


def _ensure(files: Files, folder: str, known: set[str]) -> Iterator[str]:
    """Make a folder and those around it; yields the folders that hold new names."""
    if folder in known or not folder:
        return
    yield from _ensure(files, _parent(folder), known)
    if files.make_folder(folder):
        yield _parent(folder)
    if len(known) >= _FOLDERS_KNOWN_MAX:
        known.clear()
    known.add(folder)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


class DiskFolder:
    """The real thing: `Files`, and what is read and taken away."""

    def __init__(self, root: Path) -> None:
        """`root` is made by `open`."""
        self.root = root

    def open(self) -> None:
        """Make the folder, readable for everybody. Raises: OSError."""
        if not self.root.is_dir():
            self.root.mkdir(mode=0o755, parents=True)
            # The process's umask may have taken rights away, and the files are public.
            self.root.chmod(0o755)

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None if it is not there. Raises: OSError.

        What is no plain file has no bytes: nobody waits for a pipe that nobody writes to. Of a file
        that is longer than any of a log, so much is read that this is seen.
        """
        try:
            descriptor = os.open(self.root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return b""
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(_BYTES_MAX + 1)
        finally:
            os.close(descriptor)

    def make_folder(self, folder: str) -> bool:
        """See `Files`."""
        try:
            (self.root / folder).mkdir(mode=0o755)
        except FileExistsError:
            return False
        (self.root / folder).chmod(0o755)
        return True

    def stage(self, path: str, content: bytes) -> None:
        """See `Files`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(self._staged(path), flags, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(content)

    def sync(self, path: str) -> None:
        """See `Files`."""
        descriptor = os.open(self._staged(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def show(self, path: str) -> None:
        """See `Files`."""
        self._staged(path).replace(self.root / path)

    def sync_folder(self, folder: str) -> None:
        """See `Files`."""
        descriptor = os.open(self.root / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def has(self, path: str) -> bool:
        """Whether a file is there."""
        return (self.root / path).is_file()

    def remove(self, path: str) -> None:
        """Take away a file, or a folder with all that is in it, if it is there. Raises: OSError."""
        target = self.root / path
        try:
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()
        except FileNotFoundError:
            return

    def names(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Each folder and the names in it, one folder at a time. Raises: OSError."""
        for folder, folders, files in os.walk(self.root, onerror=_raise):
            below = PurePosixPath(Path(folder).relative_to(self.root)).as_posix()
            yield "" if below == "." else below, [*folders, *files]

    def _staged(self, path: str) -> Path:
        target = self.root / path
        return target.with_name(f"{STAGED_PREFIX}{target.name}")


def _raise(error: OSError) -> None:
    # What was taken away since the folder around it was read is no fault.
    if not isinstance(error, FileNotFoundError):
        raise error
