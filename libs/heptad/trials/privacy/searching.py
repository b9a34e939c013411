"""Looking for needles in bytes and files: raw, and inside of what is compressed.

A file is read as it lies on the disk, so pages that a database has freed and not yet overwritten
are searched like all others; only the holes of sparse files, which hold nothing, are passed over.
Compressed streams are found by how gzip, zlib and zip members begin, wherever they lie, and
searched again as what they inflate to.
"""

import errno
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.trials.privacy.canaries import Needle

CHUNK_BYTES: Final = 8 << 20
INFLATED_BYTES_MAX: Final = 8 << 20
"""Of one stream. A bomb is not inflated further, and what it hides is not found."""
FOUND_MAX: Final = 100
"""Findings told of one place; all are counted."""

_STREAM_BYTES_MAX: Final = 1 << 20
_ZLIB_HEADS: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_GZIP_HEAD: Final = b"\x1f\x8b\x08"
_ZIP_HEAD: Final = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Found:
    """A needle at `offset` of a place; for compressed data where the stream begins."""

    place: str
    offset: int
    what: str
    spelling: str

    def __str__(self) -> str:
        return f"{self.place}, byte {self.offset}: {self.what}, {self.spelling}"


class Searcher:
    """Looks for a set of needles, and counts what it looked at."""

    def __init__(
        self, needles: Sequence[Needle], *, searched: Callable[[int], None] = lambda count: None
    ) -> None:
        """`searched` is told of each piece of a file, with how many bytes there were so far."""
        self._needles = tuple(needles)
        self._searched = searched
        self.files = 0
        self.bytes = 0
        """Read from files so far."""

    @property
    def overlap(self) -> int:
        """Bytes of one piece that have to be seen again with the next one."""
        return max((len(needle.data) for needle in self._needles), default=1) - 1

    @property
    def needles(self) -> tuple[Needle, ...]:
        """What is looked for now."""
        return self._needles

    def look_for(self, needles: Sequence[Needle]) -> None:
        """More of them, from now on; another thread may search meanwhile."""
        self._needles = (*self._needles, *needles)

    def search(
        self, data: bytes | bytearray, *, place: str, offset: int = 0, inflate: bool = True
    ) -> list[Found]:
        """Every needle in `data`, which begins at `offset` of `place`; each one once."""
        found = [
            Found(place, offset + at, needle.what, needle.spelling)
            for needle in self._needles
            if (at := data.find(needle.data)) >= 0
        ]
        if inflate:
            for at, kind, plain in inflated(data):
                found += [
                    Found(place, offset + at, inside.what, f"{inside.spelling} in {kind}")
                    for inside in self.search(plain, place=place, inflate=False)
                ]
        return found

    def search_file(self, path: Path, *, place: str) -> list[Found]:
        """Every needle in a file; each one once for each piece of it. Raises: OSError."""
        found: list[Found] = []
        self.files += 1
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for start, end in data_ranges(descriptor):
                for offset, piece in self._pieces(descriptor, start, end):
                    found += self.search(piece, place=place, offset=offset)
                    self._searched(self.bytes)
        finally:
            os.close(descriptor)
        return found

    def _pieces(self, descriptor: int, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        at = start
        while at < end:
            piece = os.pread(descriptor, min(CHUNK_BYTES, end - at), at)
            if not piece:
                return
            self.bytes += len(piece)
            # The end of the piece before is read once more, for what lies across the cut.
            before = min(self.overlap, at - start)
            joined = os.pread(descriptor, before, at - before) + piece if before else piece
            yield at - before, joined
            at += len(piece)


def data_ranges(descriptor: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: from, until. One range where its file system does not tell."""
    size = os.fstat(descriptor).st_size
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # nothing but a hole until the end
            yield at, size
            return
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, at


def inflated(data: bytes | bytearray) -> Iterator[tuple[int, str, bytes]]:
    """Where compressed streams begin, of which kind they are, and what they hold."""
    for at in _places(data, _GZIP_HEAD):
        yield from _inflate(data, at, at, 31, "gzip")
    for head in _ZLIB_HEADS:
        for at in _places(data, head):
            yield from _inflate(data, at, at, 15, "zlib")
    for at in _places(data, _ZIP_HEAD):
        header = data[at : at + 30]
        if len(header) == 30 and header[8:10] == b"\x08\x00":
            names = int.from_bytes(header[26:28], "little") + int.from_bytes(
                header[28:30], "little"
            )
            yield from _inflate(data, at, at + 30 + names, -15, "zip")


def _places(data: bytes | bytearray, head: bytes) -> Iterator[int]:
    at = data.find(head)
    while at >= 0:
        yield at
        at = data.find(head, at + 1)


def _inflate(
    data: bytes | bytearray, at: int, start: int, wbits: int, kind: str
) -> Iterator[tuple[int, str, bytes]]:
    stream = zlib.decompressobj(wbits)
    try:
        plain = stream.decompress(
            bytes(data[start : start + _STREAM_BYTES_MAX]), INFLATED_BYTES_MAX
        )
    except zlib.error:
        return  # it only began like a stream, as any bytes may
    if plain:
        yield at, kind, plain
