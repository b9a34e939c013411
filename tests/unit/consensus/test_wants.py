"""Asking for what is missing: whom, when, and until when."""

import pytest

from heptad.consensus.limits import Limits
from heptad.consensus.scores import Scores
from heptad.consensus.wants import Wants

OTHERS = (1, 2, 3)


def made(others=OTHERS, count_max=3):
    limits = Limits(fetch_retry_ms=100)
    return Wants(others=others, retry_ms=100, count_max=count_max, scores=Scores(limits))


@pytest.fixture
def wants():
    return made()


def asked(wants, now_ms):
    return dict(wants.due(now_ms).items())


def test_hints_are_asked_first_then_all_others_round_and_round(wants):
    wants.add("x", hints=(3, 3, 9), now_ms=0)
    peers = [next(iter(wants.due(now_ms))) for now_ms in range(0, 600, 100)]
    assert peers == [3, 1, 2, 3, 1, 2]


def test_nobody_is_asked_again_before_the_retry_time(wants):
    wants.add("x", hints=(2,), now_ms=0)
    assert asked(wants, 0) == {2: ["x"]}
    assert asked(wants, 99) == {}
    assert wants.due_ms() == 100
    assert asked(wants, 100) == {1: ["x"]}


def test_what_has_come_is_not_asked_for_any_more(wants):
    wants.add("x", hints=(2,), now_ms=0)
    wants.done("x")
    assert asked(wants, 500) == {}
    assert wants.due_ms() is None


def test_only_what_is_still_needed_is_retained(wants):
    for key in "xyz":
        wants.add(key, hints=(), now_ms=0)
    wants.retain(["y"])
    assert asked(wants, 0) == {1: ["y"]}


def test_the_number_of_wants_is_bounded(wants):
    for key in "wxyz":
        wants.add(key, hints=(), now_ms=0)
    assert len(wants) == 3
    assert "z" not in wants


def test_a_peer_that_has_answered_is_asked_for_the_rest_at_once(wants):
    for key in "xy":
        wants.add(key, hints=(2,), now_ms=0)
    wants.due(0)
    wants.done("x")
    wants.expedite(2, now_ms=5)
    assert asked(wants, 5) == {2: ["y"]}
    assert wants.asked("y") == 1


def test_a_peer_that_is_asked_for_the_rest_at_once_is_not_asked_twice_in_a_round(wants):
    for key in "xy":
        wants.add(key, hints=(2,), now_ms=0)
    wants.due(0)
    wants.expedite(2, now_ms=5)
    peers = [next(iter(wants.due(now_ms))) for now_ms in range(5, 605, 100)]
    assert peers == [2, 1, 3, 2, 1, 3]
    assert wants.asked("y") == 6


def test_a_replica_alone_asks_nobody():
    wants = made(others=())
    wants.add("x", hints=(), now_ms=0)
    assert wants.due_ms() is None
