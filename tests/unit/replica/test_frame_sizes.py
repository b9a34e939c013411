"""Whatever a group can agree on, its replicas can send: no block is too large for its followers."""

from heptad.consensus.codec import BLOCK_BYTES_MAX, REFS_MAX
from heptad.consensus.limits import Limits
from heptad.consensus.messages import MESSAGE_BYTES_MAX
from heptad.consensus.validity import BLOCK_BATCH_BYTES_MAX
from heptad.model.batch import BATCH_BYTES_MAX
from heptad.runtime.channels import PEER_MESSAGE_BYTES_MAX
from heptad.runtime.frames import frame_to_wire
from heptad.wire.streams import BlockFrame, encode_to_ledger

QC_BYTES_MAX = 64 * 65 + 100


def test_the_largest_block_that_is_valid_fits_one_message_with_all_its_batches():
    """An evil leader may make it; if no ledger could fetch it, none would ever go on."""
    whole, rest = divmod(BLOCK_BATCH_BYTES_MAX, BATCH_BYTES_MAX)
    assert not rest
    small = REFS_MAX - whole
    frame = BlockFrame(
        height=1,
        first_index=0,
        block=bytes(BLOCK_BYTES_MAX),
        proof=bytes(4 + BLOCK_BYTES_MAX + QC_BYTES_MAX),
        batches=[bytes(BATCH_BYTES_MAX)] * whole + [b""] * small,
    )
    size = len(frame_to_wire(encode_to_ledger(frame)))
    assert size <= PEER_MESSAGE_BYTES_MAX


def test_what_an_honest_leader_proposes_is_valid_and_a_message_of_consensus_fits_a_stream():
    assert Limits().block_bytes_max + BATCH_BYTES_MAX <= BLOCK_BATCH_BYTES_MAX
    size = len(frame_to_wire(bytes(MESSAGE_BYTES_MAX)))
    assert size <= PEER_MESSAGE_BYTES_MAX
