"""The auditor: one look after the other, what is found told and kept.

A log that cannot be reached is not accused of anything: it is counted, told once, and tried again
with growing pauses. An alarm is told when it is first seen and stays open as long as it is seen.
What a look has proved is saved before older parts of the log are read again.
"""

import dataclasses
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from heptad.auditing.alarm_folder import AlarmFolder
from heptad.auditing.comparing import Compared, OtherAuditor
from heptad.auditing.errors import StateUnreadableError
from heptad.auditing.look import look
from heptad.auditing.recheck import ELSEWHERE, Chance, Rechecked, recheck
from heptad.auditing.state import AuditState, StateFolder
from heptad.auditing.terms import AuditTerms, Progress
from heptad.observability.logs import EventLog
from heptad.transparency.notes import Note
from heptad.verification.alarms import Raised
from heptad.verification.errors import SourceUnreadableError
from heptad.verification.notes import examine_note, faults_of, quorum_time_s
from heptad.verification.sources import TileSource

RETRY_S_MIN: Final = 1.0
RETRY_S_MAX: Final = 300.0
CHANCE: Final = Chance(secrets.randbelow, time.monotonic)


@dataclass(slots=True)
class AuditFigures:
    """What the metrics show, and no more; `alarms` counts by kind, each thing once."""

    verified_size: int = 0
    checkpoint_time_s: int = 0
    entries: int = 0
    rechecked: int = 0
    rounds: int = 0
    proved_since_s: int = 0
    alarms: Counter[str] = field(default_factory=Counter)
    alarms_open: int = 0
    source_errors: int = 0
    is_source_up: bool = False
    last_success_s: int = 0
    uncompared: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """An alarm, where its proof is (None: `lost` says why there is none), and whether it is new."""

    raised: Raised
    proof: Path | None
    is_new: bool
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """What one look gave. `away` says why the log could not be looked at, and is mostly empty.

    `rechecked` bundles were read again and are right; `unread` says why others were not read.
    `compared` has what came out for each other auditor. `unsaved` says why the state could not be
    written; then what is proved here is proved again after a restart.
    """

    state: AuditState
    told: Sequence[Told] = ()
    untold: int = 0
    entries: int = 0
    away: str = ""
    rechecked: int = 0
    unread: Sequence[str] = ()
    compared: Sequence[Compared] = ()
    unsaved: str = ""

    @property
    def is_clean(self) -> bool:
        """True if the log was looked at, nothing is wrong, and that is remembered."""
        return not (self.told or self.untold or self.away or self.unsaved)


def retry_s(*, errors: int, interval_s: float) -> float:
    """How long to wait after so many errors (≥ 1) in a row: twice as long each time."""
    longest_s = max(interval_s, RETRY_S_MAX)
    return min(RETRY_S_MIN * 2.0 ** min(errors - 1, 30), longest_s)


