"""What the attacker has: raw bytes, in stretches that are searched one by one.

A stretch is a file, or what lies between empty blocks of a file or disk: copies from before and
the files of now are mostly equal, and a disk is mostly empty.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PIECE_BYTES_MAX: Final = 1 << 32
BLOCK_BYTES: Final = 4_096

_EMPTY: Final = bytes(BLOCK_BYTES)


@dataclass(frozen=True, slots=True)
class Loot:
    """Raw bytes, each stretch once, with the name of the file that it was met in first."""

    stretches: tuple[tuple[str, bytes], ...]

    def __add__(self, other: "Loot") -> "Loot":
        return _distinct((*self.stretches, *other.stretches))

    def contents(self) -> Iterator[bytes]:
        """The stretches."""
        return (content for _, content in self.stretches)

    def holding(self, needle: bytes) -> list[str]:
        """The files in which these bytes occur."""
        return [name for name, content in self.stretches if needle in content]

    def __repr__(self) -> str:
        return f"Loot({len(self.stretches)} stretches)"


def read_files(roots: Iterable[Path], *, without: Iterable[Path] = ()) -> Loot:
    """Every byte of every file below these folders, but for what is below `without`.

    Raises: OSError.
    """
    excluded = tuple(without)
    found: list[tuple[str, bytes]] = []
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            is_left_out = any(path.is_relative_to(other) for other in excluded)
            if not is_left_out and path.is_file() and not path.is_symlink():
                found += _stretches(path)
    return _distinct(found)


def read_image(path: Path) -> Loot:
    """A raw disk, block by block, with the file system's journal and its free blocks.

    Raises: OSError.
    """
    return _distinct(_stretches(path))


def _distinct(found: Iterable[tuple[str, bytes]]) -> Loot:
    names: dict[bytes, str] = {}
    for name, content in found:
        names.setdefault(content, name)
    return Loot(tuple((name, content) for content, name in names.items()))


def _stretches(path: Path) -> Iterator[tuple[str, bytes]]:
    """A file's blocks, joined where no empty one lies between them."""
    size = path.stat().st_size
    if size > PIECE_BYTES_MAX:
        raise OSError(f"{path}: {size} bytes are more than {PIECE_BYTES_MAX}")
    kept: list[bytes] = []
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            if block == _EMPTY[: len(block)]:
                if kept:
                    yield str(path), b"".join(kept)
                kept = []
            else:
                kept.append(block)
    if kept:
        yield str(path), b"".join(kept)
