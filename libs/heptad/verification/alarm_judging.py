"""Is an alarm true? Every step of it, off line, from its file and the policy.

The rules are those that the auditor raises alarms by, asked the other way round: a finding holds if
it is as wrong as the alarm says. What nobody has signed, and when it was seen, is the auditor's
word, and the last step says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heptad.consensus.committee import Cell
from heptad.model.canonical import MalformedError
from heptad.transparency.checkpoint import Checkpoint, ExaminedCheckpoint, Finding
from heptad.transparency.errors import FormatError, ProofInvalidError
from heptad.transparency.merkle import (
    HASH_BYTES,
    CompactRange,
    leaf_hash,
    leaf_hashes,
    split_hashes,
    verify_consistency,
    verify_inclusion,
)
from heptad.transparency.notes import Note
from heptad.transparency.policy import Policy
from heptad.transparency.tiled_tree import TILE_BYTES, TILE_HEIGHT, TILE_WIDTH
from heptad.transparency.tiles import CHECKPOINT_PATH, TilePath, decode_entries, width_at
from heptad.verification.alarm_file import FILE_BYTES_MAX
from heptad.verification.alarms import (
    Alarm,
    BrokenFile,
    LoggedEntry,
    LoggedRange,
    MissingFile,
    OneNote,
    Raised,
    TwoNotes,
    WrongNode,
    WrongRoot,
)
from heptad.verification.bundle_file import BundleFile
from heptad.verification.bundles import Keys, examine_range
from heptad.verification.entry_rules import entry_fault, pair_fault
from heptad.verification.errors import ReceiptUnreadableError
from heptad.verification.event_rules import unsigned_fault
from heptad.verification.evidence import examine_evidence
from heptad.verification.notes import examine_note, faults_of, quorum_time_s
from heptad.verification.receipt_file import ReceiptFile
from heptad.verification.receipts import CLOCK_BOUND_S, examine_receipt_file
from heptad.wire.convert.entry import decode_entry

_HEIGHT_MAX: Final = 64
_WORD: Final = "that this was served, and when, is the auditor's word: nobody signs it"


class _NotProvenError(Exception):
    """A step of the proof does not hold; caught here."""


@dataclass(frozen=True, slots=True)
class AlarmReport:
    """What was found. The alarm is true if all of it holds."""

    raised: Raised
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether every step holds: then, and only then, the alarm is proved."""
        return all(finding.holds for finding in self.findings)


def examine_alarm(
    raised: Raised,
    *,
    policy: Policy,
    now_s: int,
    cell: Cell | None = None,
    keys: Keys | None = None,
) -> AlarmReport:
    """Do all the steps and say what came out; never refuses.

    `now_s` is the verifier's clock. `cell` holds the public keys that evidence is judged by, `keys`
    those of services.
    """
    judge = _Judge(raised, policy, now_s, cell, keys)
    findings: list[Finding] = []
    try:
        findings += judge.steps()
    except _NotProvenError as error:
        subject, detail = error.args
        findings += [*judge.done, Finding(subject, holds=False, detail=detail)]
    else:
        if not raised.alarm.is_signed:
            findings.append(Finding("word", holds=True, detail=_WORD))
    return AlarmReport(raised, tuple(findings))


