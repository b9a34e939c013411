"""Who leads a round: a function of the certificate that enters it, so nobody can disagree.

A leader that works stays (its own next round starts with its own QC: two message delays a round
instead of three) until its term of K rounds ends. Then the next scheduled member leads, leaving out
those that failed lately. A round that is entered by a time-out certificate goes to
members[round mod n], with no exclusions, so that every member comes in turn.

Failures are read off the chain itself, never off local commit state, on which replicas may differ:
where a block's round does not follow its parent's, the rounds between failed, and their leaders are
known: the first by the QC rule from the parent, the others by the TC rule. A member is in good
standing again once it has led a whole term, of which no round failed: one certified block would not
do, nor the last of a term, for then a leader that makes a block now and then, and is silent in
between, would never be left out.
"""

from dataclasses import dataclass

from heptad.consensus.committee import Committee
from heptad.consensus.leader_record import STRIKES_MAX, Failure, LeaderRecord
from heptad.consensus.objects import Block
from heptad.model.ids import MemberIndex, Round


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rule for one group. `term_rounds` is K: all replicas of a cell must have the same."""

    committee: Committee
    term_rounds: int

    def after_qc(self, certified: Block, record: LeaderRecord) -> MemberIndex:
        """The leader of `certified.round + 1` when it is entered by the certificate of `certified`.

        `record` is the one that stands after `certified`. Within a term it is the block's proposer,
        at a term's start the next scheduled member that did not fail lately.
        """
        entered = certified.round + 1
        if entered % self.term_rounds:
            return certified.proposer
        term, n = entered // self.term_rounds, self.committee.n
        excluded = self.excluded(record, term)
        members = (MemberIndex((term + later) % n) for later in range(n))
        return next(member for member in members if member not in excluded)

    def after_tc(self, entered: Round) -> MemberIndex:
        """The leader of `entered` when the time-out certificate of the round before enters it."""
        return MemberIndex(entered % self.committee.n)

    def excluded(self, record: LeaderRecord, term: int) -> frozenset[MemberIndex]:
        """Who is left out of the schedule in `term`: at most f, those that failed last."""
        n, term_rounds = self.committee.n, self.term_rounds
        lately = [
            failure
            for failure in record.failures
            if failure.is_lately(term, n=n, term_rounds=term_rounds)
        ]
        lately.sort(key=lambda failure: failure.round, reverse=True)
        return frozenset(failure.member for failure in lately[: self.committee.f])

    def record_after(
        self, record: LeaderRecord, *, parent: Block, round_: Round, proposer: MemberIndex
    ) -> LeaderRecord:
        """The record after a block of `round_` by `proposer` on `parent`, where `record` stands."""
        if round_ > parent.round + 1:
            failed = Round(parent.round + 1)
            first = self.after_qc(parent, record)
            record = self._with_failure(record, first, failed)
        # However many rounds failed one after the other: the last n name everybody.
        for skipped in range(max(parent.round + 2, round_ - self.committee.n), round_):
            failed = Round(skipped)
            record = self._with_failure(record, self.after_tc(failed), failed)
        ends_term = (round_ + 1) % self.term_rounds == 0
        # Where no round of the term failed, who ends it has led all of it.
        if ends_term and not record.has_failed_since(Round(round_ + 1 - self.term_rounds)):
            record = record.changed(proposer, None)
        return record

    def _with_failure(
        self, record: LeaderRecord, member: MemberIndex, failed: Round
    ) -> LeaderRecord:
        known, term = record.of(member), failed // self.term_rounds
        strikes = known.strikes if known is not None else 0
        if known is None or not known.is_lately(
            term, n=self.committee.n, term_rounds=self.term_rounds
        ):
            strikes = min(strikes + 1, STRIKES_MAX)
        return record.changed(member, Failure(member, strikes, failed))
