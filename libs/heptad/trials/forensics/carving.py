"""Finds, in raw bytes, whatever could be a key, a node of the vault, a record or a row.

No structure around a thing is believed: freed pages, pages that were only half written over, a
journal and the space between rows are searched like live ones. Each finder knows a few bytes that
a thing begins with, and that what is encrypted looks random; the rest is tried.

    node         epoch u64be | nonce 24 | ciphertext                     `heptad.vault.nodes`
    root key     "HEPTROOT" | epoch u64be | key 32 | SHA-256             `heptad.vault.root_files`
    routing box  1 | routing key id u32be | nonce 24 | ciphertext 56     `heptad.crypto.sealing`
    record       behind a routing box: nonce 24 | ciphertext
    stored row   LMDB's row head, index u64be | 1 | masked lease 16 | nonce 24 | ciphertext
    pointer      PRF of a subject's key, 16 | index u64be                `heptad.crypto.derivation`
    long row     an overflow page's head | 1 | masked lease 16 | nonce 24 | ciphertext

LMDB's row head is length u32 (two u16, the lower first), flags u16, key length u16, little endian.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

EPOCH_MAX: Final = 65_535
"""Nodes of later epochs are not looked for."""

RANDOM_BYTES: Final = 24
_DISTINCT_MIN: Final = 16
"""24 random bytes have fewer different values once in a billion times; numbers and texts do."""

_DISTINCT_SHORT_MIN: Final = 9

_ROOT: Final = re.compile(rb"HEPTROOT", re.DOTALL)
_NODE: Final = re.compile(rb"(?=\0{6}(?:[\0-\xff][\x01-\xff]|[\x01-\xff]\0))", re.DOTALL)
_BOX: Final = re.compile(rb"(?=\x01\0\0[\0-\xff]{2})", re.DOTALL)
_ROW: Final = re.compile(rb"(?=[\0-\xff]{2}[\0\x01]\0\0\0\x08\0\0{4}[\0-\xff]{4}\x01)", re.DOTALL)
_LONG: Final = re.compile(rb"(?=\x04\0[\x01-\xff][\0-\xff]{3}\x01)", re.DOTALL)
_SHORT_KEY: Final = re.compile(rb"(?=[\0-\xff]{2}\0\0\0\0\x10\0)", re.DOTALL)
_INDEX: Final = re.compile(rb"(?<!\0\0\0\0)(?=\0{4}[\0-\xff]{4})", re.DOTALL)
"""Not behind four zeros, with which no PRF ends but once in four billion: empty space is long."""

_SECRET: Final = re.compile(rb"(?=\x20\0\0\0\0\0)", re.DOTALL)
_HEX: Final = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")

_ROW_HEAD_BYTES: Final = 8
_BOX_BYTES: Final = 85
_RECORD_BYTES_MAX: Final = 17 << 10
_STORED_HEAD_BYTES: Final = 1 + 16 + 24
_SEALED_MIN: Final = 32 + 16


@dataclass(frozen=True, slots=True)
class Blob:
    """What could be a node of any kind: its epoch, and all that follows the nonce.

    `rest` is longer than the node; who tries to open it knows how long each kind is. `is_even` if
    it stands at a multiple of 16 bytes.
    """

    head: bytes
    rest: bytes
    is_even: bool

    @property
    def epoch(self) -> int:
        """Of the vault, when it was written."""
        return int.from_bytes(self.head[:8], "big")


@dataclass(frozen=True, slots=True)
class Box:
    """What could be a routing header, with the record behind it if one follows."""

    key_id: int
    box: bytes
    rest: bytes


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What could be a stored record: `index` is None where an overflow page does not say it.

    `stored` ends with the record if `is_cut`, else somewhere behind it.
    """

    index: int | None
    stored: bytes
    is_cut: bool


def looks_random(data: bytes) -> bool:
    """Whether these (24) bytes could be a nonce or a key."""
    return len(data) >= RANDOM_BYTES and len(set(data[:RANDOM_BYTES])) >= _DISTINCT_MIN


