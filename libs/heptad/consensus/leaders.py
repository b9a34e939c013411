"""Who leads a round: a function of the certificate that enters it, so nobody can disagree.

A leader that works stays (its own next round starts with its own QC: two message delays a round
instead of three) until its term of K rounds ends. A round that is entered by a time-out certificate
goes to members[round mod n], with no exclusions, so that every member comes in turn.
"""

from heptad.consensus.objects import Block
from heptad.model.ids import MemberIndex, Round


def leader_after_qc(certified: Block, *, n: int, term_rounds: int) -> MemberIndex:
    """The leader of `certified.round + 1` when it is entered by the certificate of `certified`.

    Within a term it is the block's proposer; at a term's start the next scheduled member. (Members
    that failed lately, as the block's ancestors record it, are to be left out of the schedule.)
    """
    entered = certified.round + 1
    if entered % term_rounds:
        return certified.proposer
    return MemberIndex((entered // term_rounds) % n)


def leader_after_tc(entered: Round, *, n: int) -> MemberIndex:
    """The leader of `entered` when the time-out certificate of the round before enters it."""
    return MemberIndex(entered % n)
