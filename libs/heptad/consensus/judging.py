"""Does a proof of misbehaviour hold? Every step of it, from public keys alone.

One set of rules for everybody: a replica before it keeps or votes for a proof, a ledger, and
whoever checks one off line (`heptad verify` prints the steps). What it takes is the cell's origin,
epoch and public keys; no log, no clock, no other message.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from typing import Final, TypeAlias

from heptad.consensus.codec import vote_signing_bytes
from heptad.consensus.committee import Cell
from heptad.consensus.errors import ForgedError, RefusedError
from heptad.consensus.evidence import (
    Evidence,
    Offence,
    SignedBatch,
    SignedHead,
    TwoBatches,
    TwoBlocks,
    TwoHeads,
    decode_evidence,
)
from heptad.consensus.ports import SignatureVerifier
from heptad.model.batch import batch_signing_bytes
from heptad.model.canonical import MalformedError
from heptad.model.ids import ValidatorNumber
from heptad.model.problems import Problem
from heptad.transparency.checkpoint import Checkpoint, Finding, cosigned_message
from heptad.transparency.errors import FormatError, ProofInvalidError
from heptad.transparency.merkle import verify_consistency

_REMEMBERED_MAX: Final = 1_024

Step: TypeAlias = tuple[str, str, Callable[[], object]]
"""What is checked, in words with the numbers, and the check; it raises RefusedError."""


class Judge:
    """Judges for one cell. What held once is remembered by the hash of all its bytes."""

    def __init__(self, cell: Cell, verifier: SignatureVerifier) -> None:
        self._cell = cell
        self._verifier = verifier
        self._remembered: OrderedDict[bytes, None] = OrderedDict()

    def read(self, encoded: bytes) -> Evidence:
        """The proof that `encoded` is, if it holds. Raises: RefusedError."""
        try:
            evidence = decode_evidence(encoded)
        except MalformedError as broken:
            raise RefusedError(f"evidence: {broken}") from broken
        self.require(evidence)
        return evidence

    def require(self, evidence: Evidence) -> None:
        """Do nothing if the proof holds. Raises: ForgedError, naming the step that does not."""
        key = sha256(evidence.encoded).digest()
        if key in self._remembered:
            return
        for finding in self._findings(evidence):
            if not finding.holds:
                raise ForgedError(f"evidence: {finding.subject}: {finding.detail}")
        self._remembered[key] = None
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def examine(self, evidence: Evidence) -> Sequence[Finding]:
        """Every step of the proof and what came out, for people; never refuses.

        It ends early only where the accused is nobody of this cell: there is no key to go on with.
        """
        return list(self._findings(evidence))

    def _findings(self, evidence: Evidence) -> Iterator[Finding]:
        for subject, detail, check in (*self._context(evidence), *self._sides(evidence)):
            try:
                check()
            except RefusedError as refusal:
                yield Finding(subject, holds=False, detail=str(refusal))
                if subject == "accused":
                    return
            else:
                yield Finding(subject, holds=True, detail=detail)

    def _context(self, evidence: Evidence) -> Iterator[Step]:
        yield "origin", f"of the cell {self._cell.origin}", partial(self._origin, evidence)
        charge = evidence.charge
        detail = f"{charge.name}, a {'replica' if charge.is_of_member else 'validator'} of the cell"
        yield "accused", detail, partial(self._accused, evidence)

    def _sides(self, evidence: Evidence) -> Iterator[Step]:
        match evidence.sides:
            case TwoBlocks():
                yield from self._blocks(evidence, evidence.sides)
            case TwoHeads():
                yield from self._heads(evidence, evidence.sides)
            case TwoBatches():
                yield from self._batches(evidence, evidence.sides)

    def _blocks(self, evidence: Evidence, sides: TwoBlocks) -> Iterator[Step]:
        yield (
            "conflict",
            f"two blocks of epoch {sides.epoch}, round {sides.round}: "
            f"{sides.first.block_id.hex()} and {sides.second.block_id.hex()}",
            partial(self._two_blocks, sides),
        )
        for place, side in (("first", sides.first), ("second", sides.second)):
            message = partial(
                vote_signing_bytes,
                origin=self._cell.origin,
                epoch=sides.epoch,
                round_=sides.round,
                block_id=side.block_id,
            )
            yield self._signature(evidence, place, message, side.signature)

    def _heads(self, evidence: Evidence, sides: TwoHeads) -> Iterator[Step]:
        first, second = sides.first.head, sides.second.head
        yield (
            "conflict",
            f"the head of size {second.size} with root {second.root.hex()} does not extend "
            f"the one of size {first.size} with root {first.root.hex()}",
            partial(_require_two_histories, sides),
        )
        for place, side in (("first", sides.first), ("second", sides.second)):
            message = partial(_head_message, self._cell.origin, side)
            yield self._signature(evidence, place, message, side.signature)

    def _batches(self, evidence: Evidence, sides: TwoBatches) -> Iterator[Step]:
        header = sides.first.header
        yield (
            "conflict",
            f"two batches of incarnation {header.incarnation}, sequence {header.sequence}: "
            f"{sides.first.digest.hex()} and {sides.second.digest.hex()}",
            partial(_require_one_number, evidence, sides),
        )
        for place, side in (("first", sides.first), ("second", sides.second)):
            message = partial(batch_signing_bytes, origin=self._cell.origin, digest=side.digest)
            yield self._signature(evidence, place, message, side.signature)

    def _signature(
        self, evidence: Evidence, place: str, message: Callable[[], bytes], signature: bytes
    ) -> Step:
        subject = f"{place} signature"
        role = {Offence.BLOCKS: "vote", Offence.HEADS: "cosign", Offence.BATCHES: "batch"}
        detail = f"by the {role[evidence.charge.offence]} key of {evidence.charge.name}"
        return subject, detail, partial(self._require_signature, evidence, message, signature)

    def _require_signature(
        self, evidence: Evidence, message: Callable[[], bytes], signature: bytes
    ) -> None:
        try:
            self._verifier.verify(
                public_key=self._accused(evidence), message=message(), signature=signature
            )
        except Problem as problem:
            raise RefusedError(f"not by {evidence.charge.name}: {problem.detail}") from problem

    def _origin(self, evidence: Evidence) -> None:
        if evidence.origin != self._cell.origin:
            raise RefusedError(f"of the cell {evidence.origin!r}, this is {self._cell.origin!r}")

    def _two_blocks(self, sides: TwoBlocks) -> None:
        if sides.epoch != self._cell.epoch:
            raise RefusedError(f"of epoch {sides.epoch}, the keys are those of {self._cell.epoch}")
        if sides.first.block_id == sides.second.block_id:
            raise RefusedError("one block twice")

    def _accused(self, evidence: Evidence) -> bytes:
        """The public key that the accused signs such things with. Raises: RefusedError."""
        offence, number = evidence.charge
        members = self._cell.committee.members
        if isinstance(evidence.sides, TwoBatches):
            incarnation = evidence.sides.first.header.incarnation
            for validator in self._cell.validators:
                if validator.number == ValidatorNumber(number):
                    return validator.batch_key_for(incarnation)
        elif number < len(members):
            member = members[number]
            return member.vote_key if offence is Offence.BLOCKS else member.cosign_key
        raise RefusedError(f"{evidence.charge.name} is not of this cell")


def _require_two_histories(sides: TwoHeads) -> None:
    """The second tree had another root at the first one's size. Raises: RefusedError."""
    first, second = sides.first.head, sides.second.head
    if sides.root_before == first.root:
        raise RefusedError(f"root {first.root.hex()} of size {first.size} is that of both")
    try:
        verify_consistency(
            old_size=first.size,
            new_size=second.size,
            old_root=sides.root_before,
            new_root=second.root,
            proof=sides.proof,
        )
    except ProofInvalidError as error:
        raise RefusedError(str(error)) from error


def _require_one_number(evidence: Evidence, sides: TwoBatches) -> None:
    numbers = {_number(side) for side in (sides.first, sides.second)}
    if len(numbers) > 1:
        raise RefusedError(f"batches of two numbers: {sorted(numbers)}")
    validator = sides.first.header.validator
    if validator != evidence.charge.accused:
        raise RefusedError(f"batches of validator {validator}, not of {evidence.charge.name}")
    if sides.first.digest == sides.second.digest:
        raise RefusedError("one batch twice")


def _number(side: SignedBatch) -> tuple[int, int, int]:
    return side.header.validator, side.header.incarnation, side.header.sequence


def _head_message(origin: str, side: SignedHead) -> bytes:
    """What the member signed. Raises: RefusedError, for a head that no log can have."""
    try:
        body = Checkpoint(origin=origin, size=side.head.size, root=side.head.root).body()
    except FormatError as error:
        raise RefusedError(str(error)) from error
    return cosigned_message(body, time_s=side.time_s)
