"""Pages of files that the system remembers, and making it forget them: for reads, warm and cold.

`posix_fadvise(DONTNEED)` drops a file's clean pages from the page cache. It leaves alone those that
a process has mapped, as LMDB maps its file, so whoever wants a cold file closes it first. Whether
the pages are gone is asked of the kernel (`mincore`) and not assumed.
"""

import ctypes
import mmap
import os
from pathlib import Path
from typing import Final

_READ_BYTES: Final = 8 << 20


def forget(folder: Path) -> None:
    """Drop every file below `folder` from the page cache; nobody may have them open."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # only clean pages can be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def remember(folder: Path) -> None:
    """Read every file below `folder` once, so that reads do not wait for the drive any more."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        with path.open("rb", buffering=0) as file:
            while file.read(_READ_BYTES):
                continue


def resident_part(path: Path) -> float:
    """Which part of a file's pages is in the page cache: 0 to 1. Linux; raises: OSError."""
    size = path.stat().st_size
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as mapped:
        pages = -(-size // mmap.PAGESIZE)
        told = (ctypes.c_ubyte * pages)()
        start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        libc = ctypes.CDLL(None, use_errno=True)
        result = libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), told)
        if result:
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(each & 1 for each in told) / pages
