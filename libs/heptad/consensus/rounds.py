"""Which round it is, why, and who leads it.

The round is never chosen: it is max(high_qc.round, highest_tc.round) + 1, so it follows from two
certificates, and a restart or a peer's message brings a replica to the right round by itself.
"""

from typing import Protocol

from heptad.consensus.certificates import Certificates
from heptad.consensus.committee import Committee
from heptad.consensus.leaders import Schedule
from heptad.consensus.limits import Limits
from heptad.consensus.messages import Certificates as CertificatesMessage
from heptad.consensus.objects import SafetyRecord
from heptad.consensus.pacemaker import Pacemaker
from heptad.consensus.timeouts import TimeoutCollector
from heptad.consensus.tree import BlockTree
from heptad.consensus.verified import VerifiedQC, VerifiedTC
from heptad.consensus.votes import VoteCollector
from heptad.model.ids import MemberIndex, Round


class Learner(Protocol):
    """The kernel, as far as it is told of certificates: it must know them before it signs."""

    def learn_qc(self, verified: VerifiedQC) -> None:
        """Raise high_qc, if this one is higher."""
        ...

    def learn_tc(self, verified: VerifiedTC) -> None:
        """Raise highest_tc, if this one is higher."""
        ...


class Rounds:
    """The highest certificates, and all that is reset when they enter a new round."""

    def __init__(
        self,
        *,
        committee: Committee,
        limits: Limits,
        record: SafetyRecord,
        learner: Learner,
        certificates: Certificates,
    ) -> None:
        """Enter the round that follows the kernel's record. Raises: RefusedError."""
        self._schedule = Schedule(committee, limits.term_rounds)
        self._learner = learner
        self._window = limits.round_window
        self.high_qc = certificates.qc(record.high_qc)
        self.highest_tc = (
            certificates.tc(record.highest_tc) if record.highest_tc is not None else None
        )
        self.votes = VoteCollector(certificates, quorum=committee.quorum)
        self.timeouts = TimeoutCollector(certificates, committee)
        self.pacemaker = Pacemaker(limits)
        self.certified_count = 0
        self.round = self._following()
        self._leader: MemberIndex | None = None
        """Who leads this round, once it is known: it depends on the two certificates alone."""
        self.timeouts.enter(self.round)

    @property
    def highest_tc_round(self) -> Round:
        """The round of the highest time-out certificate; 0 if there was none."""
        return self.highest_tc.tc.round if self.highest_tc is not None else Round(0)

    @property
    def entered_by_qc(self) -> bool:
        """True if high_qc is of the round before; else highest_tc is."""
        return self.high_qc.qc.round + 1 == self.round

    @property
    def entry_tc(self) -> VerifiedTC | None:
        """The TC that a block of this round must carry, or None."""
        return None if self.entered_by_qc else self.highest_tc

    def message(self) -> CertificatesMessage:
        """My highest certificates, for a peer that is behind."""
        tc = self.entry_tc
        return CertificatesMessage(self.high_qc.qc, tc.tc if tc is not None else None)

    def leader(self, tree: BlockTree) -> MemberIndex | None:
        """Who leads this round; None if the block that decides it is not in `tree` yet."""
        if self._leader is None:
            self._leader = self._scheduled(tree)
        return self._leader

    def adopt_qc(self, verified: VerifiedQC, now_ms: int) -> bool:
        """Learn a certificate; True if it is higher than any before. May enter a new round."""
        self._learner.learn_qc(verified)
        if verified.qc.round <= self.high_qc.qc.round:
            return False
        self.high_qc, self._leader = verified, None
        self.votes.forget(up_to=verified.qc.round)
        if self._following() > self.round:
            self.certified_count += 1
            self._enter(by_tc=False, now_ms=now_ms)
        return True

    def adopt_tc(self, verified: VerifiedTC, now_ms: int) -> bool:
        """The same for a time-out certificate, after the quorum certificate in it."""
        self._learner.learn_tc(verified)
        if verified.tc.round <= self.highest_tc_round:
            return False
        self.highest_tc = verified
        if self._following() > self.round:
            self._enter(by_tc=True, now_ms=now_ms)
        return True

    def _enter(self, *, by_tc: bool, now_ms: int) -> None:
        self.round, self._leader = self._following(), None
        self.votes.forget(up_to=Round(self.round - self._window))
        self.timeouts.enter(self.round)
        self.pacemaker.enter(by_tc=by_tc, now_ms=now_ms)

    def _scheduled(self, tree: BlockTree) -> MemberIndex | None:
        if not self.entered_by_qc:
            return self._schedule.after_tc(self.round)
        certified = tree.get(self.high_qc.qc.block_id)
        if certified is None:
            return None
        return self._schedule.after_qc(certified.block, certified.state.leader_record)

    def _following(self) -> Round:
        return Round(max(self.high_qc.qc.round, self.highest_tc_round) + 1)
