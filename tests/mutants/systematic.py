"""Every small change of the files that matter most, made by rule instead of by thinking.

Comparisons, `and` and `or`, `not`, numbers, `max` and `min`, `+` and `-`, True and False; and each
`raise`, `return`, call, `continue`, and assignment to a field left out. What is said in an error's
message is left alone, and so are assertions: they state what cannot happen, so nobody would notice.
"""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mutants.catalogue import ROOT, Mutant

EQUIVALENTS = Path(__file__).parent / "equivalents.toml"

_ROOM = "libs/heptad/consensus"
_FIRST = {
    "kernel/rules.py": ("kernel", "following", "known_bugs_durability"),
    "kernel/record.py": ("kernel", "following", "driver"),
    "certificates.py": ("certificates", "known_bugs_certificates", "codec", "accusing"),
    "leaders.py": ("leaders",),
    "leader_record.py": ("leaders",),
    "validity.py": ("validity", "known_bugs_certificates", "accusing"),
    "tree.py": ("tree", "known_bugs_commit"),
    "votes.py": ("collecting", "known_bugs_denial"),
    "timeouts.py": ("collecting", "known_bugs_denial"),
    "chain.py": (
        "chain",
        "adopting",
        "core_rounds",
        "known_bugs_commit",
        "core_batches",
        "jumping",
        "spoiled_state",
        "core_catching_up",
        "liveness_pool",
        "parking",
        "denial_by_fetching",
        "known_bugs_denial",
    ),
    "state.py": ("validity", "jumping", "evidence"),
    "core/voting.py": (
        "voting",
        "collecting",
        "core_rounds",
        "core_leaders",
        "accusing",
        "known_bugs_denial",
        "denial_by_proposing",
        "core_catching_up",
        "known_bugs_twins",
    ),
    "core/giving_up.py": (
        "giving_up",
        "core_rounds",
        "core_leaders",
        "known_bugs_denial",
        "liveness_withheld",
        "core_catching_up",
        "liveness_pool",
        "following",
    ),
    "pacemaker.py": ("pacemaker",),
    "pool.py": ("pool", "core_batches", "batch_keys", "liveness_pool", "denial_by_fetching"),
    "committee.py": ("batch_keys", "certificates", "leaders", "validity"),
    "core/adopting.py": ("adopting", "known_bugs_commit", "core_rounds", "jumping", "driver"),
    "allowance.py": ("allowance", "known_bugs_denial"),
    "core/charging.py": ("allowance", "known_bugs_denial", "denial_by_fetching"),
}
"""The files to change, each with the tests to ask before all others."""

_OPERATORS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
}  # fmt: skip
_OTHER_NAME = {"max": "min", "min": "max"}


@dataclass(frozen=True, slots=True)
class Change:
    """In one function: the characters from `start` to `end` become `by`; said in words."""

    function: str
    words: str
    start: int
    end: int
    by: str


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A change after which the program means the same, and why."""

    id: str
    why: str


def systematic() -> Iterator[Mutant]:
    """All changes of all files but those that are listed as equivalent."""
    known = {each.id for each in equivalents()}
    yield from (mutant for mutant in everything() if mutant.id not in known)


def everything() -> Iterator[Mutant]:
    """All changes of all files."""
    for name, first in _FIRST.items():
        file = f"{_ROOM}/{name}"
        source = (ROOT / file).read_text()
        tests = tuple(f"tests/unit/consensus/test_{each}.py" for each in first)
        seen: Counter[str] = Counter()
        for change in changes(source):
            place = _line(source, change.start)
            mutant_id = f"{name}: {change.function}: {change.words}: {place}"
            seen[mutant_id] += 1
            if seen[mutant_id] > 1:
                mutant_id += f" #{seen[mutant_id]}"
            changed = source[: change.start] + change.by + source[change.end :]
            yield Mutant(mutant_id, change.words, file, source, changed, tests)


def equivalents() -> list[Equivalent]:
    """What `equivalents.toml` lists."""
    rows = tomllib.loads(EQUIVALENTS.read_text()).get("equivalent", [])
    return [Equivalent(row["id"], row["why"]) for row in rows]


def changes(source: str) -> Iterator[Change]:
    """All changes of one file, in the order of its text."""
    found = list(_Walk(source).of(ast.parse(source), "module"))
    yield from sorted(found, key=lambda each: (each.start, each.words))


class _Walk:
    """Goes through a file's functions and makes changes of what it meets."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = source.splitlines()

    def of(self, node: ast.AST, function: str) -> Iterator[Change]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                inner = child.name if function == "module" else f"{function}.{child.name}"
                for statement in child.body:
                    yield from self._inside(statement, inner)
            elif isinstance(child, ast.ClassDef):
                yield from self.of(child, child.name)

    def _inside(self, node: ast.AST, function: str) -> Iterator[Change]:
        if isinstance(node, ast.Assert) or _is_text(node):
            return
        for words, start, end, by in self._changes_of(node):
            yield Change(function, words, start, end, by)
        if isinstance(node, ast.Raise):
            return
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._inside(child, function)

    def _changes_of(self, node: ast.AST) -> Iterator[tuple[str, int, int, str]]:
        match node:
            case ast.Compare(left, [operator], [right]):
                old, new = _OPERATORS[type(operator)]
                yield self._between(left, right, old, new)
            case ast.BoolOp(operator, values):
                old, new = ("and", "or") if isinstance(operator, ast.And) else ("or", "and")
                for left, right in pairwise(values):
                    yield self._between(left, right, old, new)
            case ast.UnaryOp(ast.Not(), operand):
                yield "`not` left out", *self._span(node), f"({self._text(operand)})"
            case ast.BinOp(left, ast.Add() | ast.Sub() as operator, right):
                old, new = ("+", "-") if isinstance(operator, ast.Add) else ("-", "+")
                yield self._between(left, right, old, new)
            case ast.Constant(bool() as value):
                yield f"{value} becomes {not value}", *self._span(node), str(not value)
            case ast.Constant(int() as value):
                yield f"{value} becomes {value + 1}", *self._span(node), str(value + 1)
            case ast.Name("max" | "min" as name):
                other = _OTHER_NAME[name]
                yield f"{name} becomes {other}", *self._span(node), other
            case ast.Expr(ast.Call()) | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield "left out", *self._span(node), "pass"
            case ast.Raise() | ast.Return() | ast.Continue() | ast.Break() | ast.AugAssign():
                yield "left out", *self._span(node), "pass"

    def _between(
        self, left: ast.AST, right: ast.AST, old: str, new: str
    ) -> tuple[str, int, int, str]:
        start, end = self._span(left)[1], self._span(right)[0]
        found = re.search(rf"(?<![\w<>=!]){re.escape(old)}(?![\w=])", self._source[start:end])
        assert found is not None, self._source[start:end]
        at = start + found.start()
        return f"`{old}` becomes `{new}`", at, at + len(old), new

    def _span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self._offset(node.lineno, node.col_offset),
            self._offset(node.end_lineno, node.end_col_offset),
        )

    def _offset(self, line: int, column_bytes: int) -> int:
        """Python counts columns in bytes, and these files hold signs that need more than one."""
        before = self._lines[line - 1].encode()[:column_bytes]
        return self._starts[line - 1] + len(before.decode())

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _line(source: str, offset: int) -> str:
    start = source.rfind("\n", 0, offset) + 1
    return source[start : source.find("\n", offset)].strip()
