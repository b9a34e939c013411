"""What a store gives to peers, within limits."""

from dataclasses import replace

import pytest

from heptad.consensus.limits import Limits
from heptad.consensus.messages import (
    BatchesReply,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    encode_message,
)
from heptad.consensus.serving import answer
from heptad.model.ids import Height

LIMITS = Limits(reply_blocks_max=4)


@pytest.fixture(scope="module")
def store(make_world):
    """The disk of a replica that has committed 20 batches in 40 blocks."""
    world = make_world().start()
    for sequence in range(20):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=50)
    return world.replicas[2].store


def block_at(store, height):
    return answer(FetchChain(Height(height), 0), store=store, limits=LIMITS).blocks[0]


def test_a_block_comes_with_its_ancestors_newest_first(store):
    wanted = block_at(store, 10)
    reply = answer(FetchBlocks(wanted.id, Height(8)), store=store, limits=LIMITS)
    assert [block.height for block in reply.blocks] == [10, 9]
    assert reply.blocks[0].parent_id == reply.blocks[1].id


def test_an_answer_about_blocks_is_closed_at_its_limit(store):
    wanted = block_at(store, 20)
    reply = answer(FetchBlocks(wanted.id, Height(0)), store=store, limits=LIMITS)
    assert [block.height for block in reply.blocks] == [20, 19, 18, 17]
    small = replace(LIMITS, reply_bytes_max=1)
    reply = answer(FetchBlocks(wanted.id, Height(0)), store=store, limits=small)
    assert [block.height for block in reply.blocks] == [20]


def test_the_chain_is_given_in_order_up_to_a_block_with_a_proof(store):
    reply = answer(FetchChain(Height(3), 0), store=store, limits=LIMITS)
    assert [block.height for block in reply.blocks] == [3, 4, 5, 6]
    assert reply.proof.block_id == reply.blocks[-1].id


def test_a_chunk_of_the_chain_grows_until_a_proof_stands(store):
    """If no proof stands within the limits, one that stands further on closes the answer."""

    class Sparse:
        def committed(self, height):
            stored = store.committed(height)
            return stored if height in (13, 30) else replace(stored, proof=b"")

    reply = answer(FetchChain(Height(3), 0), store=Sparse(), limits=LIMITS)
    assert [block.height for block in reply.blocks] == list(range(3, 14))


def test_a_chunk_is_closed_early_if_its_batches_are_many(store):
    small = replace(LIMITS, reply_chain_batch_bytes_max=1)
    assert len(answer(FetchChain(Height(3), 0), store=store, limits=small).blocks) <= 2


def test_nothing_is_answered_about_what_is_not_here(store):
    for request in (
        FetchChain(Height(10_000), 0),
        FetchBlocks(b"x" * 32, Height(0)),
        FetchBatches((b"x" * 32,)),
        FetchBatches(()),
    ):
        assert answer(request, store=store, limits=LIMITS) is None


def test_batches_are_given_until_the_limit_but_always_one(store):
    digests = tuple(store.batches)[:5]
    whole = answer(FetchBatches(digests), store=store, limits=LIMITS)
    assert whole == BatchesReply(tuple(store.batches[digest] for digest in digests))
    small = replace(LIMITS, reply_bytes_max=1)
    assert len(answer(FetchBatches(digests), store=store, limits=small).batches) == 1


def test_an_answer_fits_into_a_message(store):
    reply = answer(FetchChain(Height(1), 0), store=store, limits=Limits())
    assert len(encode_message(reply)) < 1 << 20
