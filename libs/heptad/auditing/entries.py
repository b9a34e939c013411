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
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind
from heptad.verification.alarms import Alarm
from heptad.verification.entry_rules import entry_fault
from heptad.verification.evidence import examine_evidence
from heptad.wire.convert.entry import decode_entry

SUSPECTS_MAX: Final = 64
"""Entries of one look that are kept to be shown; more are counted."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """An entry to raise an alarm about; `rival` is the index of an earlier one, or -1."""

    alarm: Alarm
    index: int
    entry: bytes
    detail: str
    rival: int = -1


class EntryRules:
    """Looks at entries in their order. `charges` is what the log holds evidence of, and where."""

    def __init__(self, *, charges: Mapping[str, int], cell: Cell | None) -> None:
        self.charges = dict(charges)
        self.suspects: list[Suspect] = []
        self.untold: Counter[str] = Counter()
        self._cell = cell

    def visit(self, first_index: int, entries: Sequence[bytes]) -> None:
        """Look at some entries, the first of them at that index."""
        for index, data in enumerate(entries, start=first_index):
            try:
                entry = decode_entry(data)
            except MalformedError as error:
                self._suspect(Suspect(Alarm.ENTRY_MALFORMED, index, data, str(error)))
                continue
            if fault := entry_fault(entry, data=data, index=index):
                self._suspect(Suspect(Alarm.ENTRY_INVALID, index, data, fault))
            elif entry.kind is Kind.MISBEHAVIOUR_EVIDENCE:
                self._evidence(index, data, entry)

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
