"""Time-outs: when this replica gives up on a round, and what it does with those of others.

The timer runs while there is work: a proposal that waits for its parts, a block with entries that
its chain does not commit yet, a batch that was offered to everybody, or a proof of misbehaviour
that the log lacks. f + 1 time-outs of the current round make a replica join; a quorum makes a
certificate and a new round. A time-out is said again while there is work, because the first ones
may be lost, and whoever has none left says it again to those that have.
"""

from dataclasses import dataclass

from heptad.consensus import facts
from heptad.consensus.core.accusing import tell_again, testify
from heptad.consensus.core.adopting import adopt_qc, adopt_tc
from heptad.consensus.core.answering import Answers
from heptad.consensus.core.parts import Parts
from heptad.consensus.core.voting import Voting
from heptad.consensus.errors import RefusedError
from heptad.consensus.messages import Certificates as CertificatesMessage
from heptad.consensus.objects import QC, TC, Timeout
from heptad.consensus.tree import Node
from heptad.consensus.waiting import WaitingBatches
from heptad.model.ids import MemberIndex, Round

_ROUNDS_OF_PROOF = 2
"""So many rounds must a leader have got certified before it can be said to leave something out."""


@dataclass(frozen=True, slots=True)
class Tenure:
    """Since when one leader leads, by this replica's clock, and from which round on."""

    leader: MemberIndex | None
    since_ms: int
    since_round: Round


