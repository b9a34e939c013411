"""The entry that a control entry of a block becomes in the log, byte for byte the same everywhere.

All other entries are serialised once, by the validator that admits the record. A control entry is
not admitted by anybody: every replica and every ledger makes its leaf from the block alone, so its
bytes must follow from the block alone. Consensus knows no protobuf, and protobuf promises no
canonical form; so the few fields are written here by hand, in the order of their numbers and
without defaults. That is what protobuf's own serialiser writes, too, and a test holds them
together: to every reader it is an ordinary `heptad.entry.v1.Entry`.

    version = 1 ‖ kind ‖ time_ms (the block's) ‖ statement
"""

from typing import Final

from heptad.model.entry import ENTRY_VERSION, Kind

_VARINT: Final = 0
_BYTES: Final = 2
_VERSION_FIELD: Final = 1
_KIND_FIELD: Final = 2
_TIME_FIELD: Final = 6
_STATEMENT_FIELD: Final = 9


def control_entry(kind: Kind, *, time_ms: int, statement: bytes) -> bytes:
    """The entry's bytes; `time_ms` is Unix time in ms. Nobody has admitted it: no validator."""
    parts = _number(_VERSION_FIELD, ENTRY_VERSION) + _number(_KIND_FIELD, kind)
    if time_ms:
        parts += _number(_TIME_FIELD, time_ms)
    if statement:
        parts += _varint(_STATEMENT_FIELD << 3 | _BYTES) + _varint(len(statement)) + statement
    return parts


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the low ones first. Source: protobuf.dev/programming-guides/encoding."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
