"""What is wrong with a checkpoint by itself, each fault under the name of its alarm.

`heptad.transparency.checkpoint` finds what holds and what does not; here a finding gets the name
that operators know, and two rules are added that only somebody who watches a log cares about: one
signature for each key, and how old a checkpoint is.
"""

from collections.abc import Sequence
from typing import Final

from heptad.crypto.signatures import verify
from heptad.transparency.checkpoint import (
    ExaminedCheckpoint,
    TimeWindow,
    examine_checkpoint,
    verify_signature,
)
from heptad.transparency.errors import CheckpointRejectedError
from heptad.transparency.notes import Note, NoteSignature
from heptad.transparency.policy import Policy
from heptad.verification.alarms import Alarm
from heptad.verification.receipts import CLOCK_BOUND_S

_AFTER_LINES: Final = (Alarm.LOG_SIGNATURE_BAD, Alarm.QUORUM_MISSING)


def examine_note(note: bytes, *, policy: Policy, now_s: int) -> ExaminedCheckpoint:
    """Check every signature of a note that was seen now. Raises: FormatError."""
    window = TimeWindow.until(now_s, bound_s=CLOCK_BOUND_S)
    return examine_checkpoint(note, policy=policy, verify=verify, window=window)


def faults_of(note: Note, policy: Policy, *, now_s: int) -> Sequence[tuple[Alarm, str]]:
    """Every fault of a note that was seen at `now_s`, with its numbers; none if it is good.

    Raises: FormatError, if it is no checkpoint at all.
    """
    examined = examine_note(note.encode(), policy=policy, now_s=now_s)
    faults: list[tuple[Alarm, str]] = []
    # The examination has a finding for each line, in their order, and two more: log and quorum.
    of_lines = zip(note.signatures, examined.findings, strict=False)
    faults += [
        (_alarm_of(note.text, line, policy), f"{finding.subject}: {finding.detail}")
        for line, finding in of_lines
        if not finding.holds
    ]
    for alarm, finding in zip(_AFTER_LINES, examined.findings[-2:], strict=True):
        if not finding.holds:
            faults.append((alarm, f"{finding.subject}: {finding.detail}"))
    return [*faults, *_repeated(note, policy)]


def _alarm_of(text: bytes, line: NoteSignature, policy: Policy) -> Alarm:
    """What it is called if this line does not hold: of a cosignature maybe only the time is wrong.

    Which is only half as bad: whoever made it is known.
    """
    for witness in policy.witnesses:
        if line.is_by(witness.key):
            try:
                verify_signature(text, line, key=witness.key, verify=verify)
            except CheckpointRejectedError:
                return Alarm.COSIGNATURE_BAD
            return Alarm.COSIGNATURE_TIME
    return Alarm.LOG_SIGNATURE_BAD


def _repeated(note: Note, policy: Policy) -> Sequence[tuple[Alarm, str]]:
    """Keys of the policy under more than one line: allowed by the format, and never published."""
    keys = [log.key for log in policy.logs] + [witness.key for witness in policy.witnesses]
    counts = [(key.name, sum(line.is_by(key) for line in note.signatures)) for key in keys]
    return [
        (Alarm.SIGNATURE_REPEATED, f"{count} signatures by {name}")
        for name, count in counts
        if count > 1
    ]


def quorum_time_s(examined: ExaminedCheckpoint, policy: Policy) -> int:
    """The latest time, in seconds since 1970, at or after which a quorum has cosigned; 0 for none.

    So one witness with a fast clock does not make a note look fresh. A policy without witnesses has
    no time to go by.
    """
    newest: list[str] = []
    for name, time_s in sorted(examined.cosigned_at_s.items(), key=lambda item: -item[1]):
        newest.append(name)
        if policy.has_quorum(newest):
            return time_s
    return 0
