"""A full pool never keeps out the batch that all the others in it wait for."""

from dataclasses import replace

import pytest

from heptad.consensus.limits import Limits
from heptad.consensus.messages import BatchesReply, BatchOffer, FetchBatches
from heptad.consensus.objects import BatchId, Timeout
from heptad.consensus.pool import BatchPool, BatchReader
from heptad.consensus.ready import BatchVerdict
from heptad.consensus.results import Results
from heptad.model.batch import encode_batch

FOUR = Limits(pool_batches_max_per_validator=4)


@pytest.fixture
def pool():
    return BatchPool(FOUR)


@pytest.fixture
def add(make_world, pool):
    """`add(incarnation, sequence, …)` puts batches of validator 1 into the pool."""
    world = make_world()
    reader = BatchReader(world.cell, world.verifier)

    def put(incarnation, *sequences, records=3):
        for sequence in sequences:
            batch = world.batch(sequence=sequence, incarnation=incarnation, records=records)
            pool.add(reader.trusted(batch, encode_batch(batch), now_ms=0))

    return put


def giving_way(pool, incarnation, sequence, *, committed=None, pinned=(), size_bytes=100):
    gone = pool.giving_way(
        BatchId(1, incarnation, sequence),
        size_bytes,
        committed={1: committed} if committed else {},
        pinned=lambda: {each.ref.digest for each in pinned},
    )
    return None if gone is None else [tuple(each.ref.id[1:]) for each in gone]


def test_nothing_gives_way_while_there_is_room(pool, add):
    add(1, 1, 2, 3)
    assert giving_way(pool, 1, 0) == []


def test_the_last_in_turn_gives_way_to_what_comes_before_it(pool, add):
    add(1, 4, 1, 2, 3)
    assert giving_way(pool, 1, 0, committed=None) == [(1, 4)]


def test_what_comes_last_in_turn_is_refused_itself(pool, add):
    add(1, 2, 3, 4, 5)
    assert giving_way(pool, 2, 1, committed=(1, 1)) is None


def test_as_many_give_way_as_the_bytes_ask_for(make_world):
    world = make_world()
    pool = BatchPool(Limits(pool_bytes_max_per_validator=1_000))
    reader = BatchReader(world.cell, world.verifier)
    for sequence in (1, 2, 3, 4):
        batch = world.batch(sequence=sequence)
        pool.add(reader.trusted(batch, encode_batch(batch), now_ms=0))
    size = pool.size_bytes // 4
    assert giving_way(pool, 1, 0, size_bytes=1_000 - 2 * size) == [(1, 4), (1, 3)]
    assert giving_way(pool, 1, 0, size_bytes=1_001) is None


def test_the_fence_of_a_new_incarnation_comes_before_what_waits_for_a_lost_batch(pool, add):
    add(1, 5, 6, 7, 8)
    assert giving_way(pool, 2, 0, committed=(1, 3)) == [(1, 8)]


def test_the_next_of_the_old_incarnation_comes_before_the_fence_of_the_new(pool, add):
    add(1, 5)
    add(2, 0, 1, 2)
    assert giving_way(pool, 1, 4, committed=(1, 3)) == [(2, 2)]


def test_of_what_waits_for_a_lost_batch_the_older_incarnation_goes_first(pool, add):
    add(1, 8, 9)
    add(2, 4, 5)
    assert giving_way(pool, 2, 3, committed=(1, 3)) == [(1, 9)]


def test_what_a_block_refers_to_does_not_give_way(pool, add):
    add(1, 1, 2, 3, 4)
    pinned = [pool.under(BatchId(1, 1, 4)), pool.under(BatchId(1, 1, 2))]
    assert giving_way(pool, 1, 0, pinned=pinned) == [(1, 3)]
    assert (
        giving_way(pool, 1, 0, pinned=[pool.under(BatchId(1, 1, n)) for n in (1, 2, 3, 4)]) is None
    )


def test_two_batches_under_one_number_give_way_together(pool, add):
    add(1, 1, 2, 3, 4)
    add(1, 4, records=2)
    assert giving_way(pool, 1, 0) == [(1, 4), (1, 4)]


def test_a_lost_batch_that_comes_again_is_taken_into_a_full_pool_and_all_commit(make_world):
    world = make_world(limits=FOUR).start()
    for sequence in (1, 2, 3):
        world.submit(world.batch(sequence=sequence))
    world.submit(world.batch(sequence=5, incarnation=2))
    world.submit(world.batch(sequence=0))
    world.run()
    assert all(len(replica.log()) == 4 for replica in world.replicas)


def test_what_gives_way_is_answered_overloaded_and_may_be_sent_again(make_world):
    """Members 1 to 6 let the fence go; member 0 has proposed it, so there the last one goes."""
    world = make_world(limits=FOUR).start()
    fence = world.batch(sequence=0, incarnation=2, records=0)
    world.drop = lambda *_: True
    for batch in (*(world.batch(sequence=each) for each in (1, 2, 3)), fence, world.batch()):
        world.submit(batch)
    for replica in world.replicas:
        gone = [each.id for each in replica.outcomes if each.verdict is BatchVerdict.OVERLOADED]
        assert gone == [(1, 2, 0) if replica.index else (1, 1, 3)]
        assert replica.driver.status().batches_pending == 4
    world.drop = lambda *_: False
    world.run()
    world.submit(fence)
    world.run()
    assert all(replica.log()[-1] == (1, 2, 0) for replica in world.replicas)


def test_an_offered_batch_that_others_wait_for_is_fetched_into_a_full_pool(make_world):
    """Only member 5 has number 0; the pools of the others are full of what comes after it."""
    world = make_world(limits=FOUR).start()
    world.run()
    world.submit(world.batch(sequence=0), to=[5])
    for sequence in (1, 2, 3):
        world.submit(world.batch(sequence=sequence), to=[0, 1, 2, 3, 4, 6])
    world.submit(world.batch(sequence=5, incarnation=2), to=[0, 1, 2, 3, 4, 6])
    world.run()
    assert all((1, 1, 0) in replica.log() for replica in world.replicas)
    assert not [message for _, _, _, message in world.sent if isinstance(message, Timeout)]


def test_an_offered_batch_for_which_there_is_no_room_when_it_comes_is_let_go(make_world):
    world = make_world(limits=FOUR).start()
    world.run()
    offered = world.batch(sequence=3, incarnation=2)
    chain = world.chain([1], batches=[[world.batch(sequence=0, incarnation=2)]])
    ref = replace(chain[0].block.batches[0], digest=offered.digest, sequence=3)
    world.drop = lambda *_: True
    world.inject(5, 3, BatchOffer((ref,)))
    for sequence in (0, 1, 2, 3):
        world.submit(world.batch(sequence=sequence), to=[3])
    world.inject(5, 3, BatchesReply((encode_batch(offered),)))
    assert world.replicas[3].driver.status().batches_pending == 4
    assert world.replicas[3].driver.timer_at_ms is not None
    world.run(for_ms=100)
    asked = [m for at, source, _, m in world.sent if source == 3 and isinstance(m, FetchBatches)]
    assert len(asked) == 1


def test_a_batch_that_is_dropped_from_the_disk_and_kept_again_in_one_step_is_kept():
    results = Results()
    results.batches_dropped += [b"x" * 32, b"y" * 32]
    results.keep(b"x" * 32, b"batch")
    persist = results.ready(record=None, timer_at_ms=None).persist
    assert persist.batches == ((b"x" * 32, b"batch"),)
    assert persist.batches_dropped == (b"y" * 32,)
