"""What a member has said, it keeps to: one vote a round, no vote after a time-out, nothing early.

A *promise* is a vote, a time-out, a proposal or a cosignature that has left a machine. The checker
reads promises off the messages themselves and looks them up on the machine's disk, in the safety
record's own bytes: the record keeps the last of each whole, so a promise that is not in it was
made before it was durable. It does not know the record's format, and need not.

Votes that a leader gives itself never travel alone; they show up inside certificates, so every
certificate that an honest machine lets out is taken apart too. That two blocks of one round are
never both certified is the invariant all else rests on, and it breaks long before logs fork.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heptad.consensus.messages import Certificates, Message, Proposal
from heptad.consensus.objects import QC, Block, Cosignature, LogHead, Timeout, Vote
from heptad.model.ids import BlockId, MemberIndex, Round
from heptad.simulation.log_checker import LogChecker
from heptad.simulation.violations import Broken, ViolationError

if TYPE_CHECKING:
    from heptad.simulation.checkers import Watched


class Promises:
    """What one machine has said so far.

    `justify_round` is the highest certificate that it has voted on; a time-out that claims less
    would let the others skip what this member helped to lock. `unsettled` are bytes that must be in
    the safety record when the wave is over, by what they belong to.
    """

    __slots__ = (
        "cosigned",
        "justify_round",
        "round_timed_out",
        "round_voted",
        "unsettled",
    )

    def __init__(self) -> None:
        self.round_voted = Round(0)
        self.round_timed_out = Round(0)
        self.justify_round = Round(0)
        self.cosigned: LogHead | None = None
        self.unsettled: dict[str, bytes] = {}


class PromiseChecker:
    """Remembers the promises of all watched machines. Any method may raise ViolationError."""

    def __init__(
        self, *, log: LogChecker, honest: frozenset[MemberIndex], is_tolerable: bool
    ) -> None:
        self.round_max = Round(0)
        self._log = log
        self._honest = honest
        self._is_tolerable = is_tolerable
        self._promises: dict[int, Promises] = {}
        self._votes: dict[tuple[int, Round], BlockId] = {}
        self._certified: dict[Round, BlockId] = {}
        self._qcs_seen: set[bytes] = set()
        self._followers: set[int] = set()

    def watch(self, who: "Watched") -> None:
        """Remember what `who` says from now on."""
        self._promises[who.key] = Promises()

    def follows(self, who: "Watched") -> None:
        """`who` does not know what its key has signed: it must sign nothing from now on."""
        self._followers.add(who.key)

    def released(self, who: "Watched", message: Message) -> None:
        """Take in one message that leaves `who`."""
        if who.key in self._followers and isinstance(message, Vote | Proposal | Timeout):
            raise ViolationError(
                Broken.SIGNED_UNRECORDED, f"{who.name} sends a {type(message).__name__}"
            )
        match message:
            case Vote(round=round_, block_id=block_id, signature=signature):
                self._vote(who, round_, block_id, signature)
            case Proposal(block, signature):
                self._certificate(block.justify)
                self._vote(who, block.round, block.id, signature)
            case Timeout():
                self._certificate(message.high_qc)
                self._timeout(who, message)
            case Certificates(high_qc, _):
                self._certificate(high_qc)

    def cosigned(self, who: "Watched", cosignatures: Sequence[Cosignature]) -> None:
        """Heads only grow, each was committed, and the signature under it holds."""
        promises = self._promises[who.key]
        if who.key in self._followers:
            raise ViolationError(Broken.SIGNED_UNRECORDED, f"{who.name} cosigns a head")
        for cosignature in cosignatures:
            head, last = cosignature.head, promises.cosigned
            if last is not None and head.size < last.size:
                raise ViolationError(
                    Broken.COSIGNATURE, f"{who.name} cosigns size {head.size} after {last.size}"
                )
            if not self._log.is_committed_head(head):
                raise ViolationError(
                    Broken.COSIGNATURE, f"{who.name} cosigns a head of size {head.size} unheard of"
                )
            if cosignature.member != who.member or not self._log.is_signed(cosignature):
                raise ViolationError(
                    Broken.COSIGNATURE, f"{who.name}'s cosignature of size {head.size} is not its"
                )
            promises.cosigned = head
            promises.unsettled["cosignature"] = head.root

    def settled(self, who: "Watched", *, is_whole: bool) -> None:
        """The wave is over: its last promises of each sort must be in the durable record.

        Of a wave that was cut off (`is_whole` is False) the record may hold later ones that were
        never let out, so nothing can be said.
        """
        unsettled = self._promises[who.key].unsettled
        if not is_whole:
            unsettled.clear()
        if not unsettled:
            return
        record = who.disk.record or b""
        for what, trace in unsettled.items():
            if trace not in record:
                raise ViolationError(Broken.NOT_DURABLE, f"{who.name}: a {what} not in its record")
        unsettled.clear()

    def _vote(self, who: "Watched", round_: Round, block_id: BlockId, signature: bytes) -> None:
        voted = self._votes.get((who.key, round_))
        if voted == block_id:
            return
        if voted is not None:
            raise ViolationError(Broken.TWO_VOTES, f"{who.name} votes twice in round {round_}")
        promises = self._promises[who.key]
        if round_ <= promises.round_voted or round_ <= promises.round_timed_out:
            raise ViolationError(
                Broken.VOTE_RULE,
                f"{who.name} votes in round {round_} after a vote in {promises.round_voted} and a "
                f"time-out of {promises.round_timed_out}",
            )
        block = who.disk.header(block_id)
        if block is None or not who.disk.holds(block):
            raise ViolationError(
                Broken.NOT_DURABLE, f"{who.name} votes in round {round_} for what it does not hold"
            )
        _require_votable(who, block)
        self._votes[who.key, round_] = block_id
        self.round_max = max(self.round_max, round_)
        promises.round_voted = round_
        promises.justify_round = max(promises.justify_round, block.justify.round)
        promises.unsettled["vote"] = signature

    def _timeout(self, who: "Watched", timeout: Timeout) -> None:
        promises = self._promises[who.key]
        if timeout.round < promises.round_voted or timeout.round < promises.round_timed_out:
            raise ViolationError(
                Broken.VOTE_RULE,
                f"{who.name} gives up on round {timeout.round} after a vote in "
                f"{promises.round_voted} and a time-out of {promises.round_timed_out}",
            )
        if timeout.high_qc.round < promises.justify_round:
            raise ViolationError(
                Broken.VOTE_RULE,
                f"{who.name} claims QC {timeout.high_qc.round}, but knew {promises.justify_round}",
            )
        self.round_max = max(self.round_max, timeout.round)
        promises.round_timed_out = timeout.round
        promises.justify_round = timeout.high_qc.round
        promises.unsettled["time-out"] = timeout.signature

    def _certificate(self, qc: QC) -> None:
        if not qc.votes or qc.encoded in self._qcs_seen:
            return
        self._qcs_seen.add(qc.encoded)
        if not self._is_tolerable:
            return
        if self._certified.setdefault(qc.round, qc.block_id) != qc.block_id:
            raise ViolationError(
                Broken.TWO_CERTIFICATES, f"two blocks of round {qc.round} are certified"
            )
        for voter, _ in qc.votes:
            if voter in self._honest:
                voted = self._votes.setdefault((voter, qc.round), qc.block_id)
                if voted != qc.block_id:
                    raise ViolationError(
                        Broken.TWO_VOTES, f"member {voter}'s two votes of round {qc.round} count"
                    )


def _require_votable(who: "Watched", block: Block) -> None:
    """The voting rule as the design states it, on what the block itself carries."""
    if block.tc is None:
        is_votable = block.justify.round + 1 == block.round
    else:
        is_votable = (
            block.tc.round + 1 == block.round and block.justify.round >= block.tc.high_qc_round
        )
    if not is_votable:
        raise ViolationError(
            Broken.VOTE_RULE, f"{who.name} votes for a block of round {block.round} against rule"
        )
