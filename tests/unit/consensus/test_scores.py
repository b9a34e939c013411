"""Peers that lie or say nothing are asked later; nobody is left aside for good."""

import pytest

from heptad.consensus.limits import Limits
from heptad.consensus.scores import Scores
from heptad.consensus.wants import Wants

LIMITS = Limits(fetch_retry_ms=100, aside_ms_max=10_000)
OTHERS = (1, 2, 3)


@pytest.fixture
def scores():
    return Scores(LIMITS)


def aside_ms(scores, peer, now_ms):
    return next(ms for ms in range(0, 50_000, 50) if not scores.is_aside(peer, now_ms + ms))


def test_a_peer_that_lies_is_left_aside_for_longer_than_one_that_is_silent(scores):
    scores.silent(1, now_ms=0)
    scores.lied(2, now_ms=0)
    assert 0 < aside_ms(scores, 1, 0) < aside_ms(scores, 2, 0)
    assert not scores.is_aside(3, 0)


def test_a_peer_is_left_aside_longer_each_time_and_never_for_good(scores):
    times = []
    now_ms = 0
    for _ in range(40):
        scores.lied(1, now_ms)
        times.append(aside_ms(scores, 1, now_ms))
        now_ms += 100_000
    assert times[1] > times[0]
    assert max(times) == times[-1] == LIMITS.aside_ms_max


def test_a_silent_peer_is_never_aside_for_long(scores):
    """It may not have what was asked for: that is no wrong."""
    for _ in range(40):
        scores.silent(1, now_ms=0)
    assert aside_ms(scores, 1, 0) <= 8 * LIMITS.fetch_retry_ms


def test_a_useful_answer_brings_a_peer_back_at_once(scores):
    scores.silent(1, now_ms=0)
    scores.useful(1)
    assert not scores.is_aside(1, 0)


def test_a_lie_is_not_shortened_by_silence(scores):
    scores.lied(1, now_ms=0)
    before = aside_ms(scores, 1, 0)
    scores.silent(1, now_ms=0)
    assert aside_ms(scores, 1, 0) >= before


def wants(scores):
    return Wants(others=OTHERS, retry_ms=100, count_max=9, scores=scores)


def test_whoever_is_aside_is_asked_after_all_others(scores):
    wanted = wants(scores)
    scores.lied(1, now_ms=0)
    wanted.add("x", hints=(1,), now_ms=0)
    asked = [next(iter(wanted.due(now_ms))) for now_ms in range(0, 600, 100)]
    assert asked == [2, 3, 1, 2, 3, 1]


def test_only_who_was_really_asked_counts_as_asked(scores):
    """Else one peer that is not aside counts for all others, and its word for theirs."""
    wanted = wants(scores)
    for peer in (2, 3):
        for _ in range(5):
            scores.lied(peer, now_ms=0)
    wanted.add("x", hints=(2,), now_ms=0)
    assert list(wanted.due(0)) == [1]
    assert wanted.asked("x") == 1
    assert [next(iter(wanted.due(now_ms))) for now_ms in (100, 200)] == [2, 3]
    assert wanted.asked("x") == wanted.asked_max() == 3


def test_if_all_are_aside_all_are_asked(scores):
    wanted = wants(scores)
    for peer in OTHERS:
        for _ in range(5):
            scores.lied(peer, now_ms=0)
    wanted.add("x", hints=(), now_ms=0)
    asked = [next(iter(wanted.due(now_ms))) for now_ms in (0, 100, 200)]
    assert asked == [1, 2, 3]


def test_who_lets_a_request_run_out_counts_as_silent_once(scores):
    wanted = wants(scores)
    for key in "xyz":
        wanted.add(key, hints=(1,), now_ms=0)
    wanted.due(0)
    assert not scores.is_aside(1, 99)
    wanted.due(100)
    assert scores.is_aside(1, 100)
    assert scores._strikes == {1: 1}


def test_who_has_answered_is_not_silent(scores):
    wanted = wants(scores)
    wanted.add("x", hints=(1,), now_ms=0)
    wanted.due(0)
    wanted.pass_on("x", 1, now_ms=5)
    assert list(wanted.due(5)) == [2]
    assert not scores.is_aside(1, 5)
