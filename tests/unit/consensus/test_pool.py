"""What waits, what may be proposed, and what a validator may leave here."""

import pytest

from heptad.consensus.errors import RefusedError
from heptad.consensus.limits import Limits
from heptad.consensus.objects import BatchId
from heptad.consensus.pool import BatchPool, BatchReader
from heptad.model.batch import encode_batch

SMALL = Limits(
    block_batches_max=3,
    pool_batches_max_per_validator=5,
    pool_bytes_max_per_validator=2_000,
    block_bytes_max=1_000,
)


@pytest.fixture
def idle(make_world):
    return make_world()


@pytest.fixture
def pool():
    return BatchPool(SMALL)


@pytest.fixture
def add(idle, pool):
    """`add(sequence, …)` puts a batch into the pool and returns it."""
    reader = BatchReader(idle.cell, idle.verifier)

    def put(sequence, *, at_ms=0, **numbers):
        batch = idle.batch(sequence=sequence, **numbers)
        pooled = reader.verify(batch, encode_batch(batch), now_ms=at_ms)
        pool.add(pooled)
        return pooled

    return put


def numbers(batches):
    return [tuple(batch.ref.id) for batch in batches]


def test_a_batch_with_a_bad_signature_or_of_a_stranger_is_refused(idle):
    reader = BatchReader(idle.cell, idle.verifier)
    batch = idle.batch()
    forged = encode_batch(batch)[:-1] + b"x"
    with pytest.raises(RefusedError, match="hashes differ"):
        reader.verify(reader.decode(forged), forged, now_ms=0)
    idle.batch_keys[9] = idle.batch_keys[1]
    with pytest.raises(RefusedError, match="validator 9, who is not known"):
        reader.decode(encode_batch(idle.batch(validator=9)))
    with pytest.raises(RefusedError, match="batch: "):
        reader.decode(b"garbage")


def test_each_validators_batches_are_proposed_in_their_own_order(pool, add):
    for sequence in (2, 0, 1):
        add(sequence)
    assert numbers(pool.select({})) == [(1, 1, 0), (1, 1, 1), (1, 1, 2)]


def test_the_oldest_of_several_validators_goes_first(pool, add):
    add(0, validator=1, at_ms=30)
    add(0, validator=2, at_ms=10)
    add(1, validator=2, at_ms=50)
    add(1, validator=1, at_ms=40)
    assert numbers(pool.proposable({})) == [(2, 1, 0), (1, 1, 0), (1, 1, 1), (2, 1, 1)]


def test_a_batch_behind_a_gap_waits(pool, add):
    add(1)
    assert pool.select({}) == []
    assert numbers(pool.select({1: (1, 0)})) == [(1, 1, 1)]


def test_a_later_incarnation_starts_only_where_the_older_one_ends(pool, add):
    add(0, incarnation=3)
    add(0, incarnation=2)
    add(5, incarnation=1)
    assert numbers(pool.select({1: (1, 4)})) == [(1, 1, 5), (1, 2, 0), (1, 3, 0)]
    assert numbers(pool.select({1: (1, 3)})) == [(1, 2, 0), (1, 3, 0)]


def test_a_block_takes_no_more_than_its_limits_but_always_one(pool, add):
    for sequence in range(5):
        add(sequence)
    assert len(pool.select({})) == 3
    big = add(0, validator=2, records=40, at_ms=-1)
    assert big.ref.size_bytes > SMALL.block_bytes_max
    assert numbers(pool.select({1: (1, 4)})) == [(2, 1, 0)]


@pytest.mark.parametrize(("spare_bytes", "count"), [(0, 2), (-1, 1)])
def test_a_block_takes_no_more_bytes_than_its_limit(idle, spare_bytes, count):
    reader = BatchReader(idle.cell, idle.verifier)
    batches = [idle.batch(sequence=sequence) for sequence in range(3)]
    pooled = [reader.trusted(each, encode_batch(each), now_ms=0) for each in batches]
    size_bytes = sum(each.ref.size_bytes for each in pooled[:2])
    pool = BatchPool(Limits(block_bytes_max=size_bytes + spare_bytes))
    for each in pooled:
        pool.add(each)
    assert len(pool.select({})) == count


