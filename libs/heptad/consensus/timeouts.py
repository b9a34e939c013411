"""Collecting time-outs of the current round into a time-out certificate.

Only the current round is collected. That loses nothing: a time-out of a later round shows the
certificate that entered that round, which is adopted first and makes that round the current one.
And it cannot mix rounds: f + 1 time-outs of *one* round are what makes a replica join.
"""

from typing import Final

from heptad.consensus.certificates import Certificates
from heptad.consensus.committee import Committee
from heptad.consensus.verified import VerifiedTC, VerifiedTimeout
from heptad.model.ids import MemberIndex, Round

REPLACED_MAX: Final = 8
"""So many times may a member say one round's time-out again with a higher certificate."""


class TimeoutCollector:
    """Verified time-outs of one round, by member."""

    def __init__(self, certificates: Certificates, committee: Committee) -> None:
        self._certificates = certificates
        self._committee = committee
        self._round = Round(0)
        self._timeouts: dict[MemberIndex, VerifiedTimeout] = {}
        self._replaced: dict[MemberIndex, int] = {}

    def enter(self, round_: Round) -> None:
        """Begin to collect for this round; those of earlier ones are of no use any more."""
        self._round = round_
        self._timeouts = {}
        self._replaced = {}

    def is_known(self, voter: MemberIndex, high_qc_round: Round) -> bool:
        """True if this member's time-out is here with a QC no lower: nothing new to verify.

        Nor is one that has been replaced often enough: each valid one would cost a signature, and
        a member can make as many as there are old certificates.
        """
        known = self._timeouts.get(voter)
        if known is None:
            return False
        is_worn_out = self._replaced.get(voter, 0) >= REPLACED_MAX
        return is_worn_out or known.timeout.high_qc.round >= high_qc_round

    def add(self, verified: VerifiedTimeout) -> None:
        """Take in a time-out of the current round; a second one of a member replaces its first."""
        assert verified.timeout.round == self._round, (verified.timeout.round, self._round)
        voter = verified.timeout.voter
        if voter in self._timeouts:
            self._replaced[voter] = self._replaced.get(voter, 0) + 1
        self._timeouts[voter] = verified

    def must_join(self) -> bool:
        """True if f + 1 members, so at least one honest one, have given up on this round."""
        return len(self._timeouts) > self._committee.f

    def certificate(self) -> VerifiedTC | None:
        """The time-out certificate if a quorum of members has given up."""
        if len(self._timeouts) < self._committee.quorum:
            return None
        chosen = sorted(self._timeouts.items())[: self._committee.quorum]
        return self._certificates.tc_of_timeouts([verified for _, verified in chosen])
