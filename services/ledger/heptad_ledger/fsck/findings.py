"""What a check of a ledger's files can find, each by a name of its own.

A finding says which file, which part of it and which row or entry; never what is in a record.
`is_derived` tells that the truth is elsewhere in the same files, so that `--repair` can make the
row or file again. Everything else is never touched: it comes back from a backup, or from replicas.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FINDINGS_MAX: Final = 1_000
"""Findings that are told one by one; more are counted."""


class Code(StrEnum):
    """The names of findings; `docs/operations/fsck.md` says what to do about each."""

    FILE_MISSING = "file_missing"
    PAGE_DAMAGED = "page_damaged"
    TABLE_DAMAGED = "table_damaged"
    STATE_DAMAGED = "state_damaged"
    ENTRIES_MISSING = "entries_missing"
    ENTRY_ALTERED = "entry_altered"
    ENTRY_UNREADABLE = "entry_unreadable"
    ROOT_CONTRADICTED = "root_contradicted"
    TILE_WRONG = "tile_wrong"
    CHECKPOINT_INVALID = "checkpoint_invalid"
    CHECKPOINT_CONTRADICTED = "checkpoint_contradicted"
    TIME_INDEX_WRONG = "time_index_wrong"
    SERVICE_INDEX_WRONG = "service_index_wrong"
    TOTALS_WRONG = "totals_wrong"
    VAULT_DAMAGED = "vault_damaged"
    RECORD_ALTERED = "record_altered"
    RECORD_MISSING = "record_missing"
    RECORD_UNKNOWN = "record_unknown"
    SUBJECT_INDEX_WRONG = "subject_index_wrong"
    REQUEST_INDEX_WRONG = "request_index_wrong"
    REGISTRY_WRONG = "registry_wrong"
    DUPLICATE_WRONG = "duplicate_wrong"
    ERASURE_WRONG = "erasure_wrong"
    STATIC_FILE_WRONG = "static_file_wrong"
    STATIC_FOLDER_AHEAD = "static_folder_ahead"
    ROLLED_BACK = "rolled_back"


DERIVED: Final = frozenset(
    {
        Code.TILE_WRONG,
        Code.SERVICE_INDEX_WRONG,
        Code.TOTALS_WRONG,
        Code.STATIC_FILE_WRONG,
    }
)
"""What can be made again from what else is in the files."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `where` names file, table and row."""

    code: Code
    where: str
    detail: str

    @property
    def is_derived(self) -> bool:
        """Whether it can be made again from the rest."""
        return self.code in DERIVED


Report = Callable[[Finding], None]
"""Takes each finding as it is made."""

Progress = Callable[[str, int, int], None]
"""Takes the stage's name, how much of it is done, and how much there is."""


class Findings:
    """Gathers findings up to a bound, and counts all of them."""

    def __init__(self, tell: Report) -> None:
        self._tell = tell
        self.counts: dict[Code, int] = {}

    def add(self, code: Code, where: str, detail: str) -> None:
        """Something is wrong."""
        self.counts[code] = self.counts.get(code, 0) + 1
        if self.total <= FINDINGS_MAX:
            self._tell(Finding(code, where, detail))

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts.values())
