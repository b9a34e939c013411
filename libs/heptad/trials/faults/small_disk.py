"""A file system of a few megabytes for one member's data, which can be filled to the last block.

It is ext4 in a file, mounted through a loop device, because what a full disk does depends on the
file system: which call fails, and what of a write has gone through. The mount lives in the private
mount namespace of the run (`stage`), the loop device is set to vanish with the mount, and the image
has no name once it is mounted: so nothing is left behind however the run ends.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from heptad.trials.faults.machinery import NotPossibleHere, require_program, run_tool

BYTES: Final = 48 << 20
"""Enough for what one member keeps during a run."""

_BALLAST: Final = "ballast"
_CHUNKS_BYTES: Final = (1 << 20, 1 << 16, 1 << 12)


class SmallDisk:
    """A mounted file system; made by `small_disk`."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / _BALLAST

    def fill(self) -> None:
        """Take every free block."""
        with self._ballast.open("wb") as file:
            size = 0
            for chunk in _CHUNKS_BYTES:
                while _grown(file.fileno(), size, chunk):
                    size += chunk

    def make_room(self) -> None:
        """Give the blocks back."""
        self._ballast.unlink()


def _grown(descriptor: int, size: int, chunk: int) -> bool:
    try:
        os.posix_fallocate(descriptor, size, chunk)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


@contextmanager
def small_disk(folder: Path, *, image: Path, size_bytes: int = BYTES) -> Iterator[SmallDisk]:
    """Mount a new file system over `folder`, in a private mount namespace only.

    Raises: NotPossibleHere.
    """
    require_program("mkfs.ext4", "mount", "umount")
    if not Path("/dev/loop-control").exists():
        raise NotPossibleHere("there is no /dev/loop-control")
    with image.open("wb") as file:
        file.truncate(size_bytes)
    try:
        # No blocks kept back for root, or the run, being root, would never see the disk full.
        run_tool(["mkfs.ext4", "-q", "-m", "0", str(image)])
        run_tool(["mount", "-o", "loop", str(image), str(folder)])
    finally:
        image.unlink()
    try:
        folder.chmod(0o700)
        yield SmallDisk(folder)
    finally:
        run_tool(["umount", "--lazy", str(folder)])
