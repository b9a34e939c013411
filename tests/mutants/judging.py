"""What becomes of one mutant: the named tests first, then everything about consensus."""

from dataclasses import dataclass

from mutants.catalogue import Mutant
from mutants.workshop import FAST, SLOW, Outcome, Tree

DEPTHS = ("named", "unit", "simulation")
"""How far to look for somebody who notices: the named tests, all fast ones, all of them."""


MISSED = frozenset({"survived"})
MISNAMED = frozenset({"elsewhere", "broken"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """One mutant and its fate.

    `word`: *caught* by a test that the list names; caught by a *time-out* in one of them; caught
    only *elsewhere*, so that the list names the wrong tests; *survived*; or *broken*: pytest could
    not even run, so nothing was shown.
    """

    mutant: Mutant
    word: str
    test: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.word:9} {self.mutant.id}: {self.mutant.change} <- {self.test}"


def judge(mutant: Mutant, tree: Tree, *, depth: str) -> Verdict:
    """Plant one mutant into the tree and see who notices."""
    stages = ((mutant.tests, True), (FAST, False), (SLOW, False))
    with tree.planted(mutant):
        for tests, is_named in stages[: DEPTHS.index(depth) + 1]:
            outcome = tree.run(tests)
            if outcome.trouble is not None:
                return Verdict(mutant, "broken", outcome.trouble[-400:])
            if outcome.failed is not None:
                return Verdict(mutant, _word(outcome, is_named), outcome.failed)
    return Verdict(mutant, "survived", "nothing noticed")


def _word(outcome: Outcome, is_named: bool) -> str:
    if not is_named:
        return "elsewhere"
    return "timeout" if outcome.is_timeout else "caught"
