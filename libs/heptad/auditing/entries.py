"""What the entries themselves say: readable, within the rules, and evidence against somebody.

A leaf is in the log for ever, so a bad one stops nobody: it is an alarm, with the receipt that
proves it to be there, and the audit goes on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from heptad.auditing.state import CHARGES_MAX
from heptad.consensus.committee import Cell
from heptad.consensus.evidence import decode_evidence
from heptad.crypto.bundles import SignedBundle
from heptad.model.bundles import EVENTS_MAX
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind
from heptad.verification.alarms import Alarm
from heptad.verification.bundles import Keys
from heptad.verification.entry_rules import entry_fault
from heptad.verification.event_rules import bundle_fault, statement_of
from heptad.verification.evidence import examine_evidence
from heptad.wire.convert.entry import decode_entry

_BUNDLED: Final = frozenset({Kind.BUNDLE, Kind.EVENT})
SUSPECTS_MAX: Final = 64
"""Entries of one look that are kept to be shown; more are counted."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """An entry to raise an alarm about; `rival` is the index of an earlier one, or -1.

    Where it takes a range of entries to show what is wrong, `until` is the index after the last.
    """

    alarm: Alarm
    index: int
    entry: bytes
    detail: str
    rival: int = -1
    until: int = 0


@dataclass(slots=True)
class _OpenBundle:
    """A bundle whose events are being read."""

    index: int
    statement: SignedBundle
    entries: list[bytes]


class EntryRules:
    """Looks at entries in their order. `charges` is what the log holds evidence of, and where."""

    def __init__(
        self, *, charges: Mapping[str, int], cell: Cell | None, keys: Keys | None = None
    ) -> None:
        self.charges = dict(charges)
        self.suspects: list[Suspect] = []
        self.untold: Counter[str] = Counter()
        self._cell = cell
        self._keys = keys
        self._bundle: _OpenBundle | None = None
        self._signed_until = 0
        """Behind the last entry that a bundle reaches."""
        self._orphan_before = -2

    def visit(self, first_index: int, entries: Sequence[bytes]) -> None:
        """Look at some entries, the first of them at that index."""
        for index, data in enumerate(entries, start=first_index):
            try:
                entry = decode_entry(data)
            except MalformedError as error:
                self._suspect(Suspect(Alarm.ENTRY_MALFORMED, index, data, str(error)))
                self._follow_bundle(index, data, None)
                continue
            if self._bundle is not None or entry.kind in _BUNDLED:
                self._follow_bundle(index, data, entry)
            if fault := entry_fault(entry, data=data, index=index):
                self._suspect(Suspect(Alarm.ENTRY_INVALID, index, data, fault))
            elif entry.kind is Kind.MISBEHAVIOUR_EVIDENCE:
                self._evidence(index, data, entry)

    def end(self) -> None:
        """There are no more entries: a bundle that goes on has been cut off."""
        self._end_bundle(is_at_end=True)

    def _follow_bundle(self, index: int, data: bytes, entry: Entry | None) -> None:
        """Hold events against the bundle in front of them, once all of them are there."""
        is_event = entry is not None and entry.kind is Kind.EVENT
        bundle = self._bundle
        if bundle is not None:
            bundle.entries.append(data)
            if not is_event or len(bundle.entries) > bundle.statement.count:
                self._end_bundle(is_at_end=False)
        if is_event and index >= self._signed_until:
            is_first, self._orphan_before = self._orphan_before != index - 1, index
            if is_first:
                self._orphan(index, data)
        statement = None if entry is None else statement_of(entry)
        if statement is not None:
            self._bundle = _OpenBundle(index, statement, [data])
            self._signed_until = max(self._signed_until, index + 1 + statement.count)

    def _orphan(self, index: int, data: bytes) -> None:
        start = max(0, index - EVENTS_MAX)
        detail = f"entry {index} is an EVENT that no BUNDLE in front of it reaches"
        self._suspect(Suspect(Alarm.EVENTS_UNSIGNED, start, data, detail, until=index + 1))

    def _end_bundle(self, *, is_at_end: bool) -> None:
        bundle, self._bundle = self._bundle, None
        if bundle is None:
            return
        fault = bundle_fault(bundle.entries, bundle.statement, is_at_end=is_at_end, keys=self._keys)
        if fault:
            until = bundle.index + len(bundle.entries)
            detail = f"the bundle at {bundle.index}: {fault}"
            alarm, data = Alarm.EVENTS_UNSIGNED, bundle.entries[0]
            self._suspect(Suspect(alarm, bundle.index, data, detail, until=until))

    def _evidence(self, index: int, data: bytes, entry: Entry) -> None:
        """Somebody is accused in the log itself: rightly, one hopes, and for the first time."""
        charge = decode_evidence(entry.statement).charge
        name = f"{charge.name} signed two {charge.offence.name.lower()}"
        if (rival := self.charges.get(name, -1)) >= 0:
            detail = f"a second proof that {name}; the first is at {rival}"
            self._suspect(Suspect(Alarm.ENTRY_INVALID, index, data, detail, rival))
            return
        if len(self.charges) < CHARGES_MAX:
            self.charges[name] = index
        alarm, detail = Alarm.MISBEHAVIOUR, f"the log proves that {name}"
        if self._cell is None:
            detail = f"the log says that {name}; to judge it takes --cell"
        else:
            report = examine_evidence(data, cell=self._cell)
            wrong = next((step for step in report.findings if not step.holds), None)
            if wrong is not None:
                alarm = Alarm.EVIDENCE_REFUTED
                detail = f"no proof that {name}: {wrong.subject}: {wrong.detail}"
        self._suspect(Suspect(alarm, index, data, detail))

    def _suspect(self, suspect: Suspect) -> None:
        if len(self.suspects) < SUSPECTS_MAX:
            self.suspects.append(suspect)
        else:
            self.untold[str(suspect.alarm)] += 1
