"""Comparing with another auditor: a log that shows two people two histories is caught only so.

The other one hands over a checkpoint (its state file, or a copy of the log) and is not believed:
what it holds counts if the policy's quorum has signed it. Then the greater log must continue the
smaller, and the tiles of either source prove it or prove the fork.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.auditing.diagnosis import relate
from heptad.auditing.errors import StateUnreadableError
from heptad.auditing.state import STATE_BYTES_MAX, STATE_FILE, AuditState, note_of_file
from heptad.auditing.terms import AuditTerms
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import Note
from heptad.transparency.tiles import CHECKPOINT_PATH
from heptad.verification.alarms import Alarm, Raised, TwoNotes
from heptad.verification.errors import SourceUnreadableError
from heptad.verification.logs import ReadPath
from heptad.verification.notes import examine_note, faults_of
from heptad.verification.sources import TileSource, open_source

CONSISTENT: Final = "consistent"


@dataclass(frozen=True, slots=True)
class Compared:
    """What came out: in words, whether it is the same as the last time, and an alarm or none.

    `is_made` is False where there was nothing to compare with: then a fork would not be seen.
    """

    name: str
    said: str
    is_made: bool
    is_news: bool
    raised: Raised | None = None


class OtherAuditor:
    """Another auditor's state file or folder, a note in a file, or another copy of the log."""

    def __init__(self, where: str) -> None:
        """`where` is a file, a folder, or an http(s) address. Raises: SourceUnreadableError."""
        self.name = where
        self._source: TileSource | None = None
        self._file = Path(where)
        self._said = ""
        if "://" in where:
            self._source = open_source(where)
        elif (self._file / STATE_FILE).is_file():
            self._file /= STATE_FILE
        elif self._file.is_dir():
            self._source = open_source(where)

    def compare(
        self, state: AuditState, *, read: ReadPath, terms: AuditTerms, now_s: int
    ) -> Compared:
        """Hold the other's checkpoint against ours; `read` reads the log that we audit."""
        raised = None
        try:
            said, raised = self._compare(state, read=read, terms=terms, now_s=now_s)
        except (StateUnreadableError, SourceUnreadableError, FormatError) as error:
            said = f"cannot be compared: {error}"
        except OSError as error:
            said = f"cannot be compared: {error.strerror}"
        is_made = raised is not None or said == CONSISTENT
        is_news, self._said = said != self._said, said
        return Compared(self.name, said, is_made, is_news, raised)

    def _compare(
        self, state: AuditState, *, read: ReadPath, terms: AuditTerms, now_s: int
    ) -> tuple[str, Raised | None]:
        mine, theirs = state.checkpoint, self._note()
        if mine is None:
            return "nothing of our own to compare yet", None
        faults = faults_of(Note.parse(theirs), terms.policy, now_s=now_s)
        if wrong := [said for alarm, said in faults if alarm.severity != "warning"]:
            return f"cannot be compared: {wrong[0]}", None
        other = examine_note(theirs, policy=terms.policy, now_s=now_s).checkpoint
        if other.origin != mine.origin:
            return f"cannot be compared: it is of {other.origin}", None
        pair = [(mine, state.note), (other, theirs.decode())]
        (smaller, first), (larger, second) = sorted(pair, key=lambda each: each[0].size)
        reads = [read] if self._source is None else [read, self._source.read]
        for each in reads:
            relation = relate(smaller, larger, each)
            if relation is None:
                continue
            if not relation.is_fork:
                return CONSISTENT, None
            shown = TwoNotes(first, second, relation.root_before, relation.hashes)
            detail = f"{self.name} has seen another history: {smaller.size} and {larger.size}"
            return "fork", Raised(Alarm.FORK, detail, now_s, terms.source, shown)
        return f"no tiles to compare {smaller.size} and {larger.size} entries by, yet", None

    def _note(self) -> bytes:
        """Raises: StateUnreadableError; SourceUnreadableError; OSError."""
        if self._source is not None:
            note = self._source.read(CHECKPOINT_PATH)
            if note is None:
                raise SourceUnreadableError("it serves no checkpoint")
            return note
        with self._file.open("rb") as file:
            return note_of_file(file.read(STATE_BYTES_MAX + 1))
