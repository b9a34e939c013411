"""Reading and writing fixed binary layouts, and the prefixes that keep signatures apart.

Why a layout of our own and not protobuf: what is signed or hashed must have exactly one encoding,
for ever, in every language. Here each field has a fixed width or a length in front of it, nothing
is optional or reordered, and trailing bytes are refused, so that bytes and meaning go one to one.
All integers are unsigned and big-endian.
"""

from functools import lru_cache
from struct import Struct
from typing import Final

DIGEST_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
ORIGIN_BYTES_MAX: Final = 255

_PREFIXES_MAX: Final = 64
"""Prefixes remembered: a process signs and checks a few kinds for one cell, over and over."""

_U16: Final = Struct(">H")
_U32: Final = Struct(">I")
_U64: Final = Struct(">Q")


class MalformedError(Exception):
    """Bytes are not in the one canonical form of what they claim to be; somebody else's mistake."""


class Reader:
    """Takes fields off the front of `data`; every method raises MalformedError past its end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def u8(self) -> int:
        """One byte."""
        return self.fixed(1)[0]

    def u16(self) -> int:
        """Two bytes."""
        return int(_U16.unpack(self.fixed(2))[0])

    def u32(self) -> int:
        """Four bytes."""
        return int(_U32.unpack(self.fixed(4))[0])

    def u64(self) -> int:
        """Eight bytes."""
        return int(_U64.unpack(self.fixed(8))[0])

    def fixed(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        end = self._at + size
        if end > len(self._data):
            raise MalformedError(f"{size} bytes wanted at {self._at} of {len(self._data)}")
        field = self._data[self._at : end]
        self._at = end
        return field

    def digest(self) -> bytes:
        """A SHA-256 digest, 32 bytes."""
        return self.fixed(DIGEST_BYTES)

    def bytes16(self) -> bytes:
        """Bytes behind a two-byte length."""
        return self.fixed(self.u16())

    def bytes32(self, *, size_max: int) -> bytes:
        """Bytes behind a four-byte length, which must not be over `size_max`."""
        size = self.u32()
        if size > size_max:
            raise MalformedError(f"a field of {size} bytes, at most {size_max} are allowed")
        return self.fixed(size)

    def position(self) -> int:
        """How many bytes were taken so far."""
        return self._at

    def since(self, position: int) -> bytes:
        """The bytes taken since `position`, again: an inner object as it arrived."""
        return self._data[position : self._at]

    def rest(self) -> bytes:
        """All that is left."""
        return self.fixed(len(self._data) - self._at)

    def end(self) -> None:
        """Refuse trailing bytes."""
        if self._at != len(self._data):
            raise MalformedError(f"{len(self._data) - self._at} bytes too many")


class Writer:
    """Collects fields; `done` returns their bytes. Values out of range are bugs and assert."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u8(self, value: int) -> "Writer":
        """One byte."""
        self._parts.append(value.to_bytes(1, "big"))
        return self

    def u16(self, value: int) -> "Writer":
        """Two bytes."""
        self._parts.append(_U16.pack(value))
        return self

    def u32(self, value: int) -> "Writer":
        """Four bytes."""
        self._parts.append(_U32.pack(value))
        return self

    def u64(self, value: int) -> "Writer":
        """Eight bytes."""
        self._parts.append(_U64.pack(value))
        return self

    def fixed(self, value: bytes) -> "Writer":
        """Bytes whose length the reader knows."""
        self._parts.append(value)
        return self

    def digest(self, value: bytes) -> "Writer":
        """A SHA-256 digest, 32 bytes."""
        assert len(value) == DIGEST_BYTES, len(value)
        return self.fixed(value)

    def bytes16(self, value: bytes) -> "Writer":
        """Bytes behind a two-byte length."""
        self._parts += (_U16.pack(len(value)), value)
        return self

    def bytes32(self, value: bytes) -> "Writer":
        """Bytes behind a four-byte length."""
        self._parts += (_U32.pack(len(value)), value)
        return self

    def done(self) -> bytes:
        """All fields, one after the other."""
        return b"".join(self._parts)


@lru_cache(maxsize=_PREFIXES_MAX)
def signing_prefix(kind: str, *, origin: str) -> bytes:
    """The bytes that every signed thing of a cell begins with.

    `"heptad/v1/<kind>\\0" ‖ u16be length of the origin ‖ origin`: a signature of one kind or of one
    cell is never valid as another's. `kind` is a word of lower-case ASCII letters and hyphens.
    """
    name = origin.encode("utf-8")
    assert kind.isascii(), kind
    assert len(name) <= ORIGIN_BYTES_MAX, len(name)
    return b"heptad/v1/" + kind.encode("ascii") + b"\0" + _U16.pack(len(name)) + name


@lru_cache(maxsize=_PREFIXES_MAX)
def consensus_prefix(kind: str, *, origin: str, epoch: int) -> bytes:
    """`signing_prefix` for what a group signs in one of its epochs: with `u64be epoch` behind."""
    return signing_prefix(kind, origin=origin) + _U64.pack(epoch)
