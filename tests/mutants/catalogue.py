"""The list of rules and mutants: read from `rules/*.toml`, and checked for what can be checked."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "rules"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: in `file`, `text`, which occurs exactly once, becomes `by`.

    `change` says it in words; `tests` are pytest's names of those that must fail.
    """

    id: str
    change: str
    file: str
    text: str
    by: str
    tests: tuple[str, ...]

    def planted(self, source: str) -> str:
        """The file with the change. Raises ValueError unless the text occurs exactly once."""
        count = source.count(self.text)
        if count != 1:
            raise ValueError(f"{self.id}: its text occurs {count} times in {self.file}")
        return source.replace(self.text, self.by)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the design, `place` in its page about consensus, and the ways to weaken it."""

    id: str
    says: str
    place: str
    mutants: tuple[Mutant, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """One file of the list."""

    name: str
    title: str
    rules: tuple[Rule, ...]


def areas() -> tuple[Area, ...]:
    """The whole list, by area."""
    return tuple(_area(path) for path in sorted(FOLDER.glob("*.toml")))


def mutants() -> Iterator[Mutant]:
    """All mutants of the list."""
    for area in areas():
        for rule in area.rules:
            yield from rule.mutants


def _area(path: Path) -> Area:
    table = tomllib.loads(path.read_text())
    name = path.stem.split("_", 1)[1]
    return Area(name, table["title"], tuple(_rule(row, name, table) for row in table["rule"]))


def _rule(row: dict, area: str, table: dict) -> Rule:
    rule_id = f"{area}/{row['id']}"
    file = row.get("file", table.get("file"))
    made = tuple(
        Mutant(
            id=f"{rule_id}.{number}",
            change=each["change"],
            file=each.get("file", file),
            text=each["text"],
            by=each["by"],
            tests=tuple(_full(test) for test in each.get("tests", row.get("tests", ()))),
        )
        for number, each in enumerate(row["mutant"], start=1)
    )
    return Rule(rule_id, row["says"], row["place"], made)


def _full(test: str) -> str:
    """`test_kernel.py::…` is short for a test of the room; any other has its whole path."""
    return test if test.startswith("tests/") else f"tests/unit/consensus/{test}"
