"""What a history must never show, by name: the first violation ends the history."""

from enum import Enum


class Broken(Enum):
    """Which promise was broken."""

    FORK = "fork"
    """Two replicas committed different blocks at one height."""
    TWO_CERTIFICATES = "two_certificates"
    """Two blocks of one round were both certified."""
    LOST = "lost"
    """A committed entry is no longer where it was, or a quorum does not hold it."""
    TWICE = "twice"
    """A batch or a record was committed twice, or out of its validator's order."""
    INVENTED = "invented"
    """A batch was committed that no validator sent."""
    LEADER = "leader"
    """A block was committed that its round's leader did not make."""
    STATE = "state"
    """Two replicas stand differently after one block, or otherwise than the headers say."""
    HEAD = "head"
    """A block's log head is not that of its batches."""
    UNPROVEN = "unproven"
    """A commit was told without a commit proof that holds."""
    TWO_VOTES = "two_votes"
    """An honest member voted for two blocks of one round."""
    SIGNED_UNRECORDED = "signed_unrecorded"
    """A replica that has lost its safety record signed something with its key."""
    VOTE_RULE = "vote_rule"
    """An honest member voted or timed out where the rules forbid it."""
    NOT_DURABLE = "not_durable"
    """Something was said before it was on disk."""
    COSIGNATURE = "cosignature"
    """Cosigned heads went backwards, or one was never committed."""
    STORE = "store"
    """The driver asked its store for something that makes no sense."""
    CRASH = "crash"
    """Honest code raised, or went on after its disk had failed."""
    REFUSED = "refused"
    """An honest validator's batch was called invalid."""
    ACCUSED = "accused"
    """Evidence was reported against somebody honest."""
    DISAGREED = "disagreed"
    """An honest replica finds wrong what a quorum has certified."""
    SPECIFICATION = "specification"
    """An honest member did what the specification of the rules does not allow."""
    STUCK = "stuck"
    """After the faults stopped, not everything was committed within the bound."""
    RESTLESS = "restless"
    """With nothing left to do, replicas did not fall silent."""


class ViolationError(Exception):
    """A promise was broken; `detail` says by whom and with which numbers."""

    def __init__(self, broken: Broken, detail: str) -> None:
        super().__init__(f"{broken.value}: {detail}")
        self.broken = broken
        self.detail = detail
