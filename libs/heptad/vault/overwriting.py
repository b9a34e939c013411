"""What overwriting a file in place is worth where it lies: that depends on the file system.

A certificate says what it cannot promise, and "may still hold the old block" is a different thing
on an ext4 that journals names only and on one that journals data, where the forensic suite finds
the overwritten key in the journal (`tests/forensics/test_raw_disk.py`). So the file system is
looked up, as Linux tells it (`/proc/self/mountinfo`, proc(5)), and named.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")

ELSEWHERE: Final = frozenset({"bcachefs", "btrfs", "f2fs", "nilfs2", "zfs"})
"""File systems that write a changed block to a new place."""

UNSEEN: Final = frozenset({"9p", "cifs", "fuse", "fuseblk", "nfs", "nfs4", "overlay", "virtiofs"})
"""File systems whose blocks are kept by somebody else, or by one below."""

_JOURNALLED: Final = "data=journal"
_OPTIONS_AT: Final = 5
_MOUNT_POINT_AT: Final = 4


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A kind of file system, and whether its journal holds data besides names."""

    kind: str
    journals_data: bool


def file_system_of(folder: Path, *, mounts: Path = MOUNTS) -> FileSystem | None:
    """On what this folder lies; None where that cannot be told."""
    place = Path(os.path.realpath(folder))
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    found: tuple[int, FileSystem] | None = None
    for line in lines:
        ours, _, theirs = line.partition(" - ")
        fields, rest = ours.split(" "), theirs.split(" ")
        if len(fields) <= _OPTIONS_AT or len(rest) < 3:
            continue
        point = Path(_unescaped(fields[_MOUNT_POINT_AT]))
        depth = len(point.parts)
        # Of two mounts in one place the later one is seen.
        if place.is_relative_to(point) and (found is None or depth >= found[0]):
            options = f"{fields[_OPTIONS_AT]},{rest[2]}".split(",")
            found = depth, FileSystem(rest[0], _JOURNALLED in options)
    return None if found is None else found[1]


def caveat_of(system: FileSystem | None) -> str:
    """What overwriting in place does not promise there, in one sentence of printable ASCII."""
    drive = "a drive that remaps blocks, or a snapshot, may still hold the old block"
    if system is None:
        where = "on a file system that is not known, which may have written elsewhere"
    elif system.journals_data:
        where = f"on {system.kind} with data=journal, WHOSE JOURNAL MAY STILL HOLD THE OLD BLOCK"
    elif system.kind in ELSEWHERE:
        where = f"on {system.kind}, WHICH WRITES ELSEWHERE AND MAY STILL HOLD THE OLD BLOCK"
    elif system.kind in UNSEEN:
        where = f"on {system.kind}, below which somebody else's storage may have written elsewhere"
    else:
        where = f"on {_printable(system.kind)}"
    return f"the file was overwritten in place and read back, {where}; {drive}"


def _unescaped(text: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, character)
    return text


def _printable(kind: str) -> str:
    return "".join(c for c in kind if c.isascii() and c.isprintable())[:32]
