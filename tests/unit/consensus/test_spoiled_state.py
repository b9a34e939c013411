"""The committed state that a disk has spoiled is noticed when a replica starts, and named.

The safety record has a checksum of its own; the state is bound by the header that it stands behind.
"""

import pytest

from heptad.consensus.chain import decode_committed, encode_committed
from heptad.consensus.tree import Node
from heptad.model.canonical import MalformedError


def test_no_byte_of_the_stored_state_can_be_changed_unnoticed(make_world):
    """Either it is refused, or it is another block's, on which no block of the chain stands."""
    world = make_world()
    *_, block = world.chain([1, 2], batches=[[world.batch(sequence=0)], [world.batch(sequence=1)]])
    encoded = encode_committed(Node(block.block, block.state, None))
    assert decode_committed(encoded, world.cell).state == block.state
    behind_header = 4 + len(block.block.encoded)
    for at in range(len(encoded)):
        spoiled = bytearray(encoded)
        spoiled[at] ^= 0x04
        if at >= behind_header:
            with pytest.raises(MalformedError):
                decode_committed(bytes(spoiled), world.cell)
            continue
        try:
            found = decode_committed(bytes(spoiled), world.cell)
        except MalformedError:
            continue
        assert found.block.id != block.block.id
