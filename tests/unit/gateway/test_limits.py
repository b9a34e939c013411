"""What one client may take."""

import pytest

from heptad.model.problems import Problem
from heptad_gateway.limits import ADDRESSES_MAX, ClientLimit


def admitted(limit, address, now_s, cost=1):
    try:
        limit.admit(address, cost=cost, now_s=now_s)
    except Problem:
        return False
    return True


def test_a_client_gets_its_rate_after_its_burst():
    limit = ClientLimit(10)
    assert sum(admitted(limit, "a", 0.0) for _ in range(100)) == 20
    assert not admitted(limit, "a", 0.0)
    assert admitted(limit, "a", 0.1)
    assert not admitted(limit, "a", 0.1)
    assert sum(admitted(limit, "a", 1.1) for _ in range(100)) == 10


def test_a_quiet_client_saves_up_no_more_than_its_burst():
    limit = ClientLimit(10)
    assert sum(admitted(limit, "a", 10_000.0) for _ in range(100)) == 20


def test_one_client_does_not_pay_for_another():
    limit = ClientLimit(1)
    while admitted(limit, "a", 0.0):
        pass
    assert admitted(limit, "b", 0.0)


def test_a_batch_larger_than_the_bucket_passes_when_that_is_full_and_is_owed():
    limit = ClientLimit(10)
    assert admitted(limit, "a", 0.0, cost=100)
    assert not admitted(limit, "a", 7.9)
    assert admitted(limit, "a", 8.2)


def test_a_refusal_takes_nothing_and_says_how_long_to_wait():
    limit = ClientLimit(10)
    limit.admit("a", cost=20, now_s=0.0)
    with pytest.raises(Problem) as refusal:
        limit.admit("a", cost=20, now_s=0.5)
    assert refusal.value.retry_after_s == 2
    assert admitted(limit, "a", 2.0, cost=20)


def test_who_has_one_address_of_a_network_has_all_of_it():
    limit = ClientLimit(1)
    while admitted(limit, "2001:db8:1:2::1", 0.0):
        pass
    assert not admitted(limit, "2001:db8:1:2:ffff::9", 0.0)
    assert admitted(limit, "2001:db8:1:3::1", 0.0)


@pytest.mark.parametrize("address", ["", "fe80::1%eth0", "not:an:address", "unix"])
def test_any_address_can_be_counted(address):
    assert admitted(ClientLimit(1), address, 0.0)


def test_only_so_many_addresses_are_remembered():
    limit = ClientLimit(1)
    while admitted(limit, "first", 0.0):
        pass
    for number in range(ADDRESSES_MAX):
        admitted(limit, str(number), 0.0)
    # The first is forgotten, and thereby forgiven; memory does not grow with the attack.
    assert admitted(limit, "first", 0.0)