def root_keys(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Epoch and key of every root key file, or what is left of one that still checks."""
    for found in _ROOT.finditer(raw):
        body = raw[found.start() : found.start() + 48]
        check = raw[found.start() + 48 : found.start() + 80]
        if hashlib.sha256(body).digest() == check:
            yield int.from_bytes(body[8:16], "big"), body[16:]


def written_keys(raw: bytes) -> Iterator[bytes]:
    """Every 32 bytes that are written out in hexadecimal, as in a backup's key file."""
    for found in _HEX.finditer(raw):
        yield bytes.fromhex(found.group().decode("ascii"))


def open_keys(raw: bytes) -> Iterator[bytes]:
    """Every value of 32 random bytes in a row of LMDB: what a naive vault would hold."""
    for found in _SECRET.finditer(raw):
        at = found.start()
        key_bytes = int.from_bytes(raw[at + 6 : at + 8], "little")
        if not 1 <= key_bytes <= 511:
            continue
        start = at + _ROW_HEAD_BYTES + key_bytes
        if looks_random(value := raw[start : start + 32]) and len(value) == 32:
            yield value


def blobs(raw: bytes, *, blob_bytes_max: int) -> Iterator[Blob]:
    """Everything that could be a node of the vault."""
    for found in _NODE.finditer(raw):
        at = found.start()
        if looks_random(raw[at + 8 : at + 32]) and looks_random(raw[at + 32 : at + 56]):
            rest = raw[at + 32 : at + 32 + blob_bytes_max]
            yield Blob(raw[at : at + 32], rest, is_even=at % 16 == 0)


def boxes(raw: bytes) -> Iterator[Box]:
    """Everything that could be a routing header."""
    for found in _BOX.finditer(raw):
        at = found.start()
        box = raw[at : at + _BOX_BYTES]
        if len(box) == _BOX_BYTES and looks_random(box[5:29]) and looks_random(box[29:53]):
            rest = raw[at + _BOX_BYTES : at + _BOX_BYTES + _RECORD_BYTES_MAX]
            yield Box(int.from_bytes(box[1:5], "big"), box, rest)


def stored_rows(raw: bytes) -> Iterator[StoredRow]:
    """Everything that could be a row of the ledger's sealed records."""
    for found in _ROW.finditer(raw):
        at = found.start()
        head = raw[at : at + 4]
        length = int.from_bytes(head[:2], "little") | int.from_bytes(head[2:], "little") << 16
        index = int.from_bytes(raw[at + 8 : at + 16], "big")
        stored = raw[at + 16 : at + 16 + length]
        if _is_stored(stored) and len(stored) == length:
            yield StoredRow(index, stored, is_cut=True)
    for found in _LONG.finditer(raw):
        # Pages are aligned in files, and blocks of a disk are: the flags stand 10 bytes in.
        at = found.start() + 6
        if (at - 16) % 512 == 0 and _is_stored(raw[at : at + _RECORD_BYTES_MAX]):
            yield StoredRow(None, raw[at : at + _RECORD_BYTES_MAX], is_cut=False)


def rows_by_short_key(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every row of LMDB whose key has 16 bytes, as in the tables of subjects and requests."""
    for found in _SHORT_KEY.finditer(raw):
        at = found.start()
        length = int.from_bytes(raw[at : at + 2], "little")
        start = at + _ROW_HEAD_BYTES + 16
        key, value = raw[start - 16 : start], raw[start : start + length]
        if len(set(key)) >= _DISTINCT_SHORT_MIN and len(value) == length:
            yield key, value


def pointers(raw: bytes, *, below: int) -> Iterator[tuple[bytes, int]]:
    """Every 16 random bytes that an index below that number follows, however they are stored."""
    for found in _INDEX.finditer(raw):
        at = found.start()
        index = int.from_bytes(raw[at : at + 8], "big")
        if index < below and at >= 16:
            key = raw[at - 16 : at]
            if len(set(key)) >= _DISTINCT_SHORT_MIN:
                yield key, index


def _is_stored(stored: bytes) -> bool:
    nonce = stored[17:_STORED_HEAD_BYTES]
    is_long_enough = len(stored) >= _STORED_HEAD_BYTES + _SEALED_MIN
    return is_long_enough and looks_random(nonce) and looks_random(stored[_STORED_HEAD_BYTES:])
