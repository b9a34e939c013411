"""What can be wrong with a log, each with the proof that anybody can check without the log.

Why a closed list: operators hang alerts on the names and lawyers ask what one means, so a name is
never changed, only retired. And why two halves: what was *signed* convicts whoever signed it, and
needs nobody's word. What was only *served* (a tile, a bundle, a file that is not there, an old
checkpoint) nobody signs: the proof shows that it cannot be what the signed root stands for, while
who served it, and when, is the word of the auditor. `Alarm.is_signed` tells which is which.

Judged in `alarm_judging`, read and written in `alarm_file`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias


class Alarm(StrEnum):
    """The kinds of alarms; the values are stable."""

    FORK = "fork"
    ROLLBACK = "rollback"
    FREEZE = "freeze"
    OTHER_LOG = "other_log"
    CHECKPOINT_MISSING = "checkpoint_missing"
    CHECKPOINT_MALFORMED = "checkpoint_malformed"
    LOG_SIGNATURE_BAD = "log_signature_bad"
    COSIGNATURE_BAD = "cosignature_bad"
    COSIGNATURE_TIME = "cosignature_time"
    COSIGNATURE_BACKWARDS = "cosignature_backwards"
    SIGNATURE_REPEATED = "signature_repeated"
    QUORUM_MISSING = "quorum_missing"
    TILE_MISSING = "tile_missing"
    TILE_ALTERED = "tile_altered"
    BUNDLE_MISSING = "bundle_missing"
    BUNDLE_ALTERED = "bundle_altered"
    ROOT_MISMATCH = "root_mismatch"
    ENTRY_MALFORMED = "entry_malformed"
    ENTRY_INVALID = "entry_invalid"
    EVENTS_UNSIGNED = "events_unsigned"
    MISBEHAVIOUR = "misbehaviour"
    EVIDENCE_REFUTED = "evidence_refuted"

    @property
    def severity(self) -> str:
        """`critical`: a promise of the whole system is broken. `error`: somebody's part is wrong.

        `warning`: look at it.
        """
        return _SEVERITIES.get(self, "error")

    @property
    def is_signed(self) -> bool:
        """True if the proof needs nobody's word: its signatures alone show what was done."""
        return self in _SIGNED


_SEVERITIES: Final[Mapping[Alarm, str]] = MappingProxyType(
    {
        Alarm.FORK: "critical",
        Alarm.EVIDENCE_REFUTED: "critical",
        Alarm.MISBEHAVIOUR: "critical",
        Alarm.COSIGNATURE_BACKWARDS: "warning",
        Alarm.SIGNATURE_REPEATED: "warning",
    }
)
_SIGNED: Final = frozenset(
    {
        Alarm.FORK,
        Alarm.COSIGNATURE_BACKWARDS,
        Alarm.ENTRY_MALFORMED,
        Alarm.ENTRY_INVALID,
        Alarm.EVENTS_UNSIGNED,
        Alarm.MISBEHAVIOUR,
        Alarm.EVIDENCE_REFUTED,
    }
)


@dataclass(frozen=True, slots=True)
class OneNote:
    """A checkpoint, verbatim, that is wrong by itself; `limit_s` is for a freeze, else 0."""

    note: str
    limit_s: int = 0


@dataclass(frozen=True, slots=True)
class TwoNotes:
    """Two checkpoints, verbatim; `first` is the smaller, or of one size the one known longer.

    For a fork between two sizes, `root_before` (32 bytes) is the root that the greater tree had at
    the smaller's size, and `hashes` the consistency proof between; both empty for all else.
    """

    first: str
    second: str
    root_before: bytes = b""
    hashes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class WrongNode:
    """Something served for a node of the tree hashes to something else than the signed root says.

    The node is the `index`-th over 2^`height` entries, `expected` its hash, `path` the hashes from
    it to the root of `note`. `served` is an entry's bytes where a bundle was wrong, and 32 bytes
    where a tile was; or all of the file, where the node is the one over all of it.
    """

    note: str
    path_served: str
    height: int
    index: int
    expected: bytes
    path: tuple[bytes, ...]
    served: bytes


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file that no log can serve at this path, whatever its entries; `note` may be empty."""

    note: str
    path_served: str
    content: bytes


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file that a log of this checkpoint's size must serve, and did not."""

    note: str
    path_served: str


@dataclass(frozen=True, slots=True)
class WrongRoot:
    """Entries that lead from one signed root not to the next, where nothing says which is wrong.

    `edge` is the right edge under `before` (`CompactRange.encode`), `leaves` the leaf hashes after
    it as served: empty where they are too many to be kept, and then `after` (an edge) stands alone.
    """

    before: str
    edge: bytes
    leaves: tuple[bytes, ...]
    after: bytes
    note: str


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry of the log with its place in it: the text of a `ReceiptFile`.

    `before` is the same of an earlier entry that this one contradicts; mostly empty.
    """

    receipt: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class LoggedRange:
    """Entries of the log that stand next to each other: the text of a `BundleFile`.

    They are a bundle's own entry and what stands behind it, or an event, the last of them, and what
    stands in front of it.
    """

    entries: str


Shown: TypeAlias = (
    OneNote
    | TwoNotes
    | WrongNode
    | BrokenFile
    | MissingFile
    | WrongRoot
    | LoggedEntry
    | LoggedRange
)

FORMS: Final[Mapping[Alarm, tuple[type[Shown], ...]]] = MappingProxyType(
    {
        Alarm.FORK: (TwoNotes,),
        Alarm.ROLLBACK: (TwoNotes,),
        Alarm.FREEZE: (OneNote,),
        Alarm.OTHER_LOG: (TwoNotes,),
        Alarm.CHECKPOINT_MISSING: (MissingFile,),
        Alarm.CHECKPOINT_MALFORMED: (BrokenFile,),
        Alarm.LOG_SIGNATURE_BAD: (OneNote,),
        Alarm.COSIGNATURE_BAD: (OneNote,),
        Alarm.COSIGNATURE_TIME: (OneNote,),
        Alarm.COSIGNATURE_BACKWARDS: (TwoNotes,),
        Alarm.SIGNATURE_REPEATED: (OneNote,),
        Alarm.QUORUM_MISSING: (OneNote,),
        Alarm.TILE_MISSING: (MissingFile,),
        Alarm.TILE_ALTERED: (WrongNode, BrokenFile),
        Alarm.BUNDLE_MISSING: (MissingFile,),
        Alarm.BUNDLE_ALTERED: (WrongNode, BrokenFile),
        Alarm.ROOT_MISMATCH: (WrongRoot,),
        Alarm.ENTRY_MALFORMED: (LoggedEntry,),
        Alarm.ENTRY_INVALID: (LoggedEntry,),
        Alarm.EVENTS_UNSIGNED: (LoggedRange,),
        Alarm.MISBEHAVIOUR: (LoggedEntry,),
        Alarm.EVIDENCE_REFUTED: (LoggedEntry,),
    }
)
"""What an alarm of each kind shows."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm that was raised: what, in words, when (seconds since 1970), and what shows it."""

    alarm: Alarm
    detail: str
    seen_at_s: int
    source: str
    shown: Shown

    def __post_init__(self) -> None:
        """Hold the form to the kind."""
        assert isinstance(self.shown, FORMS[self.alarm]), (self.alarm, type(self.shown))
