"""What a check says: a row for each claim, a line for each link."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

EXIT_HOLDS: Final = 0
EXIT_BROKEN: Final = 1
EXIT_NOT_CHECKED: Final = 2


class Outcome(StrEnum):
    """How a claim came out."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_CHECKED = "not checked"
    BY_DESIGN = "by design"
    """What is no secret there, or is one that the deployment has to keep: no failure, but said."""


@dataclass(frozen=True, slots=True)
class Row:
    """One claim. `detail` has the figures; `findings` names places, and never what was found."""

    place: str
    claim: str
    outcome: Outcome
    detail: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A kind of connection: who opened it, to whom, and what its handshake has settled on.

    `seen` is `on the wire` for connections that the services made by themselves, and `our own` for
    one that the check made with the same library and the operator's certificate.
    """

    client: str
    server: str
    connections: int
    version: str
    group: str
    cipher: str
    is_quantum_safe: bool
    seen: str


@dataclass(slots=True)
class Report:
    """All of it."""

    home: str
    rows: list[Row] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def exit_status(self) -> int:
        """0 all holds, 1 something does not, 2 nothing was broken but not all could be checked."""
        outcomes = {row.outcome for row in self.rows}
        if Outcome.BROKEN in outcomes:
            return EXIT_BROKEN
        return EXIT_NOT_CHECKED if Outcome.NOT_CHECKED in outcomes else EXIT_HOLDS

    def encode(self) -> str:
        """JSON."""
        holds = self.exit_status() == EXIT_HOLDS
        return json.dumps({"holds": holds, **asdict(self)})


def row_of(place: str, claim: str, detail: str, findings: Sequence[object]) -> Row:
    """A row that holds if there is no finding."""
    outcome = Outcome.BROKEN if findings else Outcome.HOLDS
    return Row(place, claim, outcome, detail, tuple(map(str, findings)))


def control_row(place: str, found: Sequence[str], wanted: Sequence[str]) -> Row:
    """A positive control: what was laid there on purpose must all be found."""
    missed = sorted(set(wanted) - set(found))
    detail = f"{len(set(wanted))} of {len(set(wanted))} found"
    if missed:
        detail = f"{len(missed)} of {len(set(wanted))} not found: this search proves nothing"
    outcome = Outcome.BROKEN if missed else Outcome.HOLDS
    claim = "positive control: what lies there on purpose is found"
    return Row(place, claim, outcome, detail, tuple(missed))
