"""Collecting votes into a quorum certificate.

Votes are kept unverified until a quorum of distinct voters is there, then verified together: at
most a quorum is ever verified, and an invalid one is thrown out without blocking the others. The
transport has authenticated who sent each, so a voter can spoil only its own place.
"""

from dataclasses import dataclass, field

from heptad.consensus.certificates import Certificates
from heptad.consensus.errors import RefusedError
from heptad.consensus.objects import QC, Vote
from heptad.consensus.verified import VerifiedQC
from heptad.model.ids import BlockId, MemberIndex, Round

BLOCKS_PER_VOTER_MAX = 2
"""Blocks of one round for which one voter's votes are kept: one, and the second as evidence."""


@dataclass(slots=True)
class _Ballot:
    """Votes for one block; `verified` are known to be good, `waiting` were not looked at.

    `spoilt` have sent a bad one: no further vote of theirs is looked at, or one member could have
    a signature checked with each message that it sends.
    """

    verified: dict[MemberIndex, Vote] = field(default_factory=dict)
    spoilt: set[MemberIndex] = field(default_factory=set)
    waiting: dict[MemberIndex, Vote] = field(default_factory=dict)

    def vote_of(self, voter: MemberIndex) -> Vote | None:
        """This member's vote, if it has one here."""
        return self.verified.get(voter) or self.waiting.get(voter)


@dataclass(frozen=True, slots=True)
class TwoVotes:
    """One member's votes for two blocks of one round; their signatures were not checked."""

    first: Vote
    second: Vote


class VoteCollector:
    """Votes by round and block, for rounds above the highest certificate."""

    def __init__(self, certificates: Certificates, *, quorum: int) -> None:
        self._certificates = certificates
        self._quorum = quorum
        self._rounds: dict[Round, dict[BlockId, _Ballot]] = {}

    def add(self, vote: Vote, *, is_verified: bool = False) -> TwoVotes | None:
        """Take a vote in; a duplicate changes nothing.

        Returns the conflict if this member has voted for another block of the round before.
        """
        ballots = self._rounds.setdefault(vote.round, {})
        others = [
            other
            for block_id, ballot in ballots.items()
            if block_id != vote.block_id and (other := ballot.vote_of(vote.voter))
        ]
        conflict = TwoVotes(others[0], vote) if others else None
        if len(others) >= BLOCKS_PER_VOTER_MAX:
            return conflict
        ballot = ballots.setdefault(vote.block_id, _Ballot())
        if vote.voter in ballot.verified or (vote.voter in ballot.spoilt and not is_verified):
            return conflict
        if is_verified:
            ballot.waiting.pop(vote.voter, None)
            ballot.verified[vote.voter] = vote
        else:
            ballot.waiting[vote.voter] = vote
        return conflict

    def against(self, qc: QC) -> list[Vote]:
        """Votes, not verified, that members of this certificate gave to other blocks of its round.

        Look before `forget`: this is the last moment at which both are at hand.
        """
        ballots = self._rounds.get(qc.round, {})
        return [
            vote
            for block_id, ballot in ballots.items()
            if block_id != qc.block_id
            for voter, _ in qc.votes
            if (vote := ballot.waiting.get(voter)) is not None
        ]

    def certificate(
        self, round_: Round, block_id: BlockId
    ) -> tuple[VerifiedQC | None, list[tuple[MemberIndex, str]]]:
        """The certificate of this block if a quorum of good votes is here.

        Also returns whose votes were thrown out, and why each was bad.
        """
        ballot = self._rounds.get(round_, {}).get(block_id)
        refused: list[tuple[MemberIndex, str]] = []
        if ballot is None or len(ballot.verified) + len(ballot.waiting) < self._quorum:
            return None, refused
        while ballot.waiting and len(ballot.verified) < self._quorum:
            voter, vote = next(iter(ballot.waiting.items()))
            del ballot.waiting[voter]
            try:
                self._certificates.vote(vote)
            except RefusedError as error:
                ballot.spoilt.add(voter)
                refused.append((voter, str(error)))
            else:
                ballot.verified[voter] = vote
        if len(ballot.verified) < self._quorum:
            return None, refused
        chosen = list(ballot.verified.items())[: self._quorum]
        votes = {voter: vote.signature for voter, vote in chosen}
        qc = self._certificates.qc_of_votes(round_=round_, block_id=block_id, votes=votes)
        return qc, refused

    def forget(self, *, up_to: Round) -> None:
        """Drop all votes of rounds up to and including `up_to`."""
        for round_ in [each for each in self._rounds if each <= up_to]:
            del self._rounds[round_]
