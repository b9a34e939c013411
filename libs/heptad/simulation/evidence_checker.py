"""Accusations: nobody honest is ever accused, and whoever was caught is in the log in the end.

Guilt is known here beforehand: members that lie or have twins, validators that sign two batches
under one number. Every proof is verified anew, with the same rules as everywhere (they are what an
auditor applies), and against the cast, which no rule knows.
"""

from collections.abc import Sequence

from heptad.consensus.committee import Cell
from heptad.consensus.errors import RefusedError
from heptad.consensus.evidence import Charge
from heptad.consensus.judging import Judge
from heptad.consensus.objects import Block
from heptad.consensus.ports import SignatureVerifier
from heptad.model.ids import MemberIndex, ValidatorNumber
from heptad.simulation.violations import Broken, ViolationError


class EvidenceChecker:
    """What was reported and what was committed. Any method may raise ViolationError."""

    def __init__(
        self,
        *,
        cell: Cell,
        verifier: SignatureVerifier,
        honest: frozenset[MemberIndex],
        equivocating: frozenset[ValidatorNumber],
    ) -> None:
        """`equivocating` validators sign two batches under one number now and then."""
        self._judge = Judge(cell, verifier)
        self._honest = honest
        self._equivocating = equivocating
        self._reported: set[Charge] = set()
        self._proven: set[Charge] = set()

    def reported(self, name: str, proof: bytes, *, by_honest: bool) -> None:
        """A machine has made known that it holds this proof, which is on its disk by now."""
        charge = self._judged(proof, f"{name} reports")
        if by_honest:
            self._reported.add(charge)

    def committed(self, block: Block) -> None:
        """This block is final: each of its proofs is the first of its charge in the log."""
        for encoded in block.control:
            charge = self._judged(encoded, f"height {block.height} holds")
            if charge in self._proven:
                raise ViolationError(Broken.TWICE, f"{charge.name} is proven guilty twice")
            self._proven.add(charge)

    @property
    def proven(self) -> frozenset[Charge]:
        """The charges of which the group's log holds a proof."""
        return frozenset(self._proven)

    def missing(self) -> Sequence[str]:
        """What honest machines have reported and the log does not hold, in words."""
        missing = sorted(self._reported - self._proven)
        return [f"no proof that {each.name} signed two {each.offence.name}" for each in missing]

    def _judged(self, proof: bytes, what: str) -> Charge:
        try:
            charge = self._judge.read(proof).charge
        except RefusedError as refusal:
            raise ViolationError(Broken.ACCUSED, f"{what} no proof: {refusal}") from refusal
        if charge.is_of_member:
            is_guilty = MemberIndex(charge.accused) not in self._honest
        else:
            is_guilty = ValidatorNumber(charge.accused) in self._equivocating
        if not is_guilty:
            raise ViolationError(Broken.ACCUSED, f"{what} a proof against {charge.name}")
        return charge
