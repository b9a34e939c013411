"""Small files written so that a crash leaves the old bytes or the new ones, never half."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Write, sync, rename, sync the folder; the file has `mode` before it has content.

    Raises: OSError.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def rename(source: Path, target: Path) -> None:
    """Give a file the name of another in its folder, whose place it takes. Raises: OSError."""
    source.replace(target)
    sync_folder(target.parent)


def remove(path: Path) -> None:
    """Take a file away, durably. Raises: OSError."""
    path.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename is only as durable as its folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_of(folder: Path) -> tuple[float, float]:
    """Free bytes of the file system that a folder lies on, for who is not root, and its size.

    Raises: OSError.
    """
    found = os.statvfs(folder)
    return float(found.f_bavail * found.f_frsize), float(found.f_blocks * found.f_frsize)
