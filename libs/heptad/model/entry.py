"""An entry of the log: the public half of a record, as everybody sees it for ever.

Only the meaning stands here. The bytes are made once, by the validator that admits the record, and
travel as bytes from then on (`heptad.wire.convert.entry` reads and writes them): they are the leaf,
so whoever holds an `Entry` value must keep the bytes that it came from, and never make them anew.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

ENTRY_VERSION: Final = 1


class Kind(IntEnum):
    """What an entry records; the numbers are those of `heptad.entry.v1.Kind`."""

    REQUEST = 1
    DUPLICATE = 2
    BUNDLE = 3
    SUBJECT_REGISTERED = 4
    KEY_ADDED = 5
    KEY_REVOKED = 6
    ACCESS = 7
    ERASURE_ORDERED = 8
    ERASED = 9
    ERASURE_REFUSED = 10
    EXPORT = 11
    POLICY_CHANGE = 12
    MEMBERSHIP_CHANGE = 13
    MISBEHAVIOUR_EVIDENCE = 14
    RECOVERY = 15
    EVENT = 16


class Outcome(IntEnum):
    """How a request was answered; NONE where an entry answers no request."""

    NONE = 0
    ALLOWED = 1
    DENIED = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One leaf of the log, read.

    `time_ms` is Unix time in ms by the validator's clock at admission, `validator` its number from
    1. (Evidence is admitted by nobody: its block's time, and 0; see `heptad.model.control_entry`.
    An event's time is when it happened, as its service has signed it: `heptad.model.bundles`.)
    `commitment` is 32 bytes, or empty where there is no private half. `statement` is public
    bytes whose form depends on `kind`, mostly empty.
    """

    kind: Kind
    service: str
    action: str
    outcome: Outcome
    time_ms: int
    validator: int
    commitment: bytes
    statement: bytes = b""
