"""Rules of a script: which messages the network must drop. For scenarios that tell a story."""

from collections.abc import Callable, Mapping, Sequence

from heptad.consensus.messages import (
    BlocksReply,
    Certificates,
    ChainReply,
    Deposition,
    Message,
    Proposal,
    decode_message,
)
from heptad.consensus.objects import Timeout, Vote
from heptad.model.canonical import MalformedError
from heptad.simulation.network import VALIDATORS_AT, NodeId, Parcel
from heptad.simulation.scenario import Forbid


class Rule:
    """One `Forbid` at work; as a `Verdict` of the network it is true for what may pass."""

    def __init__(
        self, forbid: Forbid, *, sources: frozenset[NodeId], targets: frozenset[NodeId]
    ) -> None:
        """Empty sets stand for all nodes."""
        self.dropped = 0
        self._forbid = forbid
        self._sources = sources
        self._targets = targets

    def __call__(self, source: NodeId, target: NodeId, parcel: Parcel) -> bool:
        """True if the parcel may pass."""
        is_meant = (
            (not self._sources or source in self._sources)
            and (not self._targets or target in self._targets)
            and (not self._forbid.times or self.dropped < self._forbid.times)
            and self._is_of_kind(source, parcel)
        )
        self.dropped += is_meant
        return not is_meant

    def _is_of_kind(self, source: NodeId, parcel: Parcel) -> bool:
        if not isinstance(parcel, bytes):
            return False
        forbid = self._forbid
        if source >= VALIDATORS_AT:
            return "Batch" in forbid.kinds
        try:
            message = decode_message(parcel)
        except MalformedError:
            return False
        if forbid.kinds and type(message).__name__ not in forbid.kinds:
            return False
        round_ = round_of(message)
        return forbid.round_min <= round_ <= (forbid.round_max or round_)


class RoundPartitions:
    """One `PartitionRounds` at work, as a `Verdict` of the network."""

    def __init__(
        self,
        *,
        round_first: int,
        rounds: Sequence[Mapping[NodeId, int]],
        decode: Callable[[bytes], Message],
    ) -> None:
        """`rounds[i]` says in which group each node is; those it does not name form one more."""
        self.dropped = 0
        self._first = round_first
        self._rounds = rounds
        self._decode = decode

    def __call__(self, source: NodeId, target: NodeId, parcel: Parcel) -> bool:
        """True if the parcel may pass."""
        if not isinstance(parcel, bytes) or source >= VALIDATORS_AT:
            return True
        try:
            index = round_of(self._decode(parcel)) - self._first
        except MalformedError:
            return True
        if not 0 <= index < len(self._rounds):
            return True
        groups = self._rounds[index]
        may_pass = groups.get(source) == groups.get(target)
        self.dropped += not may_pass
        return may_pass


def round_of(message: Message) -> int:
    """The round that a message is about; for certificates that of the QC, 0 where there is none."""
    match message:
        case Proposal(block, _):
            return block.round
        case Vote(round=round_) | Timeout(round=round_) | Deposition(Vote(round=round_)):
            return round_
        case Certificates(high_qc, _):
            return high_qc.round
        case BlocksReply(blocks) if blocks:
            return blocks[0].round
        case ChainReply(blocks, _) if blocks:
            return blocks[-1].round
        case _:
            return 0
