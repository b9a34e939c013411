"""The chain as a villain knows it: headers that he has made or heard, and what stands after each.

A lie about the newest blocks is only worth telling if it is right in everything else: a block on
another parent whose state hash is wrong is refused before any rule that it was to break is asked.
"""

from heptad.consensus.committee import Cell
from heptad.consensus.evidence import Charge, decode_evidence
from heptad.consensus.genesis import genesis_block
from heptad.consensus.leaders import Schedule
from heptad.consensus.objects import Block
from heptad.consensus.state import ChainState
from heptad.model.canonical import MalformedError
from heptad.model.ids import BlockId, MemberIndex, Round
from heptad.transparency.merkle import CompactRange


class Hearsay:
    """Headers by id, each with its state but for the log's edge, which the header itself binds."""

    def __init__(self, cell: Cell, schedule: Schedule) -> None:
        self._cell = cell
        self._membership_hash = cell.membership_hash()
        self._schedule = schedule
        genesis = genesis_block(cell)
        self._blocks = {genesis.id: genesis}
        self._states = {genesis.id: ChainState.genesis()}

    def get(self, block_id: BlockId) -> Block | None:
        """A header, if it and the whole chain below it were heard of."""
        return self._blocks.get(block_id)

    def hear(self, block: Block) -> None:
        """Remember a header whose parent was heard of."""
        parent, state = self._blocks.get(block.parent_id), self._states.get(block.parent_id)
        if parent is None or state is None or block.id in self._blocks:
            return
        positions = dict(state.positions)
        for ref in block.batches:
            positions[ref.validator] = (ref.incarnation, ref.sequence)
        record = self._schedule.record_after(
            state.leader_record, parent=parent, round_=block.round, proposer=block.proposer
        )
        self._blocks[block.id] = block
        proven = state.proven | _charges(block)
        self._states[block.id] = ChainState(CompactRange.empty(), positions, record, proven)

    def state_hash_without_batches(
        self, parent: Block, *, round_: Round, proposer: MemberIndex
    ) -> bytes:
        """The state hash of an empty block of that round on `parent`, which was heard of."""
        state = self._states[parent.id]
        record = self._schedule.record_after(
            state.leader_record, parent=parent, round_=round_, proposer=proposer
        )
        after = ChainState(state.edge, state.positions, record, state.proven)
        return after.hash(epoch=self._cell.epoch, membership_hash=self._membership_hash)


def _charges(block: Block) -> frozenset[Charge]:
    """What the block's control entries prove; a block of another villain may hold rubbish."""
    try:
        return frozenset(decode_evidence(each).charge for each in block.control)
    except MalformedError:
        return frozenset()
