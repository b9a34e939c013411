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
    return "\n".join(lines)


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
