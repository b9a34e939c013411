"""What files take up on disk."""

import os
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 512
"""The unit of `st_blocks`, whatever the file system's own is."""


def disk_bytes(folder: Path) -> int:
    """What the files below `folder` take up: the holes of sparse files, as LMDB's are, do not."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(parent) / name).st_blocks * _BLOCK_BYTES
            except FileNotFoundError:
                # A file that was replaced while we walked.
                continue
    return total