class _Judge:
    """One examination. Steps that held are in `done` while it goes on."""

    def __init__(
        self,
        raised: Raised,
        policy: Policy,
        now_s: int,
        cell: Cell | None,
        keys: Keys | None,
    ) -> None:
        self._raised = raised
        self._policy = policy
        self._now_s = now_s
        self._cell = cell
        self._keys = keys
        self.done: list[Finding] = []

    def steps(self) -> Sequence[Finding]:
        """All steps. Raises: _NotProvenError at the first that does not hold."""
        match self._raised.shown:
            case OneNote() as shown:
                self._one_note(shown)
            case TwoNotes() as shown:
                self._two_notes(shown)
            case WrongNode() as shown:
                self._wrong_node(shown)
            case BrokenFile() as shown:
                self._broken_file(shown)
            case MissingFile() as shown:
                self._missing_file(shown)
            case WrongRoot() as shown:
                self._wrong_root(shown)
            case LoggedEntry() as shown:
                self._logged_entry(shown)
            case LoggedRange() as shown:
                self._logged_range(shown)
        return self.done

    def _hold(self, subject: str, condition: bool, detail: str, otherwise: str = "") -> None:
        if not condition:
            raise _NotProvenError(subject, otherwise or f"not so: {detail}")
        self.done.append(Finding(subject, holds=True, detail=detail))

    def _good(self, which: str, note: str) -> ExaminedCheckpoint:
        """A note that satisfies the policy, as a step."""
        try:
            examined = examine_note(note.encode(), policy=self._policy, now_s=self._now_s)
        except (FormatError, UnicodeEncodeError) as error:
            raise _NotProvenError(which, f"no checkpoint: {error}") from None
        for finding in examined.findings:
            if not finding.holds:
                raise _NotProvenError(which, f"{finding.subject}: {finding.detail}")
        head = examined.checkpoint
        detail = f"{head.origin}, {head.size} entries, root {head.root.hex()}: signed as the "
        self._hold(which, True, f"{detail}policy asks, by {', '.join(examined.cosigned_at_s)}")
        return examined

    def _one_note(self, shown: OneNote) -> None:
        alarm, seen_at_s = self._raised.alarm, self._raised.seen_at_s
        if alarm is Alarm.FREEZE:
            examined = self._good("checkpoint", shown.note)
            age_s = seen_at_s - quorum_time_s(examined, self._policy)
            detail = f"a quorum was there {age_s} s before it was seen; {shown.limit_s} s may be"
            self._hold("age", age_s > shown.limit_s > 0, detail)
            return
        try:
            note = Note.parse(shown.note.encode())
            faults = faults_of(note, self._policy, now_s=seen_at_s)
        except (FormatError, UnicodeEncodeError) as error:
            raise _NotProvenError("checkpoint", f"no checkpoint: {error}") from None
        found = [detail for kind, detail in faults if kind is alarm]
        nothing = f"the checkpoint has no such fault: {alarm}"
        self._hold(str(alarm), bool(found), "; ".join(found), nothing)

    def _two_notes(self, shown: TwoNotes) -> None:
        first, second = self._good("first", shown.first), self._good("second", shown.second)
        one, other = first.checkpoint, second.checkpoint
        if self._raised.alarm is Alarm.OTHER_LOG:
            detail = f"{one.origin} and {other.origin}"
            self._hold("origin", one.origin != other.origin, detail)
            return
        same = f"both are of {one.origin}"
        self._hold("origin", one.origin == other.origin, same, "checkpoints of two logs")
        match self._raised.alarm:
            case Alarm.FORK:
                self._fork(one, other, shown)
            case Alarm.ROLLBACK:
                detail = f"{one.size} entries after {other.size} had been seen"
                self._hold("rollback", one.size < other.size, detail)
            case _:
                backwards = backwards_of(first, second)
                detail = "; ".join(backwards)
                self._hold("times", bool(backwards), detail, "no cosigner's times go back")

    def _fork(self, one: Checkpoint, other: Checkpoint, shown: TwoNotes) -> None:
        if one.size == other.size:
            detail = f"two roots of one size {one.size}"
            self._hold("fork", one.root != other.root, detail, "one root twice")
            return
        before = shown.root_before
        detail = f"the greater log had root {before.hex()} at size {one.size}"
        try:
            verify_consistency(
                old_size=one.size,
                new_size=other.size,
                old_root=before,
                new_root=other.root,
                proof=shown.hashes,
            )
        except ProofInvalidError as error:
            raise _NotProvenError("consistency", str(error)) from None
        self._hold("consistency", True, detail)
        detail = f"and the smaller has another, {one.root.hex()}"
        self._hold("fork", before != one.root, detail, "the greater continues the smaller")

    def _wrong_node(self, shown: WrongNode) -> None:
        if not 0 <= shown.height < _HEIGHT_MAX:
            raise _NotProvenError("place", f"no tree has a height of {str(shown.height)[:20]}")
        head = self._good("checkpoint", shown.note).checkpoint
        try:
            verify_inclusion(
                leaf_index=shown.index,
                tree_size=((head.size - 1) >> shown.height) + 1,
                leaf_hash=shown.expected,
                proof=shown.path,
                root_hash=head.root,
            )
        except ProofInvalidError as error:
            raise _NotProvenError("place", str(error)) from None
        what = f"entry {shown.index}"
        if shown.height:
            what = f"node {shown.index} over {1 << shown.height} entries"
        self._hold("place", True, f"{what} has the hash {shown.expected.hex()} under that root")
        if (shown.index + 1) << shown.height > head.size:
            raise _NotProvenError("place", f"{what} is not whole among {head.size} entries")
        is_bundle = self._raised.alarm is Alarm.BUNDLE_ALTERED
        place = self._existing(shown.path_served, head)
        height = (place.level or 0) * TILE_HEIGHT
        is_file = (shown.height, shown.index) == (height + TILE_HEIGHT, place.index)
        is_within = (shown.height, shown.index // TILE_WIDTH) == (height, place.index)
        is_there = (place.level is None) == is_bundle and (is_file or is_within)
        self._hold("path", is_there, f"it belongs in {shown.path_served}")
        if is_file:
            hashed = _file_hash(shown.served, place)
        else:
            hashed = leaf_hash(shown.served) if is_bundle else shown.served
        detail = f"and what was served for it has {hashed.hex()}"
        self._hold("served", hashed != shown.expected, detail, "what was served is right")

    def _broken_file(self, shown: BrokenFile) -> None:
        if shown.path_served == CHECKPOINT_PATH:
            try:
                Checkpoint.parse(Note.parse(shown.content).text)
            except FormatError as error:
                self._hold("checkpoint", True, f"{len(shown.content)} bytes: {error}")
                return
            raise _NotProvenError("checkpoint", "it can be read")
        head = self._good("checkpoint", shown.note).checkpoint
        path = self._existing(shown.path_served, head)
        if path.level is not None:
            right = path.width * HASH_BYTES
            detail = f"{len(shown.content)} bytes at {shown.path_served}, which has {right}"
            self._hold("length", len(shown.content) != right, detail)
            return
        fault = bundle_fault(shown.content, width=path.width)
        self._hold("bundle", bool(fault), f"{shown.path_served}: {fault}", "the bundle is whole")

    def _missing_file(self, shown: MissingFile) -> None:
        head = self._good("checkpoint", shown.note).checkpoint
        if shown.path_served != CHECKPOINT_PATH:
            self._existing(shown.path_served, head, may_be_wider=False)
            detail = f"a log of {head.size} entries serves {shown.path_served}"
            self._hold("path", True, detail)

    def _existing(self, text: str, head: Checkpoint, *, may_be_wider: bool = True) -> TilePath:
        """The path, if a log of this size serves it; it may have grown since, and serve it wider.

        Raises: _NotProvenError.
        """
        try:
            path = TilePath.parse(text)
        except FormatError as error:
            raise _NotProvenError("path", str(error)) from None
        width = width_at(tree_size=head.size, level=path.level, index=path.index)
        if not width or (path.width > width and not may_be_wider):
            raise _NotProvenError("path", f"a log of {head.size} entries has no {text}")
        return path

    def _wrong_root(self, shown: WrongRoot) -> None:
        try:
            edge, after = CompactRange.decode(shown.edge), CompactRange.decode(shown.after)
        except FormatError as error:
            raise _NotProvenError("edge", str(error)) from None
        if shown.before:
            head = self._good("before", shown.before).checkpoint
            is_its = (edge.size, edge.root()) == (head.size, head.root)
            self._hold("edge", is_its, f"the edge of that tree of {head.size} entries")
        else:
            self._hold("edge", edge.size == 0, "the empty log")
        head = self._good("checkpoint", shown.note).checkpoint
        if shown.leaves:
            if any(len(leaf) != HASH_BYTES for leaf in shown.leaves):
                raise _NotProvenError("leaves", "a leaf's hash has 32 bytes")
            grown = edge.extended(shown.leaves)
            self._hold("leaves", grown == after, f"and {len(shown.leaves)} entries as served")
        else:
            many = after.size - edge.size
            self._hold("leaves", many >= 0, f"{many} entries, not in this file: the auditor's word")
        detail = f"lead to {after.root().hex()} at size {after.size}"
        differs = after.size == head.size and after.root() != head.root
        self._hold("root", differs, detail, f"{detail}: so says the checkpoint, too")

    def _logged_entry(self, shown: LoggedEntry) -> None:
        file = self._receipt("entry", shown.receipt)
        if self._raised.alarm is Alarm.ENTRY_MALFORMED:
            try:
                decode_entry(file.entry)
            except MalformedError as error:
                self._hold("malformed", True, str(error))
                return
            raise _NotProvenError("malformed", "the entry can be read")
        try:
            entry = decode_entry(file.entry)
            if self._raised.alarm is not Alarm.ENTRY_INVALID:
                self._evidence(file)
                return
            fault = entry_fault(entry, data=file.entry, index=file.receipt.leaf_index)
            if shown.before and not fault:
                before = self._receipt("before", shown.before)
                if before.receipt.leaf_index < file.receipt.leaf_index:
                    fault = pair_fault(decode_entry(before.entry), entry)
        except MalformedError as error:
            raise _NotProvenError("entry", str(error)) from None
        self._hold("invalid", bool(fault), fault, "the entry breaks no rule")

    def _logged_range(self, shown: LoggedRange) -> None:
        try:
            file = BundleFile.parse(shown.entries.encode(), bytes_max=FILE_BYTES_MAX)
        except (ReceiptUnreadableError, UnicodeEncodeError) as error:
            raise _NotProvenError("entries", f"no range of entries: {error}") from None
        head = self._in_log("first", ReceiptFile(file.entry, file.receipt))
        together = examine_range(file, head)
        self._hold(together.subject, together.holds, together.detail, together.detail)
        fault = unsigned_fault(
            (file.entry, *file.events),
            first_index=file.receipt.leaf_index,
            log_size=head.size,
            keys=self._keys,
        )
        missing = "" if self._keys else ", as far as can be told without --cell"
        self._hold("unsigned", bool(fault), fault, f"nothing here is unsigned{missing}")

    def _receipt(self, which: str, text: str) -> ReceiptFile:
        """An entry that is in the log, as a step; whether it can be read is another matter."""
        try:
            file = ReceiptFile.parse(text.encode())
        except (ReceiptUnreadableError, UnicodeEncodeError) as error:
            raise _NotProvenError(which, f"no receipt: {error}") from None
        self._in_log(which, file)
        return file

    def _in_log(self, which: str, file: ReceiptFile) -> Checkpoint:
        report = examine_receipt_file(file, policy=self._policy, now_s=self._now_s)
        for finding in report.findings:
            if not finding.holds and finding.subject != "entry":
                raise _NotProvenError(which, f"{finding.subject}: {finding.detail}")
        at, size = file.receipt.leaf_index, report.checkpoint.size
        self._hold(which, True, f"{len(file.entry)} bytes, in the log at {at} of {size}")
        return report.checkpoint

    def _evidence(self, file: ReceiptFile) -> None:
        is_refuted = self._raised.alarm is Alarm.EVIDENCE_REFUTED
        if self._cell is None:
            text = "whether it holds needs the public keys of cell.toml (--cell)"
            self._hold("evidence", not is_refuted, text, text)
            return
        report = examine_evidence(file.entry, cell=self._cell)
        for finding in report.findings:
            if is_refuted and not finding.holds:
                self._hold("refuted", True, f"{finding.subject}: {finding.detail}")
                return
            if not is_refuted:
                self._hold(finding.subject, finding.holds, finding.detail, finding.detail)
        self._hold("refuted", not is_refuted, "every step of the evidence holds")


def _file_hash(content: bytes, place: TilePath) -> bytes:
    """The hash of the node over a whole tile or bundle. Raises: _NotProvenError, if it is none."""
    if place.level is None and not bundle_fault(content, width=TILE_WIDTH):
        return CompactRange.empty().extended(leaf_hashes(decode_entries(content))).root()
    if place.level is not None and len(content) == TILE_BYTES:
        return CompactRange.empty().extended(split_hashes(content)).root()
    raise _NotProvenError("served", f"{len(content)} bytes are no full {place.format()}")


def backwards_of(first: ExaminedCheckpoint, second: ExaminedCheckpoint) -> list[str]:
    """Each cosigner whose clock says that it cosigned the greater head long before the smaller."""
    if first.checkpoint.size >= second.checkpoint.size:
        return []
    size, size_before = second.checkpoint.size, first.checkpoint.size
    return [
        f"{name} cosigned {size} entries at {time_s}, and {size_before} only at {before_s}"
        for name, time_s in second.cosigned_at_s.items()
        if time_s + CLOCK_BOUND_S < (before_s := first.cosigned_at_s.get(name, 0))
    ]


def bundle_fault(content: bytes, *, width: int) -> str:
    """Why this cannot be a bundle of so many entries; empty if it can."""
    try:
        count = len(decode_entries(content))
    except FormatError as error:
        return str(error)
    return "" if count == width else f"{count} entries, not {width}"
