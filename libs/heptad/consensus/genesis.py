"""The block that every replica of a cell starts from, computed and never sent.

Its parent id is the hash of the cell's membership, so cells that differ in a key or in their origin
share no block, and no certificate of one is valid in the other.
"""

from heptad.consensus.codec import new_block, new_qc
from heptad.consensus.committee import Cell
from heptad.consensus.objects import QC, Block
from heptad.consensus.state import ChainState
from heptad.model.ids import BlockId, Height, MemberIndex, Round


def genesis_block(cell: Cell) -> Block:
    """The block of round 0 and height 0: no batches, the empty log."""
    membership_hash = cell.membership_hash()
    state = ChainState.genesis()
    return new_block(
        epoch=cell.epoch,
        round_=Round(0),
        height=Height(0),
        proposer=MemberIndex(0),
        time_ms=0,
        justify=new_qc(
            epoch=cell.epoch, round_=Round(0), block_id=BlockId(membership_hash), votes={}
        ),
        tc=None,
        batches=(),
        control=(),
        head=state.head(),
        state_hash=state.hash(epoch=cell.epoch, membership_hash=membership_hash),
    )


def genesis_qc(cell: Cell) -> QC:
    """The certificate of the genesis block: nobody signs it, for everybody can compute it."""
    block_id = genesis_block(cell).id
    return new_qc(epoch=cell.epoch, round_=Round(0), block_id=block_id, votes={})
