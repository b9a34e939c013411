"""The table rule -> mutant -> test for people, in docs/spec/mutants.md."""

from collections.abc import Sequence

from mutants.catalogue import ROOT, Area, Rule

TABLE = ROOT / "docs/spec/mutants.md"

_HEAD = """\
# Rules of consensus, and who would miss them

Made by `make mutants` from the list in `tests/mutants/rules`; edit that and not this. Each row is
one way to weaken a rule: it is planted into a copy of the sources, and at least one of the tests
beside it must fail. Tests without a folder are in `tests/unit/consensus`. The places in brackets
are those of the design's page about consensus.
"""


_SYSTEMATIC = """\
## Every small change

`make mutants ONLY=--systematic` changes the files that matter most by rule instead of by thinking:
each comparison, number, `and`, `not`, and each statement left out. What nobody could notice stands
in `tests/mutants/equivalents.toml` with the reason and is not planted. As it was on 2026-11-29, by
the tests in `tests/unit/consensus` alone; what is not shown to be noticed is so far only not shown,
for tests of a whole cell take long and not all of them were asked.

| file | planted | noticed |
|---|---|---|
"""

_COUNTED = (
    ("certificates.py", 118, 118),
    ("votes.py", 37, 34),
    ("timeouts.py", 25, 25),
    ("chain.py", 190, 158),
    ("core/adopting.py", 87, 70),
    ("core/voting.py", 146, 119),
    ("validity.py", 54, 54),
    ("tree.py", 47, 47),
    ("pool.py", 158, 121),
    ("core/giving_up.py", 139, 125),
    ("pacemaker.py", 72, 71),
    ("committee.py", 18, 13),
)
"""File, changes planted, changes noticed: written down by hand, for counting takes hours."""


def rendered(areas: Sequence[Area]) -> str:
    """The whole page."""
    count = sum(len(rule.mutants) for area in areas for rule in area.rules)
    rules = sum(len(area.rules) for area in areas)
    lines = [_HEAD, f"{rules} rules, {count} mutants.", ""]
    for area in areas:
        lines += [
            f"## {area.title}",
            "",
            "| rule | what it says | mutant | test |",
            "|---|---|---|---|",
        ]
        lines += [line for rule in area.rules for line in _rows(rule)]
        lines.append("")
    counted = [f"| {file} | {planted} | {noticed} |" for file, planted, noticed in _COUNTED]
    return "\n".join(lines) + "\n" + _SYSTEMATIC + "\n".join(counted) + "\n"


def _rows(rule: Rule) -> list[str]:
    rows = []
    for number, mutant in enumerate(rule.mutants):
        name = f"{rule.id}" if number == 0 else ""
        says = f"{rule.says} *({rule.place})*" if number == 0 else ""
        tests = "<br>".join(f"`{_short(test)}`" for test in mutant.tests)
        rows.append(f"| {name} | {_cell(says)} | {_cell(mutant.change)} | {tests} |")
    return rows


def _short(test: str) -> str:
    return test.removeprefix("tests/unit/consensus/")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
