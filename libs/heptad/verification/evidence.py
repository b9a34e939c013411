"""Does this entry prove somebody guilty? Every step of it, from the public keys of `cell.toml`.

A receipt of the entry says that it is in the log; what is judged here is its statement, and that
needs no log at all: whoever is given the entry and the cell's public keys can tell that its accused
signed two things of which an honest one signs only one (`heptad.consensus.evidence`).
"""

from dataclasses import dataclass

from heptad.consensus.committee import Cell
from heptad.consensus.evidence import Evidence, decode_evidence
from heptad.consensus.judging import Judge
from heptad.crypto import signatures
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind
from heptad.transparency.checkpoint import Finding
from heptad.wire.convert.entry import decode_entry


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """What was found, in the order of the proof. `evidence` is None if it cannot be read."""

    findings: tuple[Finding, ...]
    evidence: Evidence | None

    @property
    def holds(self) -> bool:
        """Whether every finding holds: then, and only then, the accused is proven guilty."""
        return all(finding.holds for finding in self.findings)


def is_evidence(entry: bytes) -> bool:
    """True if this is a readable entry of kind misbehaviour evidence."""
    try:
        return decode_entry(entry).kind is Kind.MISBEHAVIOUR_EVIDENCE
    except MalformedError:
        return False


def examine_evidence(entry: bytes, *, cell: Cell) -> EvidenceReport:
    """Do all the steps of the proof that an entry states, and say what came out; never refuses."""
    try:
        evidence = _stated(decode_entry(entry))
    except MalformedError as error:
        return EvidenceReport((Finding("evidence", holds=False, detail=str(error)),), None)
    charge = evidence.charge
    detail = f"that {charge.name} signed two {charge.offence.name.lower()}"
    judged = Judge(cell, signatures).examine(evidence)
    return EvidenceReport((Finding("evidence", holds=True, detail=detail), *judged), evidence)


def _stated(entry: Entry) -> Evidence:
    """Raises: MalformedError."""
    if entry.kind is not Kind.MISBEHAVIOUR_EVIDENCE:
        raise MalformedError(f"the entry is a {entry.kind.name} and proves nothing against anybody")
    return decode_evidence(entry.statement)