def test_batches_leave_at_commit_and_not_before(pool, add):
    for sequence in range(3):
        add(sequence)
    pool.select({})
    assert len(pool) == 3
    gone = pool.committed({1: (1, 1)})
    assert sorted(numbers(gone)) == [(1, 1, 0), (1, 1, 1)]
    assert numbers(pool.proposable({1: (1, 1)})) == [(1, 1, 2)]


def test_what_an_older_incarnation_left_behind_goes_when_a_newer_one_commits(pool, add):
    add(7, incarnation=1)
    add(0, incarnation=2)
    pool.committed({1: (2, 0)})
    assert len(pool) == 0
    assert pool.size_bytes == 0


def has_room(pool, batch_id, size_bytes, committed):
    """True if it may come in and nothing else has to leave for it."""
    gone = pool.giving_way(batch_id, size_bytes, committed=committed, pinned=frozenset)
    return gone == []


def test_pending_batches_of_one_validator_are_bounded_by_count_and_bytes(pool, add):
    for sequence in range(4):
        add(sequence)
    assert has_room(pool, BatchId(1, 1, 4), 100, {})
    assert not has_room(pool, BatchId(1, 1, 5), 100, {})
    assert not has_room(pool, BatchId(1, 1, 4), 1_990, {})
    assert has_room(pool, BatchId(2, 1, 0), 1_990, {})
    add(4)
    assert not has_room(pool, BatchId(1, 1, 4), 1, {})


def test_how_far_a_sequence_may_run_ahead_counts_from_what_is_committed(pool):
    assert has_room(pool, BatchId(1, 1, 105), 1, {1: (1, 100)})
    assert not has_room(pool, BatchId(1, 1, 106), 1, {1: (1, 100)})
    assert not has_room(pool, BatchId(1, 2, 5), 1, {1: (1, 100)})


def test_as_many_give_way_as_a_validator_is_beyond_its_share(pool, add):
    """It may be so by what blocks have named, beside the newcomer."""
    for sequence in range(1, 7):
        add(sequence)
    gone = pool.giving_way(BatchId(1, 1, 0), 1, committed={}, pinned=frozenset)
    assert numbers(gone) == [(1, 1, 6), (1, 1, 5)]


@pytest.mark.parametrize("spare_bytes", [0, -1])
def test_a_share_has_room_to_its_last_byte(idle, spare_bytes):
    reader = BatchReader(idle.cell, idle.verifier)
    batches = [idle.batch(sequence=sequence) for sequence in (1, 2)]
    pooled = [reader.trusted(each, encode_batch(each), now_ms=0) for each in batches]
    size_bytes = sum(each.ref.size_bytes for each in pooled)
    pool = BatchPool(Limits(pool_bytes_max_per_validator=size_bytes + 100 + spare_bytes))
    for each in pooled:
        pool.add(each)
    assert has_room(pool, BatchId(1, 1, 0), 100, {}) is (spare_bytes == 0)


def surplus(pool, *pinned):
    return pool.surplus(committed={}, pinned=lambda: {each.ref.digest for each in pinned})


def test_within_its_share_nothing_of_a_validator_is_surplus(pool, add):
    for sequence in range(5):
        add(sequence)
    add(0, validator=2)
    assert pool.surplus(committed={}, pinned=pytest.fail) == []


def test_of_what_is_beyond_a_share_the_last_in_turn_leaves_first(pool, add):
    add(0, validator=2)
    batches = [add(sequence) for sequence in (6, 0, 1, 2, 3, 4)]
    assert numbers(surplus(pool)) == [(1, 1, 6)]
    batches.append(add(5))
    assert numbers(surplus(pool)) == [(1, 1, 6), (1, 1, 5)]
    assert numbers(surplus(pool, batches[0])) == [(1, 1, 5), (1, 1, 4)]
    assert surplus(pool, *batches) == []


def test_of_what_is_beyond_a_share_a_second_batch_under_one_number_leaves_first(pool, add):
    first = [add(sequence) for sequence in range(5)]
    second = [add(1, records=records) for records in (1, 2)]
    assert surplus(pool) == second
    assert surplus(pool, *second) == [first[4], first[3]]