class Auditor:
    """Audits one log. For one thread at a time."""

    def __init__(
        self,
        *,
        source: TileSource,
        folder: StateFolder,
        terms: AuditTerms,
        log: EventLog,
        others: Sequence[OtherAuditor] = (),
        now_s: Callable[[], int] = lambda: int(time.time()),
        chance: Chance = CHANCE,
    ) -> None:
        """Take up where `folder` says. Raises: StateUnreadableError; OSError."""
        self._source = source
        self._folder = folder
        self._alarms = AlarmFolder(folder.folder)
        self._terms = terms
        self._log = log
        self._others = others
        self._now_s = now_s
        self._chance = chance
        self._errors = 0
        self._unsaved = ""
        self.figures = AuditFigures()
        self.state = folder.load()
        self._require_signed()
        self._show_state()

    def _require_signed(self) -> None:
        """What is remembered was good by this policy too, or it is no ground to stand on.

        Raises: StateUnreadableError.
        """
        if not self.state.note:
            return
        note = Note.parse(self.state.note.encode())
        faults = faults_of(note, self._terms.policy, now_s=self._now_s())
        if wrong := [detail for alarm, detail in faults if alarm.severity != "warning"]:
            raise StateUnreadableError(
                f"the auditor's state: its checkpoint does not satisfy this policy: {wrong[0]}"
            )

    @property
    def errors(self) -> int:
        """How often in a row the log could not be looked at."""
        return self._errors

    def look(self, progress: Progress = lambda done, total: None) -> Round:
        """Look once; tell and keep what is found; remember how far the log is proved.

        Proofs are written before the state: a crash between sees the same alarms again. A disk
        that takes neither is told, and keeps nobody from looking and from telling what is found.
        Raises: what `progress` raises.
        """
        now_s = self._now_s()
        try:
            result = look(
                self._source.read,
                state=self.state,
                terms=self._terms,
                now_s=now_s,
                progress=progress,
            )
        except SourceUnreadableError as error:
            self._away(str(error))
            return Round(self.state, away=str(error))
        if result.away:
            self._away(result.away)
        else:
            self._back()
        if result.repeated:
            self.figures.source_errors += result.repeated
            self._log.warning("reads_repeated", reads=result.repeated)
        is_first = not self.state.note
        told = [self._tell(each) for each in result.raised]
        compared = self._compared(result.state, now_s)
        told += [self._tell(each.raised) for each in compared if each.raised is not None]
        self._remember(result.state)
        again = Rechecked(self.state.walk)
        is_elsewhere = any(each.alarm in ELSEWHERE for each in result.raised)
        if not (is_first or is_elsewhere or result.away):
            again = self._rechecked(progress, now_s)
        told += [self._tell(each) for each in again.raised]
        self._remember(dataclasses.replace(self.state, walk=again.walk))
        untold = self._count(result.untold + again.untold)
        done = (result.entries, result.away, again.bundles, again.unread)
        finished = Round(self.state, told, untold, *done, compared, self._unsaved)
        self._show(finished, quorum_time_s=result.quorum_time_s, now_s=now_s)
        return finished

    def _remember(self, state: AuditState) -> None:
        """Save what there is to be saved, or was to be saved before."""
        is_further = state.note != self.state.note
        if is_further or state.walk != self.state.walk or self._unsaved:
            self._save(state)
        if is_further:
            self._log.info("log_verified", **_sizes(self.state, state))
        self.state = state

    def _save(self, state: AuditState) -> None:
        before, self._unsaved = self._unsaved, ""
        try:
            self._folder.save(state)
        except OSError as error:
            self._unsaved = f"the state could not be written: {error.strerror}"
            if not before:
                self._log.error("state_unsaved", reason=error.strerror or "")

    def _rechecked(self, progress: Progress, now_s: int) -> Rechecked:
        again = recheck(
            self._source.read,
            state=self.state,
            terms=self._terms,
            now_s=now_s,
            chance=self._chance,
            progress=progress,
        )
        self.figures.rechecked += again.bundles
        self.figures.source_errors += len(again.unread)
        for reason in again.unread:
            self._log.warning("recheck_unread", reason=reason)
        walk = again.walk
        if again.is_round:
            self.figures.rounds += 1
            self._log.info(
                "log_rechecked",
                bundles=walk.end,
                seconds=now_s - walk.began_s,
                is_proved=walk.proved_since_s == walk.began_s,
            )
        return again

    def _count(self, untold: Counter[str]) -> int:
        if total := untold.total():
            self._log.error("alarms_untold", alarms=total)
        self.figures.alarms.update(untold)
        return total

    def _compared(self, state: AuditState, now_s: int) -> list[Compared]:
        done = []
        for other in self._others:
            compared = other.compare(state, read=self._source.read, terms=self._terms, now_s=now_s)
            done.append(compared)
            if compared.is_news:
                tell = self._log.info if compared.is_made else self._log.warning
                tell("compared", other=other.name, found=compared.said)
        self.figures.uncompared = sum(not each.is_made for each in done)
        return done

    def _tell(self, raised: Raised) -> Told:
        kept = self._alarms.keep(raised)
        if kept.is_new:
            self.figures.alarms[str(raised.alarm)] += 1
            self._log.error(
                "alarm",
                kind=str(raised.alarm),
                severity=raised.alarm.severity,
                detail=raised.detail,
                proof=kept.lost if kept.path is None else kept.path.name,
            )
        return Told(raised, kept.path, kept.is_new, kept.lost)

    def _away(self, reason: str) -> None:
        self._errors += 1
        self.figures.source_errors += 1
        self.figures.is_source_up = False
        if self._errors == 1:
            self._log.warning("source_away", reason=reason)

    def _back(self) -> None:
        if self._errors:
            self._log.info("source_back", errors=self._errors)
        self._errors = 0
        self.figures.is_source_up = True

    def _show(self, finished: Round, *, quorum_time_s: int, now_s: int) -> None:
        self.figures.alarms_open = len(finished.told) + finished.untold
        self.figures.entries += finished.entries
        self.figures.checkpoint_time_s = quorum_time_s or self.figures.checkpoint_time_s
        if finished.is_clean:
            self.figures.last_success_s = now_s
        self._show_state()

    def _show_state(self) -> None:
        head = self.state.checkpoint
        self.figures.proved_since_s = self.state.walk.proved_since_s
        self.figures.verified_size = 0 if head is None else head.size
        if head is not None and not self.figures.checkpoint_time_s:
            policy, now_s = self._terms.policy, self._now_s()
            examined = examine_note(self.state.note.encode(), policy=policy, now_s=now_s)
            self.figures.checkpoint_time_s = quorum_time_s(examined, policy)
            self.figures.last_success_s = self.state.verified_at_s


def _sizes(before: AuditState, after: AuditState) -> dict[str, int]:
    old, new = before.checkpoint, after.checkpoint
    assert new is not None
    return {"size": new.size, "entries": new.size - (0 if old is None else old.size)}
