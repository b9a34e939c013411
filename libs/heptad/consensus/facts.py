"""Names of the facts that the core reports; the shell makes log lines and metrics of them."""

from typing import Final

MESSAGE_REFUSED: Final = "message_refused"
"""A peer's message was malformed or invalid. Fields: sender, reason."""

PEER_IGNORED: Final = "peer_ignored"
"""A member or validator has forged too often. Fields: member or validator, for_ms."""

MESSAGES_DROPPED: Final = "messages_dropped"
"""Messages that were not read: their sender is ignored, or has used up its share of this replica.

Fields: member or validator, count, why (ignored or allowance).
"""

VOTE_REFUSED: Final = "vote_refused"
"""This replica gave a proposal no vote. Fields: round, proposer, reason."""

EVIDENCE: Final = "evidence"
"""A proof that somebody signed two things where one is allowed; once for each charge.

Fields: member (index) or validator (number), accused (its name), offence (blocks, heads, batches),
proof (bytes, see `heptad.consensus.evidence`).
"""

ROUND_TIMED_OUT: Final = "round_timed_out"
"""This replica gave up on a round.

Fields: round, leader (-1 where not known), by (clock, or others: f + 1 had given up before it).
"""

ROUND_ENTERED: Final = "round_entered"
"""Fields: round, by (qc or tc)."""

LEADER_REFUSED: Final = "leader_refused"
"""A leader leaves out a batch that has waited too long. Fields: leader, round, waited_ms."""

CATCHING_UP: Final = "catching_up"
"""Fields: height (mine), target_height."""

STRANDED: Final = "stranded"
"""All were asked twice for the next committed block, in vain. Told once, until a commit.

Nobody is heard; or nobody holds it, nor what leads on from here. Fields: height, target_height.
"""

CLOCK_BEHIND: Final = "clock_behind"
"""A quorum has certified a block of a time well ahead of this clock, so it is not ahead of theirs.

Fields: time_ms (the block's), ahead_ms.
"""

RECORD_LOST: Final = "record_lost"
"""This member's key has signed what its record does not know: from now on it only follows.

It was said to be new, or its disk is an older copy. Fields: round (the last one in which it has
signed, as far as was seen), round_known (the last one by its record; 0: none).
"""

JUMPED: Final = "jumped"
"""The blocks in between are gone everywhere: this replica has jumped over them.

Fields: height (before), to_height, size (before), to_size (of the log).
"""

CERTIFIED_BLOCK_INVALID: Final = "certified_block_invalid"
"""A quorum certified what this replica finds wrong: more than f are faulty, or one of us has a
bug. The block is not adopted. Fields: round, height, reason."""

COSIGN_REFUSED: Final = "cosign_refused"
"""A committed head is inconsistent with one cosigned before: the log forked. Fields: size, reason.
"""
