"""Headers whose parent or batches are not here yet.

A header comes in here for one of two reasons, and only for them, so that nobody can fill the place:
it is the proposal of the current round's leader, its certificates and signature verified; or its id
was asked for because a verified certificate names it, directly or through justify hashes.
"""

from dataclasses import dataclass

from heptad.consensus.objects import Block, Vote
from heptad.consensus.verified import VerifiedEntry
from heptad.model.ids import BlockId, Height, MemberIndex, Round


@dataclass(slots=True, eq=False)
class Parked:
    """A header that waits.

    `entry` are its certificates, verified for proposals and for blocks alike. `vote` is its
    proposer's, present if it came as a proposal. `is_certified`: a quorum has voted for it, so it
    will be needed whatever the round. `source` is who sent it, the first to be asked for the rest;
    a proposal came at `parked_ms`.
    """

    block: Block
    entry: VerifiedEntry
    vote: Vote | None
    is_certified: bool
    source: MemberIndex
    parked_ms: int = 0


class ParkedBlocks:
    """Waiting headers by id, and by the parent that they wait for."""

    def __init__(self, *, count_max: int) -> None:
        self._count_max = count_max
        self._parked: dict[BlockId, Parked] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._parked)

    def get(self, block_id: BlockId) -> Parked | None:
        """The header with this id."""
        return self._parked.get(block_id)

    def all(self) -> list[Parked]:
        """All of them, in the order in which they came."""
        return list(self._parked.values())

    def add(self, parked: Parked, *, is_urgent: bool = False) -> bool:
        """Park a header; False if it is here already, or there is no room and it is not urgent."""
        is_full = len(self._parked) >= self._count_max and not is_urgent
        if parked.block.id in self._parked or is_full:
            return False
        self._parked[parked.block.id] = parked
        return True

    def remove(self, block_id: BlockId) -> None:
        """It waits no longer."""
        self._parked.pop(block_id, None)

    def children(self, block_id: BlockId) -> list[Parked]:
        """Those that wait for this parent."""
        return [each for each in self._parked.values() if each.block.parent_id == block_id]

    def has_proposal(self, round_: Round) -> bool:
        """True if a proposal of this round waits."""
        rounds = [each.block.round for each in self._parked.values() if each.vote is not None]
        return round_ in rounds

    def forget(self, *, height: Height, round_: Round) -> list[Parked]:
        """Drop what can be of no use: not above `height`, or uncertified and before `round_`."""
        gone = [
            each
            for each in self._parked.values()
            if each.block.height <= height or not (each.is_certified or each.block.round >= round_)
        ]
        for each in gone:
            del self._parked[each.block.id]
        return gone
