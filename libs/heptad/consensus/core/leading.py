"""What a leader does: propose, pace, flush, and share certificates that no proposal carries.

- Under load a proposal goes out at its pace (`heptad.consensus.pace`) with all that has arrived;
  from idle, at once.
- Behind the last block with batches goes one empty block, so that it commits; or more of them,
  until two certified blocks of consecutive rounds stand behind it on its own chain.
- A proof of misbehaviour that the log does not hold goes into the next block, and is reason enough
  to make one.
- A certificate that was collected here is broadcast if nothing is proposed with it now, and others
  gain by it: it commits something, or there is nothing left to propose.
"""

from heptad.consensus import facts
from heptad.consensus.core.parts import Parts
from heptad.consensus.core.voting import Voting
from heptad.consensus.errors import RefusedError
from heptad.consensus.messages import Proposal
from heptad.consensus.pace import Pace
from heptad.consensus.tree import Node


class Leading:
    """Proposes when this replica leads."""

    def __init__(self, parts: Parts, voting: Voting) -> None:
        self._parts = parts
        self._voting = voting
        self._pace = Pace(parts.limits)
        self.wake_ms: int | None = None
        """When a proposal that waits for its pace is due; None if none waits."""

    def propose(self) -> bool:
        """Propose if it is my turn and there is a reason; True if something was proposed."""
        self.wake_ms = None
        tip = self._tip_to_extend()
        if tip is None:
            return False
        parts = self._parts
        self._pace.certified(tip.block.round, parts.now_ms)
        has_batches = parts.chain.pool.oldest(tip.state.positions) is not None
        if not (has_batches or tip.is_unproven or parts.docket.has_open(tip.state.proven)):
            return False
        due_ms = self._pace.due_ms(has_batches=has_batches)
        if parts.now_ms < due_ms:
            self.wake_ms = due_ms
            if has_batches:
                self._pace.hold()
            return False
        return self._propose_on(tip)

    def share(self) -> None:
        """Broadcast a certificate that no proposal has carried, if the others gain by it now."""
        parts, verified = self._parts, self._voting.qc_to_share
        if verified is None:
            return
        commits = any(not commit.block.is_empty for commit in parts.results.commits)
        if commits or self.wake_ms is None:
            parts.results.send(parts.others, parts.rounds.message())
            self._voting.qc_to_share = None

    def _tip_to_extend(self) -> Node | None:
        """The highest certified block, if I lead this round and have not acted in it yet."""
        parts, record = self._parts, self._parts.kernel.record
        if parts.rounds.leader(parts.chain.tree) != parts.me or parts.sync.is_active:
            return None
        if record.is_follower:
            return None
        round_ = parts.rounds.round
        if max(record.round_proposed, record.round_voted, record.round_timed_out) >= round_:
            return None
        return parts.chain.tree.get(parts.rounds.high_qc.qc.block_id)

    def _propose_on(self, tip: Node) -> bool:
        parts, rounds = self._parts, self._parts.rounds
        batches = parts.chain.pool.select(tip.state.positions)
        try:
            verified = parts.chain.validity.build(
                round_=rounds.round,
                proposer=parts.me,
                time_ms=parts.now_ms,
                parent=tip,
                justify=rounds.high_qc,
                tc=rounds.entry_tc,
                batches=batches,
                control=parts.docket.proposable(tip.state.proven),
            )
            vote = parts.kernel.propose(verified)
            parts.certificates.remember_vote(vote)
        except RefusedError as error:
            parts.results.fact(
                facts.VOTE_REFUSED, round=rounds.round, proposer=parts.me, reason=str(error)
            )
            return False
        self._pace.proposed(rounds.round, parts.now_ms, has_batches=bool(batches))
        node = parts.chain.insert_own(verified, keep=tip.block.id)
        parts.chain.persist(node, parts.results)
        parts.results.send(parts.others, Proposal(node.block, vote.signature))
        self._voting.proposed(node, vote)
        return True
