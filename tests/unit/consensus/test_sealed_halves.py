"""No block is agreed on whose private halves only a liar holds.

A pruned batch has the digest of the whole one, so the log's head comes out right without its sealed
section. If it were enough for a vote, an evil validator and an evil leader could have committed
what no ledger can ever apply: it refuses a batch without private halves, whoever sends it.
"""

from heptad.consensus.messages import BatchesReply, encode_message
from heptad.model.batch import decode_batch, encode_batch


def has_sealed_half(encoded):
    return decode_batch(encoded).sealed is not None


def answer_with_pruned_batches(world, liar):
    """Let every batch that `liar` gives to others come without its sealed half."""

    def drop(source, target, message):
        if source != liar or not isinstance(message, BatchesReply):
            return False
        pruned = tuple(encode_batch(decode_batch(each).pruned()) for each in message.batches)
        if pruned == message.batches:
            return False
        world.post(source, target, encode_message(BatchesReply(pruned)))
        return True

    world.drop = drop


def test_a_block_whose_private_halves_only_its_leader_holds_is_not_voted_for(world):
    # given a batch that came to the leader only, who gives it away without its sealed half
    world.run()
    answer_with_pruned_batches(world, liar=0)
    world.submit(world.batch(), to=[0])
    # when the leader proposes it
    world.run(for_ms=5_000)
    # then no other takes what it gives, and nobody has committed it
    for replica in world.replicas:
        assert all(map(has_sealed_half, replica.store.batches.values()))
        assert replica.log() == []
    reasons = {fact["reason"] for fact in world.replicas[3].named("message_refused")}
    assert "a batch without its sealed half" in reasons


def test_the_whole_batch_is_got_from_others_where_one_gives_it_pruned(world):
    world.run()
    answer_with_pruned_batches(world, liar=0)
    world.submit(world.batch(), to=[0, 1, 2])
    world.run()
    for replica in world.replicas:
        assert all(map(has_sealed_half, replica.store.batches.values()))
        assert replica.log() == [(1, 1, 0)]