class GivingUp:
    """The round's timer, and time-outs in and out."""

    def __init__(self, parts: Parts, voting: Voting, answers: Answers) -> None:
        self._parts = parts
        self._voting = voting
        self._answers = answers
        self._waiting = WaitingBatches(
            limits=parts.limits, pool=parts.chain.pool, others=parts.others
        )
        self._tenure = Tenure(None, 0, parts.rounds.round)
        self._has_work = False
        self.count = 0
        """Rounds that this replica has given up on since its start."""
        self.wake_ms: int | None = None
        """When a waiting batch is to be offered, or a leader judged; None if none waits."""

    def on_timeout(self, sender: MemberIndex, timeout: Timeout) -> bool:
        """A member gives up on a round; False if that is all. Raises: RefusedError."""
        parts = self._parts
        if sender != timeout.voter:
            raise RefusedError(f"time-out of member {timeout.voter} sent by {sender}")
        if timeout.round < parts.rounds.round and not self._is_news(timeout.high_qc, timeout.tc):
            self._answers.answer(sender)
            return False
        is_current = timeout.round == parts.rounds.round
        if timeout.high_qc.round < parts.rounds.high_qc.qc.round:
            # It may hold on to its round only because it was never shown what commits the last one.
            self._answers.answer(sender)
        if is_current and parts.rounds.timeouts.is_known(sender, timeout.high_qc.round):
            return self._repeat_if_due()
        verified = parts.certificates.timeout(timeout)
        has_news = is_current and self._repeat_if_due()
        has_news |= adopt_qc(parts, verified.high_qc)
        if verified.tc is not None:
            has_news |= adopt_tc(parts, verified.tc)
        if timeout.round < parts.rounds.round:
            self._answers.answer(sender)
            return has_news
        parts.rounds.timeouts.add(verified)
        return self._count() or has_news

    def on_certificates(self, sender: MemberIndex, message: CertificatesMessage) -> bool:
        """A member tells its highest certificates; True if they are news. Raises: RefusedError."""
        parts, tc = self._parts, message.highest_tc
        is_news = self._is_news(message.high_qc, tc)
        if is_news:
            adopt_qc(parts, parts.certificates.qc(message.high_qc))
            if tc is not None and tc.round > parts.rounds.highest_tc_round:
                adopt_tc(parts, parts.certificates.tc(tc))
        entered = max(message.high_qc.round, tc.round if tc is not None else 0) + 1
        is_behind = message.high_qc.round < parts.rounds.high_qc.qc.round
        if entered < parts.rounds.round or is_behind:
            self._answers.answer(sender)
        return is_news

    def watch(self) -> None:
        """See whether there is work, and run the timer accordingly."""
        parts = self._parts
        self._follow_leader()
        self.wake_ms = None
        has_work = parts.chain.parked.has_proposal(parts.rounds.round)
        tip = parts.chain.tree.get(parts.rounds.high_qc.qc.block_id)
        if tip is not None:
            front = self._voting.front(tip)
            has_work |= tip.is_unproven or not front.block.is_empty
            has_work |= parts.docket.has_open(front.state.proven)
            has_work |= self._watch_waiting(front)
        self._has_work = has_work
        parts.rounds.pacemaker.run(has_work=has_work, now_ms=parts.now_ms)

    def give_up_if_due(self) -> bool:
        """Give up on the round, or say so again, if it is time; True if that was said."""
        parts, pacemaker = self._parts, self._parts.rounds.pacemaker
        due_ms = pacemaker.due_ms()
        is_due = due_ms is not None and due_ms <= parts.now_ms
        is_refused = self._has_work and self._voting.is_refused(self._tenure.leader)
        if is_due or (is_refused and not pacemaker.has_timed_out):
            self._give_up(by="clock")
            return True
        return False

    def _is_news(self, high_qc: QC, tc: TC | None) -> bool:
        rounds = self._parts.rounds
        if high_qc.round > rounds.high_qc.qc.round:
            return True
        return tc is not None and tc.round >= rounds.round

    def _repeat_if_due(self) -> bool:
        """Somebody still gives up on this round, and may have missed that this replica did."""
        is_due = self._parts.rounds.pacemaker.must_repeat(self._parts.now_ms)
        if is_due:
            self._give_up(by="clock")
        return is_due

    def _count(self) -> bool:
        """Join f + 1 others; at a quorum, enter the next round. True if either was done."""
        parts = self._parts
        if parts.rounds.timeouts.must_join() and not parts.rounds.pacemaker.has_timed_out:
            self._give_up(by="others")
            return True
        verified = parts.rounds.timeouts.certificate()
        return verified is not None and adopt_tc(parts, verified)

    def _give_up(self, *, by: str) -> None:
        parts, rounds = self._parts, self._parts.rounds
        is_first = not rounds.pacemaker.has_timed_out
        rounds.pacemaker.timed_out(parts.now_ms)
        if parts.kernel.record.is_follower:
            # It cannot give up, only ask: whoever knows more answers with its certificates.
            parts.results.send(parts.others, rounds.message())
            return
        try:
            timeout = parts.kernel.timeout(rounds.round)
        except RefusedError as error:
            parts.results.fact(
                facts.VOTE_REFUSED, round=rounds.round, proposer=-1, reason=str(error)
            )
            return
        if is_first:
            self.count += 1
            leader = self._tenure.leader
            parts.results.fact(
                facts.ROUND_TIMED_OUT,
                round=rounds.round,
                leader=-1 if leader is None else leader,
                by=by,
            )
        else:
            self._offer_again()
            tell_again(parts, parts.others)
        parts.results.send(parts.others, timeout)
        for leader in self._voting.leaders_heard():
            testify(parts, leader)
        rounds.timeouts.add(parts.certificates.timeout(timeout))
        self._count()

    def _offer_again(self) -> None:
        parts = self._parts
        tip = parts.chain.tree.get(parts.rounds.high_qc.qc.block_id)
        if tip is not None:
            self._waiting.offer(
                tip.state.positions, now_ms=parts.now_ms, again=True, results=parts.results
            )

    def _watch_waiting(self, front: Node) -> bool:
        """Offer batches that have waited; True if one that was offered still waits."""
        parts, positions = self._parts, front.state.positions
        oldest = self._waiting.oldest(positions)
        if oldest is None:
            return False
        offered_ms = oldest.offered_ms
        if offered_ms is None:
            pacemaker = parts.rounds.pacemaker
            due_ms = self._waiting.offer_at_ms(oldest, pacemaker.round_ms)
            if parts.now_ms < due_ms and not pacemaker.leader_is_lost:
                self.wake_ms = due_ms
                return False
            offered_ms = parts.now_ms
            self._waiting.offer(positions, now_ms=parts.now_ms, again=False, results=parts.results)
        if self._waiting.is_left_out(oldest, front.block):
            self._judge_leader(offered_ms)
        return True

    def _judge_leader(self, offered_ms: int) -> None:
        """Refuse a leader whose rounds have long gone on without a batch that everybody has."""
        parts, tenure = self._parts, self._tenure
        if tenure.leader in (None, parts.me) or self._voting.is_refused(tenure.leader):
            return
        certified = parts.rounds.high_qc.qc.round - tenure.since_round
        if certified < _ROUNDS_OF_PROOF:
            return
        patience_ends_ms = max(offered_ms, tenure.since_ms) + parts.limits.censored_after_ms
        if parts.now_ms < patience_ends_ms:
            self.wake_ms = patience_ends_ms
            return
        assert tenure.leader is not None, "checked above"
        self._voting.refuse(tenure.leader)
        parts.results.fact(
            facts.LEADER_REFUSED,
            leader=tenure.leader,
            round=parts.rounds.round,
            waited_ms=parts.now_ms - offered_ms,
        )

    def _follow_leader(self) -> None:
        parts = self._parts
        leader = parts.rounds.leader(parts.chain.tree)
        parts.rounds.pacemaker.follow(leader)
        if leader is not None and leader != self._tenure.leader:
            self._tenure = Tenure(leader, parts.now_ms, parts.rounds.round)