@pytest.mark.parametrize(("beyond_bytes", "count"), [(0, 0), (1, 1), ("one", 1), ("more", 2)])
def test_of_what_is_beyond_a_share_no_more_bytes_leave_than_must(idle, beyond_bytes, count):
    reader = BatchReader(idle.cell, idle.verifier)
    batches = [idle.batch(sequence=sequence) for sequence in range(4)]
    pooled = [reader.trusted(each, encode_batch(each), now_ms=0) for each in batches]
    last_bytes = pooled[3].ref.size_bytes
    beyond_bytes = {"one": last_bytes, "more": last_bytes + 1}.get(beyond_bytes, beyond_bytes)
    size_bytes = sum(each.ref.size_bytes for each in pooled)
    pool = BatchPool(Limits(pool_bytes_max_per_validator=size_bytes - beyond_bytes))
    for each in pooled:
        pool.add(each)
    pinned = frozenset if count else pytest.fail
    assert pool.surplus(committed={}, pinned=pinned) == pooled[:1:-1][:count]


def test_a_batch_is_here_under_its_digest_and_its_number_byte_for_byte(idle, pool, add):
    held, other = add(0), idle.batch(records=1)
    assert held.ref.digest in pool
    assert other.digest not in pool
    assert pool.has_same(held.ref.id, held.encoded)
    assert not pool.has_same(held.ref.id, encode_batch(other))
    assert not pool.has_same(BatchId(1, 1, 1), held.encoded)


def test_what_is_noted_of_a_batch_changes_nothing_else(pool, add):
    first = add(0)
    assert (first.offered_ms, first.is_durable) == (None, False)
    for noted, offered_ms, is_durable in (
        ({"offered_ms": 7}, 7, False),
        ({"is_durable": True}, 7, True),
        ({"offered_ms": 9}, 9, True),
    ):
        pool.mark(first.ref.digest, **noted)
        now = pool.get(first.ref.digest)
        assert (now.offered_ms, now.is_durable) == (offered_ms, is_durable)
        assert (now.ref, now.encoded, now.arrived_ms) == (first.ref, first.encoded, 0)


def test_a_commit_of_one_validator_leaves_those_of_another(pool, add):
    add(0, validator=1)
    add(0, validator=2)
    assert numbers(pool.committed({2: (1, 0)})) == [(2, 1, 0)]
    assert len(pool) == 1


def test_whose_batch_it_is_can_be_read_without_the_rest(idle):
    reader = BatchReader(idle.cell, idle.verifier)
    encoded = encode_batch(idle.batch(validator=2, sequence=7, incarnation=3))
    assert reader.identify(encoded) == BatchId(2, 3, 7)
    with pytest.raises(RefusedError, match="batch: "):
        reader.identify(b"garbage")


def test_what_has_left_and_what_comes_twice_takes_no_room(pool, add):
    for sequence in (0, 1, 2, 3, 4, 4):
        add(sequence)
    assert len(pool.committed({1: (1, 2)})) == 3
    assert pool.size_bytes == sum(each.ref.size_bytes for each in pool.proposable({1: (1, 2)}))
    for sequence in (5, 6, 7):
        assert has_room(pool, BatchId(1, 1, sequence), 100, {1: (1, 2)})
        add(sequence)
    assert not has_room(pool, BatchId(1, 1, 3), 100, {1: (1, 2)})


def test_the_largest_that_waits_is_told(pool, add):
    assert pool.largest_bytes() == 0
    sizes = [
        add(sequence, records=records).ref.size_bytes
        for sequence, records in ((0, 1), (1, 9), (2, 2))
    ]
    assert pool.largest_bytes() == sizes[1]


def test_the_oldest_is_the_first_that_may_be_proposed(pool, add):
    assert pool.oldest({}) is None
    late, early = add(0, validator=1, at_ms=30), add(0, validator=2, at_ms=10)
    assert pool.oldest({}) == early
    assert pool.oldest({2: (1, 0)}) == late
    assert pool.oldest({1: (1, 0)}) == early
    assert pool.oldest({1: (1, 0), 2: (1, 0)}) is None


def test_a_pruned_batch_is_never_proposed(idle, pool):
    reader = BatchReader(idle.cell, idle.verifier)
    batch = idle.batch().pruned()
    pool.add(reader.trusted(batch, encode_batch(batch), now_ms=0))
    assert pool.select({}) == []


def test_two_batches_under_one_number_live_side_by_side_and_the_first_is_proposed(pool, add):
    first = add(0, records=1)
    second = add(0, records=2)
    assert pool.under(first.ref.id) == first
    assert pool.get(second.ref.digest) == second
    assert [each.ref.digest for each in pool.select({})] == [first.ref.digest]
    assert len(pool.committed({1: (1, 0)})) == 2
