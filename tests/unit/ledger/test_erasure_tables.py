"""What is kept of erasures: cases come back as they were, drops come when they are due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.privacy.drops import Drops
from heptad_ledger.store.erasure_rows import Decision, ErasureCase, Progress

_U64 = st.integers(0, 2**63)
_DIGEST = st.just(b"") | st.binary(min_size=32, max_size=32)
_INDEX = st.none() | _U64
CASES = st.builds(
    ErasureCase,
    number=_U64, slot=_U64, state=st.sampled_from(ErasureState),
    ordered_by=st.sampled_from(OrderedBy), ground=st.sampled_from(ErasureGround),
    received_ms=_U64, request_digest=_DIGEST, refusal_digest=_DIGEST, request_hash=_DIGEST,
    pseudonym=_DIGEST, decision=st.sampled_from(Decision),
    refusal=st.none() | st.sampled_from(RefusalGround), decided_ms=_U64,
    statement=st.binary(max_size=100), order_index=_INDEX, end_index=_INDEX,
    progress=st.sampled_from(Progress), ciphertexts=_U64, index_rows=_U64, epoch=_U64,
    root_hash=_DIGEST, destroyed_ms=_U64, waits=st.booleans(), aliases=_U64,
)  # fmt: skip


@given(CASES)
def test_a_case_comes_back_as_it_was(case):
    assert ErasureCase.decode(case.encode()) == case


@given(CASES, st.data())
def test_what_is_no_case_is_damage(case, data):
    encoded = case.encode()
    end = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(StoreDamagedError):
        ErasureCase.decode(encoded[:end])
    with pytest.raises(StoreDamagedError):
        ErasureCase.decode(encoded + b"\0")


def test_a_height_is_dropped_when_its_time_has_come_and_not_before():
    drops = Drops().with_one(100_000, 7)
    assert drops.at(99_999).height == 0
    assert drops.at(100_000).height == 7
    assert drops.at(100_000).later == ()


def test_of_one_minute_one_drop_is_kept_and_none_comes_later_than_was_promised():
    drops = Drops()
    for ms in range(0, 180_000, 1_000):
        drops = drops.with_one(500_000 + ms, 1 + ms // 1_000)
    assert len(drops.later) == 3
    for ms in range(0, 180_000, 1_000):
        assert drops.at(500_000 + ms).height >= 1 + ms // 1_000


def test_a_clock_that_goes_back_breaks_no_order():
    drops = Drops().with_one(500_000, 7).with_one(100_000, 8)
    assert Drops.decode(drops.encode()) == drops
    assert drops.at(500_000).height == 8


def test_drops_never_sink():
    drops = Drops().with_one(1, 9).at(1).with_one(2, 5).at(2)
    assert drops.height == 9


@pytest.mark.parametrize("data", [b"\0", bytes(11), bytes(8) + b"\0\0\0\x01" + bytes(8)])
def test_damaged_drops_are_damage(data):
    with pytest.raises(StoreDamagedError):
        Drops.decode(data)


def test_drops_out_of_order_are_damage():
    wrong = Drops(0, ((5, 1), (4, 2))).encode()
    with pytest.raises(StoreDamagedError, match="order"):
        Drops.decode(wrong)


def test_what_was_promised_for_later_is_kept_when_the_term_is_shortened_or_the_clock_set_back():
    drops = Drops().with_one(100_000, 7).with_one(900_000, 9).with_one(500_000, 8)
    assert drops == Drops(0, ((100_000, 7), (500_000, 9)))
    assert drops.with_one(130_000, 10) == Drops(0, ((100_000, 10),))


def test_what_was_under_way_at_the_certificate_is_dropped_with_the_rest():
    drops = Drops().with_one(100_000, 7).with_one(500_000, 8)
    assert drops.grown(11, from_ms=500_000) == Drops(0, ((100_000, 7), (500_000, 11)))
    assert drops.grown(6, from_ms=0) == drops
