"""Proposals in, votes out; and votes in, certificates out.

A proposal is verified as a whole before anything in it is acted on: its certificates, that they
enter its round, and its proposer's signature. Then its certificates are adopted (which brings this
replica into the proposal's round), and the header waits for parent and batches; it is voted for
when it enters the tree, if the round is still its round.
"""

from heptad.consensus import facts
from heptad.consensus.chain import Arrival
from heptad.consensus.core.adopting import adopt_qc, adopt_tc, commit_by
from heptad.consensus.core.answering import Answers
from heptad.consensus.core.charging import forged
from heptad.consensus.core.parts import Parts
from heptad.consensus.errors import ForgedError, RefusedError
from heptad.consensus.messages import Proposal
from heptad.consensus.objects import Block, Vote
from heptad.consensus.parking import Parked
from heptad.consensus.tree import Node
from heptad.consensus.verified import VerifiedEntry, VerifiedQC
from heptad.consensus.votes import TwoVotes
from heptad.model.ids import BlockId, MemberIndex, Round

_LATE_ROUNDS = 2
"""Votes so many rounds late are ordinary stragglers; later ones come from somebody left behind."""


class Voting:
    """The proposals of the current round, this replica's votes, and the votes sent to it."""

    def __init__(self, parts: Parts, answers: Answers) -> None:
        self._parts = parts
        self._answers = answers
        self._proposals: dict[tuple[Round, MemberIndex], Block] = {}
        self._reported: set[tuple[str, Round, MemberIndex]] = set()
        self._refused: tuple[MemberIndex, int] | None = None
        self.qc_to_share: VerifiedQC | None = None
        """A certificate made here that no proposal has carried to the others yet."""

    def on_proposal(self, sender: MemberIndex, proposal: Proposal) -> None:
        """A leader proposes. Raises: RefusedError."""
        parts, block = self._parts, proposal.block
        if sender != block.proposer:
            raise RefusedError(f"proposal of member {block.proposer} sent by {sender}")
        if block.round < parts.rounds.round:
            self._take_late(sender, block, proposal.signature)
            return
        known = self._proposals.get((block.round, sender))
        if known is not None:
            self._take_again(known, proposal)
            return
        if block.round == parts.rounds.round:
            self._require_leader(block)  # before anything of it is verified, where it is known
        parts.chain.require_fetchable(block)
        entry = parts.certificates.entry(block)
        vote = parts.certificates.proposer(block, proposal.signature)
        self._adopt(entry)
        if block.round == parts.rounds.round:
            self._require_leader(block)
            self._proposals[(block.round, sender)] = block
            parked = Parked(block, entry, vote, False, sender, parts.now_ms)
            parts.chain.park_proposal(parked)

    def on_vote(self, sender: MemberIndex, vote: Vote) -> bool:
        """A member votes and takes this replica for the next leader.

        True if that made a certificate, or is at odds with its last vote. Raises: RefusedError.
        """
        parts = self._parts
        if sender != vote.voter:
            raise RefusedError(f"vote of member {vote.voter} sent by {sender}")
        if vote.epoch != parts.cell.epoch:
            raise RefusedError(f"vote of epoch {vote.epoch}, this is epoch {parts.cell.epoch}")
        # A round that was given up on long ago is as good as certified: its votes are of no use.
        over = max(parts.rounds.high_qc.qc.round, parts.rounds.round - parts.limits.round_window)
        if vote.round <= over:
            if vote.round + _LATE_ROUNDS < over:
                self._answers.answer(sender)
            if self._contradicts(sender, vote.round, vote.block_id):
                parts.certificates.vote(vote)
            return False
        if vote.round > parts.rounds.round + parts.limits.round_window:
            raise RefusedError(f"vote for round {vote.round}, this is {parts.rounds.round}")
        return self.count(vote, is_verified=False)

    def arrived(self, arrival: Arrival) -> None:
        """A block has entered the tree: commit what that makes possible, and vote for it."""
        parts, node, parked = self._parts, arrival.node, arrival.parked
        commit_by(parts, parked.entry.justify)
        if parts.rounds.high_qc.qc.block_id == node.block.id:
            commit_by(parts, parts.rounds.high_qc)
        if parked.vote is not None and parts.chain.tree.get(node.block.id) is node:
            self._vote(node, parked.vote)

    def count(self, vote: Vote, *, is_verified: bool) -> bool:
        """Count a vote; at a quorum of good ones there is a certificate. See `on_vote`."""
        parts = self._parts
        if vote.round <= parts.rounds.high_qc.qc.round:
            return False
        conflict = parts.rounds.votes.add(vote, is_verified=is_verified)
        if conflict is not None:
            self._report_two_votes(conflict)
        verified, refused = parts.rounds.votes.certificate(vote.round, vote.block_id)
        for voter, reason in refused:
            parts.results.fact(facts.MESSAGE_REFUSED, sender=voter, reason=reason)
            forged(parts, voter)
        if verified is None or not adopt_qc(parts, verified):
            return conflict is not None
        self.qc_to_share = verified
        return True

    def proposed(self, node: Node, vote: Vote) -> None:
        """This replica has proposed a block: count its own vote if it collects them itself."""
        self._proposals[(node.block.round, self._parts.me)] = node.block
        self.qc_to_share = None
        self.count(vote, is_verified=True)

    def collectors(self, node: Node) -> tuple[MemberIndex, ...]:
        """Who gets the votes for a block: the leader of the round that its certificate enters.

        At a term's end its proposer too: else a next leader that is dead takes the certificate with
        it, and the chain records as failed the one that worked.
        """
        return tuple(dict.fromkeys((self._next_leader(node), node.block.proposer)))

    def front(self, tip: Node) -> Node:
        """The current round's proposal on top of `tip` if there is one in the tree, else `tip`."""
        for block in self._proposals.values():
            node = self._parts.chain.tree.get(block.id)
            is_on_tip = node is not None and block.parent_id == tip.block.id
            if node is not None and is_on_tip and self._leader_of(block) == block.proposer:
                return node
        return tip

    def leaders_heard(self) -> tuple[MemberIndex, ...]:
        """Who has proposed in the current round, as far as this replica was told."""
        round_ = self._parts.rounds.round
        return tuple(leader for each, leader in self._proposals if each == round_)

    def refuse(self, leader: MemberIndex) -> None:
        """Give this leader no vote until the term of the current round ends."""
        self._refused = (leader, self._term(self._parts.rounds.round))

    def is_refused(self, leader: MemberIndex | None) -> bool:
        """True if this leader gets no vote in the current term."""
        return self._refused == (leader, self._term(self._parts.rounds.round))

    def forget(self) -> None:
        """Let go of the proposals of earlier rounds."""
        round_ = self._parts.rounds.round
        self._proposals = {
            key: block for key, block in self._proposals.items() if block.round >= round_
        }
        self._reported = {each for each in self._reported if each[1] >= round_}

    def _take_late(self, sender: MemberIndex, block: Block, signature: bytes) -> None:
        """A proposal of a round that is over: welcome if its block is missing here, else stale.

        It is verified only if it proves something against its leader.
        """
        chain = self._parts.chain
        if block.id in chain.blocks_wanted:
            chain.park_certified(block, source=sender)
        elif not chain.knows(block.id):
            self._answers.answer(sender)
        if self._contradicts(sender, block.round, block.id):
            self._parts.certificates.proposer(block, signature)

    def _take_again(self, known: Block, proposal: Proposal) -> None:
        """A second proposal of one leader in one round: sent again, or evidence."""
        parts, block = self._parts, proposal.block
        if known.id != block.id:
            self._require_news("proposal", block.round, block.proposer)
            parts.certificates.proposer(block, proposal.signature)
            self._reported.add(("proposal", block.round, block.proposer))
            raise RefusedError(f"second proposal of member {block.proposer} in {block.round}")
        node = parts.chain.tree.get(block.id)
        if node is not None and node.verified is not None:
            self._vote(node, parts.certificates.proposer(block, proposal.signature))

    def _adopt(self, entry: VerifiedEntry) -> None:
        adopt_qc(self._parts, entry.justify)
        if entry.tc is not None:
            adopt_tc(self._parts, entry.tc)

    def _require_leader(self, block: Block) -> None:
        """Refuse a block that is not by its round's leader, as far as that is known by now.

        What its parent records decides that, so while the parent is missing here nobody knows; the
        block is parked and asked again when it enters the tree, before it gets a vote.
        """
        leader = self._leader_of(block)
        if leader is not None and block.proposer != leader:
            raise RefusedError(
                f"round {block.round} is led by {leader}, not by member {block.proposer}"
            )

    def _leader_of(self, block: Block) -> MemberIndex | None:
        """Who leads the round of `block`, by what enters it; None while its parent is missing."""
        parts = self._parts
        if block.tc is not None:
            return parts.chain.schedule.after_tc(block.round)
        parent = parts.chain.tree.get(block.parent_id)
        return self._next_leader(parent) if parent is not None else None

    def _vote(self, node: Node, proposers: Vote) -> None:
        """Vote for a block in the tree, unless a rule says no."""
        parts, block = self._parts, node.block
        collectors = self.collectors(node)
        if parts.me in collectors:
            self.count(proposers, is_verified=True)
        if block.round != parts.rounds.round or parts.kernel.record.is_follower:
            return
        try:
            self._require_votable(block)
            assert node.verified is not None, "only the root comes from elsewhere"
            vote = parts.kernel.vote(node.verified)
        except RefusedError as error:
            parts.results.fact(
                facts.VOTE_REFUSED, round=block.round, proposer=block.proposer, reason=str(error)
            )
            return
        parts.certificates.remember_vote(vote)
        parts.chain.persist(node, parts.results)
        parts.results.send(tuple(each for each in collectors if each != parts.me), vote)
        if parts.me in collectors:
            self.count(vote, is_verified=True)

    def _require_votable(self, block: Block) -> None:
        """What depends on the moment and on this replica, not on the block alone."""
        parts = self._parts
        self._require_leader(block)
        ahead_ms = block.time_ms - parts.now_ms
        if ahead_ms > parts.limits.time_ahead_ms_max and not self._is_as_old_as_its_parent(block):
            raise RefusedError(f"round {block.round} is {ahead_ms} ms ahead of this clock")
        if parts.sync.is_active:
            raise RefusedError(f"round {block.round}: no votes while catching up")
        if self.is_refused(block.proposer):
            raise RefusedError(f"leader {block.proposer} leaves out batches that wait")

    def _is_as_old_as_its_parent(self, block: Block) -> bool:
        """True if it moves the chain's time no further: a quorum has taken that time for right.

        Where all clocks were ahead and have been set right, no leader can do any better.
        """
        parent = self._parts.chain.tree.get(block.parent_id)
        return parent is not None and block.time_ms == parent.block.time_ms

    def _report_two_votes(self, conflict: TwoVotes) -> None:
        """Two votes of one member in one round are evidence if both signatures hold."""
        parts, second = self._parts, conflict.second
        try:
            self._require_news("vote", second.round, second.voter)
            parts.certificates.vote(conflict.first)
            parts.certificates.vote(second)
        except ForgedError:
            forged(parts, second.voter)
        except RefusedError:
            return
        else:
            self._reported.add(("vote", second.round, second.voter))

    def _contradicts(self, voter: MemberIndex, round_: Round, block_id: BlockId) -> bool:
        witness = self._parts.certificates.witness
        return witness.contradicts(voter, round_=round_, block_id=block_id)

    def _next_leader(self, certified: Node) -> MemberIndex:
        record = certified.state.leader_record
        return self._parts.chain.schedule.after_qc(certified.block, record)

    def _require_news(self, kind: str, round_: Round, member: MemberIndex) -> None:
        """Refuse a third and fourth of what a member was shown to have made two of."""
        if (kind, round_, member) in self._reported:
            raise RefusedError(f"one more {kind} of member {member} in {round_}")

    def _term(self, round_: Round) -> int:
        return round_ // self._parts.limits.term_rounds
