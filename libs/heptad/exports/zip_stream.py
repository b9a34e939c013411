"""A zip archive that is written from its first byte to its last, in little memory.

An export may hold a hundred thousand files and is never whole in memory or on a disk of ours: what
is opened of a person's data lives as long as the piece that is being sent. The standard library's
writer keeps an object of half a kilobyte for each file; here it is the file's own line in the
directory at the end, about 75 bytes.

Sizes are not known when a file begins, so they stand behind it (a data descriptor). Times are those
that the caller gives, so the same content makes the same bytes.

Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.
"""

import struct
import zlib
from datetime import UTC, datetime
from typing import Final

ARCHIVE_BYTES_MAX: Final = (1 << 32) - (1 << 20)
"""Larger ones would need 64-bit offsets in every header."""

_LEVEL: Final = 6
_VERSION: Final = 20
_VERSION_64: Final = 45
_FLAGS: Final = 0x0808
"""Sizes behind the data (bit 3), names in UTF-8 (bit 11)."""
_DEFLATED: Final = 8
_REGULAR_FILE: Final = 0o100644 << 16
_UNIX: Final = 3 << 8
_COUNT_16_MAX: Final = 0xFFFF

_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
_DESCRIPTOR: Final = struct.Struct("<IIII")
_CENTRAL: Final = struct.Struct("<IHHHHHHIIIHHHHHII")
_END_64: Final = struct.Struct("<IQHHIIQQQQ")
_LOCATOR_64: Final = struct.Struct("<IIQI")
_END: Final = struct.Struct("<IHHHHIIH")


class ArchiveTooLargeError(Exception):
    """The archive has grown beyond `ARCHIVE_BYTES_MAX`."""


class ZipStream:
    """Files one after the other: `begin`, `write` …, `end`; and `finish` after the last.

    Each method returns the bytes that come next.
    Raises: ArchiveTooLargeError.
    """

    def __init__(self, *, time_ms: int) -> None:
        """All files bear this time, Unix ms."""
        self._time, self._date = _dos_time(time_ms)
        self._at = 0
        self._directory = bytearray()
        self._count = 0
        self._name = b""
        self._start = self._size = self._packed = self._crc = 0
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)

    def begin(self, name: str) -> bytes:
        """Begin a file of this name, which holds no `..` and does not begin with a slash."""
        self._name = name.encode("utf-8")
        self._start, self._size, self._packed, self._crc = self._at, 0, 0, 0
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
        head = _LOCAL.pack(
            0x04034B50, _VERSION, _FLAGS, _DEFLATED, self._time, self._date, 0, 0, 0,
            len(self._name), 0,
        )  # fmt: skip
        return self._out(head + self._name)

    def write(self, data: bytes) -> bytes:
        """Add to the file; what comes back may be empty."""
        self._size += len(data)
        self._crc = zlib.crc32(data, self._crc)
        return self._packed_out(self._packer.compress(data))

    def end(self) -> bytes:
        """End the file."""
        rest = self._packed_out(self._packer.flush())
        self._directory += _CENTRAL.pack(
            0x02014B50, _UNIX | _VERSION, _VERSION, _FLAGS, _DEFLATED, self._time, self._date,
            self._crc, self._packed, self._size, len(self._name), 0, 0, 0, 0, _REGULAR_FILE,
            self._start,
        ) + self._name  # fmt: skip
        self._count += 1
        return rest + self._out(_DESCRIPTOR.pack(0x08074B50, self._crc, self._packed, self._size))

    def finish(self) -> bytes:
        """The directory; nothing comes after it."""
        start, size, count = self._at, len(self._directory), self._count
        more = b""
        if count >= _COUNT_16_MAX:
            more = _END_64.pack(
                0x06064B50, _END_64.size - 12, _UNIX | _VERSION_64, _VERSION_64, 0, 0, count, count,
                size, start,
            ) + _LOCATOR_64.pack(0x07064B50, 0, start + size, 1)  # fmt: skip
        count_16 = min(count, _COUNT_16_MAX)
        last = _END.pack(0x06054B50, 0, 0, count_16, count_16, size, start, 0)
        return self._out(bytes(self._directory) + more + last)

    def _packed_out(self, data: bytes) -> bytes:
        self._packed += len(data)
        return self._out(data)

    def _out(self, data: bytes) -> bytes:
        self._at += len(data)
        if self._at > ARCHIVE_BYTES_MAX:
            raise ArchiveTooLargeError(f"an archive of more than {ARCHIVE_BYTES_MAX} bytes")
        return data


def _dos_time(time_ms: int) -> tuple[int, int]:
    """Time and date as a zip has them: two seconds fine, from 1980 to 2107, here in UTC."""
    when = datetime.fromtimestamp(time_ms / 1000, UTC)
    year = min(max(when.year, 1980), 2107)
    date = (year - 1980) << 9 | when.month << 5 | when.day
    return when.hour << 11 | when.minute << 5 | when.second // 2, date
