"""Values that were verified, told apart by type from those that only arrived.

The kernel signs nothing about a bare QC, TC or Block: it takes only these, and they can be made
only with the seal, which two modules import (a tidy test counts them): `certificates` checks
signatures and quorums, `validity` checks a block against its parent. So "acted on before it was
verified" is a type error instead of a review comment.
"""

from dataclasses import dataclass, field
from typing import Final

from heptad.consensus.objects import QC, TC, Block, CommitProof, LogHead, Timeout
from heptad.consensus.state import ChainState
from heptad.model.ids import BlockId


class _Seal:
    """There is one; who holds it says "I have checked this"."""


SEAL: Final = _Seal()


@dataclass(frozen=True, slots=True)
class VerifiedQC:
    """A quorum certificate whose signatures hold."""

    qc: QC
    seal: _Seal = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        """Nobody makes one without the seal."""
        assert self.seal is SEAL


@dataclass(frozen=True, slots=True)
class VerifiedTC:
    """A time-out certificate whose signatures hold, with the QC behind its greatest claim."""

    tc: TC
    high_qc: VerifiedQC
    seal: _Seal = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        """Nobody makes one without the seal."""
        assert self.seal is SEAL


@dataclass(frozen=True, slots=True)
class VerifiedTimeout:
    """A time-out whose signature and certificates hold; `tc` where it needs one."""

    timeout: Timeout
    high_qc: VerifiedQC
    tc: VerifiedTC | None
    seal: _Seal = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        """Nobody makes one without the seal."""
        assert self.seal is SEAL


@dataclass(frozen=True, slots=True)
class VerifiedEntry:
    """The certificates by which a block enters its round: its justify, and its TC if it has one.

    Either justify.round + 1 == round and there is no TC, or tc.round + 1 == round and
    justify.round >= every high_qc_round in the TC.
    """

    block_id: BlockId
    justify: VerifiedQC
    tc: VerifiedTC | None
    seal: _Seal = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        """Nobody makes one without the seal."""
        assert self.seal is SEAL


@dataclass(frozen=True, slots=True)
class VerifiedBlock:
    """A block whose certificates hold and which is valid against its parent and its batches.

    `state` is what stands after it. (Its proposer's signature is about who made it, not about
    whether it is valid; it is checked where proposals come in.)
    """

    block: Block
    entry: VerifiedEntry
    state: ChainState
    seal: _Seal = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        """Nobody makes one without the seal, or with the certificates of another block."""
        assert self.seal is SEAL
        assert self.entry.block_id == self.block.id


@dataclass(frozen=True, slots=True)
class VerifiedCommit:
    """A commit proof that holds: `proof.block_id` is final, and so are its ancestors."""

    proof: CommitProof
    child_qc: VerifiedQC
    seal: _Seal = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        """Nobody makes one without the seal."""
        assert self.seal is SEAL


@dataclass(frozen=True, slots=True)
class VerifiedSnapshot:
    """A committed block with the state after it, by which a replica may go on from there.

    `commit` proves the block, the block's header binds `state`, and the log in it begins with the
    log that this replica knows: `state.grown` leads from the one to the other.
    """

    block: Block
    state: ChainState
    commit: VerifiedCommit
    seal: _Seal = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        """Nobody makes one without the seal, or with the proof of another block."""
        assert self.seal is SEAL
        assert self.commit.proof.block_id == self.block.id


@dataclass(frozen=True, slots=True)
class VerifiedHead:
    """The log head after a committed block.

    Recomputed here from all entries below it, or from one that was, by a cover that leads to it.
    """

    head: LogHead
    seal: _Seal = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        """Nobody makes one without the seal."""
        assert self.seal is SEAL
