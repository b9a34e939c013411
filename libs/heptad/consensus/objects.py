"""The protocol's objects, in the words of the papers (HotStuff, DiemBFT v4, Jolteon).

They are plain values. Whatever is hashed or signed keeps the bytes it arrived as (`encoded`), so
that nothing is ever serialised a second time; `heptad.consensus.codec` makes and reads them. An
object here is only *well-formed*: nothing about it was verified. What was, is wrapped in a
`Verified…` of `heptad.consensus.verified`, and only that is acted on.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from heptad.model.ids import (
    BatchDigest,
    BlockId,
    Epoch,
    Height,
    LogIndex,
    MemberIndex,
    Round,
    ValidatorNumber,
)
from heptad.transparency.subtrees import Growth

NO_ROUND: Final = Round(0)
"""The genesis block's; so nothing was signed in it."""


class BatchId(NamedTuple):
    """A batch's number: `sequence` counts from 0 within an `incarnation` of a validator."""

    validator: ValidatorNumber
    incarnation: int
    sequence: int


@dataclass(frozen=True, slots=True)
class BatchRef:
    """What a block says of a batch. `count` records, `size_bytes` of its whole encoding."""

    validator: ValidatorNumber
    incarnation: int
    sequence: int
    digest: BatchDigest
    count: int
    size_bytes: int

    @property
    def id(self) -> BatchId:
        """The batch's number."""
        return BatchId(self.validator, self.incarnation, self.sequence)


@dataclass(frozen=True, slots=True)
class LogHead:
    """The log after some block: `size` entries with the RFC 6962 root `root` (32 bytes)."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Vote:
    """One member's vote for a block; `signature` (64 bytes) covers epoch, round and block id."""

    epoch: Epoch
    round: Round
    block_id: BlockId
    voter: MemberIndex
    signature: bytes


@dataclass(frozen=True, slots=True)
class QC:
    """Quorum certificate: the votes of a quorum of distinct members for one block.

    `votes` are (voter, signature), ascending by voter. The genesis block's certificate has none.
    """

    epoch: Epoch
    round: Round
    block_id: BlockId
    votes: tuple[tuple[MemberIndex, bytes], ...]
    encoded: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TimeoutClaim:
    """What a TC keeps of one time-out: its signature covers round, `high_qc_round`, `fast_vote`."""

    voter: MemberIndex
    high_qc_round: Round
    fast_vote: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class TC:
    """Time-out certificate of a round: a quorum of claims, ascending by voter.

    `high_qc` is the certificate behind the greatest `high_qc_round` claimed: without it a claim
    would be only a number, and one liar could block every later proposal.
    """

    epoch: Epoch
    round: Round
    claims: tuple[TimeoutClaim, ...]
    high_qc: QC
    encoded: bytes = field(repr=False)

    @property
    def high_qc_round(self) -> Round:
        """The greatest round claimed."""
        return max(claim.high_qc_round for claim in self.claims)


@dataclass(frozen=True, slots=True)
class Timeout:
    """One member gives up on `round`.

    Signed: epoch, round, high_qc.round, fast_vote. Outside the signature travels the TC of
    round - 1, unless high_qc.round + 1 == round: either shows why the member is in this round.
    `fast_vote` is reserved for the fast path and empty.
    """

    epoch: Epoch
    round: Round
    high_qc: QC
    tc: TC | None
    fast_vote: bytes
    voter: MemberIndex
    signature: bytes
    encoded: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header; there is no body, for the batches travel apart.

    `id` is SHA-256 of `encoded`. `justify` is the parent's certificate, `tc` the certificate of
    round - 1 where the round before failed. `height` is the parent's + 1. `head` and `state_hash`
    stand *after* this block's batches and control entries. `time_ms` is Unix time by the proposer's
    clock and never less than the parent's. `control` are proofs of misbehaviour (see `evidence`);
    each becomes one entry of the log, behind those of the batches.
    """

    epoch: Epoch
    round: Round
    height: Height
    proposer: MemberIndex
    time_ms: int
    justify: QC
    tc: TC | None
    batches: tuple[BatchRef, ...]
    control: tuple[bytes, ...]
    head: LogHead
    state_hash: bytes
    encoded: bytes = field(repr=False)
    id: BlockId = field(repr=False)

    @property
    def parent_id(self) -> BlockId:
        """The block that this one extends."""
        return self.justify.block_id

    @property
    def is_empty(self) -> bool:
        """True if the log does not grow by this block."""
        return not (self.batches or self.control)

    @property
    def entry_count(self) -> int:
        """By how many entries the log grows."""
        return sum(ref.count for ref in self.batches) + len(self.control)

    def names(self, digest: BatchDigest) -> bool:
        """True if it refers to the batch with this digest."""
        return any(ref.digest == digest for ref in self.batches)


@dataclass(frozen=True, slots=True)
class CommitProof:
    """Proves that the block `child.justify.block_id` is committed, and so are its ancestors.

    `child_qc` certifies `child`, and child.round == child.justify.round + 1: two certified blocks
    in consecutive rounds. `child` itself need not be committed.
    """

    child: Block
    child_qc: QC

    @property
    def block_id(self) -> BlockId:
        """The block that this proves committed."""
        return self.child.justify.block_id


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """A block that will never be undone.

    `first_index` is the size of the log before it. `proof` stands at the last block of each wave
    and proves the wave; the blocks before it have None. `grown` is how the log grew since the block
    before, as far as it did.

    `is_jump`: this replica jumped to it. The blocks between the last one and this, and this one's
    batches, were never here; `grown` leads on from the log's size before the jump.
    """

    block: Block
    first_index: LogIndex
    proof: CommitProof | None
    grown: tuple[Growth, ...] = ()
    is_jump: bool = False

    def placed(self) -> tuple[tuple[BatchRef, LogIndex], ...]:
        """Its batches in log order, each with the log index of its first entry.

        Behind them come the block's control entries.
        """
        index, places = int(self.first_index), []
        for ref in self.block.batches:
            places.append((ref, LogIndex(index)))
            index += ref.count
        return tuple(places)


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A `cosignature/v1` of a committed head by this replica's cosigning key.

    `time_s` is Unix time in seconds, part of what `signature` (64 bytes) covers.
    Source: https://c2sp.org/tlog-cosignature@v1.0.1
    """

    member: MemberIndex
    head: LogHead
    time_s: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyRecord:
    """All that a member must never forget about what it has signed; the kernel's only state.

    Rounds are 0 where nothing was signed yet. `vote`, `timeout` and `proposal` are the last ones
    made, kept whole so that a restart sends the identical bytes again; `proposal` is the header's
    bytes and the proposer's vote for it. `is_follower`: what this key has signed before is not
    known, so it signs nothing any more.
    """

    epoch: Epoch
    high_qc: QC
    round_voted: Round = NO_ROUND
    vote: Vote | None = None
    round_timed_out: Round = NO_ROUND
    timeout: Timeout | None = None
    round_proposed: Round = NO_ROUND
    proposal: tuple[bytes, Vote] | None = None
    highest_tc: TC | None = None
    cosigned: LogHead | None = None
    is_follower: bool = False
