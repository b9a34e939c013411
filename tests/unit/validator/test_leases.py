"""The book of leases: nothing is used for longer than it is lent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad_validator.lending.leases import Lease, LeaseBook, usable_until_s


def lease(name, *, asked_at_s=0.0, ttl_s=60.0):
    return Lease(
        subject_id=name,
        key_ref=1,
        lease_id=name.encode().ljust(16, b"."),
        lease_key=bytes(32),
        keys={},
        is_home=True,
        renew_at_s=asked_at_s + ttl_s / 2,
        expires_at_s=usable_until_s(asked_at_s=asked_at_s, ttl_s=ttl_s),
    )


@pytest.fixture(name="book")
def _book():
    return LeaseBook(leases_max=3)


@given(asked_at_s=st.floats(0, 1e9), ttl_s=st.floats(0.001, 60))
def test_a_lease_ends_before_the_vault_counts_it_as_ended(asked_at_s, ttl_s):
    assert asked_at_s <= usable_until_s(asked_at_s=asked_at_s, ttl_s=ttl_s) < asked_at_s + ttl_s


def test_a_lease_is_dead_from_its_last_moment_on(book):
    book.put(lease("a"))
    assert book.live("a", 58.99) is not None
    assert book.live("a", 59.0) is None


def test_a_lease_in_use_is_wanted_again_after_its_half_and_once(book):
    book.put(lease("a"))
    book.live("a", 29.9)
    assert not book.wants
    book.live("a", 30.0)
    book.live("a", 30.1)
    assert book.take_wanted(10) == ("a",)
    book.live("a", 30.2)
    assert not book.wants
    book.answered(("a",))
    book.live("a", 30.3)
    assert book.wants


def test_an_idle_lease_is_never_renewed(book):
    book.put(lease("a"))
    book.sweep(59.0)
    assert not book.wants
    assert len(book) == 0


def test_what_has_run_out_leaves_memory_with_the_next_sweep(book):
    book.put(lease("a"))
    book.put(lease("b", asked_at_s=10.0))
    book.sweep(60.0)
    assert (book.live("a", 5.0), len(book)) == (None, 1)


def test_beyond_the_limit_the_oldest_goes_back_to_the_vault(book):
    for name in "abcd":
        book.put(lease(name))
    assert len(book) == 3
    assert book.live("a", 1.0) is None
    assert book.take_returned() == (lease("a").lease_id,)
    assert book.take_returned() == ()


def test_a_renewed_lease_gives_the_old_one_back_and_counts_as_new(book):
    for name in "abc":
        book.put(lease(name))
    book.put(lease("a", asked_at_s=30.0))
    assert book.take_returned() == (lease("a").lease_id,)
    book.put(lease("d"))
    assert book.live("a", 80.0) is not None
    assert book.live("b", 1.0) is None


def test_a_revoked_lease_is_dead_at_once_and_is_given_back(book):
    book.put(lease("a"))
    book.revoke("a", 5.0)
    assert book.live("a", 5.0) is None
    assert book.take_returned() == (lease("a").lease_id,)


def test_an_answer_from_before_a_revocation_counts_no_more(book):
    book.revoke("a", 5.0)
    assert book.is_outdated("a", 4.9)
    assert book.is_outdated("a", 5.0)
    assert not book.is_outdated("a", 5.1)
    assert not book.is_outdated("b", 0.0)


def test_revocations_are_forgotten_after_every_question_has_ended(book):
    book.revoke("a", 5.0)
    book.sweep(70.0)
    assert not book.is_outdated("a", 4.0)


def test_a_validator_that_stops_gives_everything_back(book):
    for name in "ab":
        book.put(lease(name))
    book.want("c")
    book.clear()
    assert len(book) == 0
    assert set(book.take_returned()) == {lease("a").lease_id, lease("b").lease_id}
    assert not book.wants


def test_a_question_asks_for_no_more_than_it_may(book):
    for name in "abcde":
        book.want(name)
    assert book.take_wanted(2) == ("a", "b")
    assert book.take_wanted(9) == ("c", "d", "e")


def test_no_key_shows_in_what_is_printed():
    assert "lease_key" not in repr(lease("a"))


def test_a_lease_for_events_seals_events_and_admits_nothing(book):
    book.put_sealing(lease("a"))
    assert book.sealable("a", 10.0) is not None
    assert book.live("a", 10.0) is None
    assert not book.wants


def test_events_are_sealed_under_a_lease_for_requests_too(book):
    book.put(lease("a"))
    assert book.sealable("a", 10.0) is not None


def test_a_lease_for_events_is_used_up_to_its_end_and_dropped_then(book):
    book.put_sealing(lease("a"))
    assert book.sealable("a", 58.99) is not None
    assert book.sealable("a", 59.0) is None
    book.sweep(59.0)
    book.clear()
    assert book.take_returned() == ()


def test_a_revocation_drops_a_lease_for_events(book):
    book.put_sealing(lease("a"))
    book.revoke("a", 10.0)
    assert book.sealable("a", 10.0) is None


def test_leases_for_events_are_bounded_and_given_back(book):
    for name in "abcd":
        book.put_sealing(lease(name))
    assert book.sealable("a", 1.0) is None
    book.clear()
    assert [id_[:1] for id_ in book.take_returned()] == [b"a", b"b", b"c", b"d"]
