"""When a batch closes, and that nothing is lost or put in another order by closing it."""

from hypothesis import given
from hypothesis import strategies as st

from heptad.model.batch import decode_batch
from heptad.model.ids import ValidatorNumber
from heptad.wire.streams import decode_from_validator
from heptad_validator.dispatching.batching import Batcher, BatchLimits
from heptad_validator.dispatching.submission import Submission
from heptad_validator.tickets import Ticket

LIMITS = BatchLimits(
    records_max=4, bytes_target=4_096, bytes_max=8_192, age_s_max=0.01, age_loaded_s_max=0.04
)


def ticket(number=0):
    return Ticket(
        request_id=number.to_bytes(32, "big"), claims_digest=bytes(32), exp_s=0, time_ms=number
    )


def add(batcher, number, *, size=10, now_s=0.0):
    batcher.add((b"%d" % number, bytes(size)), ticket(number), now_s)


def numbers(gathered):
    return [ticket.time_ms for ticket in gathered.tickets]


def test_a_lone_record_goes_at_once_when_nothing_is_in_flight():
    batcher = Batcher(LIMITS)
    add(batcher, 1)
    assert numbers(batcher.take(0.0, outstanding=0)) == [1]


def test_under_load_records_gather_until_the_batch_is_old():
    batcher = Batcher(LIMITS)
    add(batcher, 1, now_s=5.0)
    add(batcher, 2, now_s=5.008)
    assert batcher.take(5.014, outstanding=1) is None
    assert numbers(batcher.take(5.015, outstanding=1)) == [1, 2]


def test_the_more_is_outstanding_the_longer_records_gather_up_to_a_bound():
    batcher = Batcher(LIMITS)
    add(batcher, 1, now_s=0.0)
    ages = [batcher.due_at_s(outstanding) for outstanding in (0, 1, 2, 4, 6, 32)]
    assert ages == [0.0, 0.015, 0.02, 0.03, 0.04, 0.04]


def test_a_batch_that_is_full_by_count_does_not_wait():
    batcher = Batcher(LIMITS)
    for number in range(5):
        add(batcher, number)
    assert numbers(batcher.take(0.0, outstanding=1)) == [0, 1, 2, 3]
    assert batcher.take(0.0, outstanding=1) is None


def test_a_batch_that_is_full_by_bytes_does_not_wait():
    batcher = Batcher(LIMITS)
    for number in range(3):
        add(batcher, number, size=2_000)
    assert numbers(batcher.take(0.0, outstanding=1)) == [0, 1]


def test_there_is_nothing_to_take_from_nothing():
    assert Batcher(LIMITS).take(1e9, outstanding=0) is None


@given(
    sizes=st.lists(st.integers(0, 17_000), max_size=60),
    taken_after=st.sets(st.integers(0, 60)),
)
def test_every_record_leaves_once_in_order_and_within_the_hard_limit(sizes, taken_after):
    limits = BatchLimits(
        records_max=9,
        bytes_target=1 << 16,
        bytes_max=1 << 16,
        age_s_max=0.01,
        age_loaded_s_max=0.04,
    )
    batcher = Batcher(limits)
    submission = Submission(
        validator=ValidatorNumber(1),
        origin="cell.example",
        incarnation=1,
        fault_count=2,
        resend_s=2.0,
        sign=lambda _: bytes(64),
    )
    left = []
    for number, size in enumerate(sizes):
        add(batcher, number, size=size)
        if number in taken_after and (gathered := batcher.take(0.0, outstanding=0)):
            left.append(gathered)
    while gathered := batcher.take(0.0, outstanding=0):
        left.append(gathered)
    assert [n for gathered in left for n in numbers(gathered)] == list(range(len(sizes)))
    assert batcher.records_waiting == 0
    for gathered in left:
        assert 1 <= len(gathered.records) <= 9
        frame = submission.send(gathered, now_ms=0, now_s=0.0).frame
        assert len(frame) <= 1 << 16
        assert len(decode_batch(decode_from_validator(frame).batch).entries()) == len(
            gathered.records
        )


def whole(batcher, number, *, count, size=10):
    records = [(b"%d" % number, bytes(size))] * count
    batcher.add_whole(records, ticket(number), 0.0)


def test_what_stays_together_goes_with_what_is_there_if_it_fits():
    batcher = Batcher(LIMITS)
    add(batcher, 1)
    whole(batcher, 2, count=3)
    taken = batcher.take(0.0, outstanding=1)
    assert [entry for entry, _ in taken.records] == [b"1", b"2", b"2", b"2"]
    assert [known and known.time_ms for known in taken.tickets] == [1, 2, None, None]
    assert batcher.records_waiting == 0


def test_what_does_not_fit_behind_others_has_a_batch_of_its_own():
    for count, size in ((4, 10), (2, 3_000)):
        batcher = Batcher(LIMITS)
        add(batcher, 1)
        whole(batcher, 2, count=count, size=size)
        first, second = (batcher.take(0.0, outstanding=1) for _ in range(2))
        assert numbers(first) == [1]
        assert len(second.records) == count
        assert batcher.take(0.0, outstanding=1) is None


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(1), st.integers(0, 4_000)),
            st.tuples(st.integers(2, 4), st.integers(0, 1_000)),
        ),
        max_size=40,
    )
)
def test_nothing_is_divided_lost_or_turned_round(groups):
    batcher = Batcher(LIMITS)
    for number, (count, size) in enumerate(groups):
        if count == 1:
            add(batcher, number, size=size)
        else:
            whole(batcher, number, count=count, size=size)
    batches = []
    while (taken := batcher.take(1.0, outstanding=0)) is not None:
        batches.append([int(entry) for entry, _ in taken.records])
        assert len(taken.records) == len(taken.tickets) <= LIMITS.records_max
    expected = [number for number, (count, _) in enumerate(groups) for _ in range(count)]
    assert [number for batch in batches for number in batch] == expected
    for number, (count, _) in enumerate(groups):
        assert any(batch.count(number) == count for batch in batches)
