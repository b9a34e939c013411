"""What is remembered is bounded, and forgotten in time."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.entry import Outcome
from heptad.model.problems import Problem
from heptad_validator.memory.expiring import ExpiringMap, MapFullError
from heptad_validator.memory.limits import SubjectLimits
from heptad_validator.memory.recent_answers import RecentAnswers
from heptad_validator.memory.replay import ReplayWindow
from heptad_validator.tickets import Ticket, unpacked


def ticket(number=1, *, exp_s=100, **changes):
    return Ticket(
        request_id=number.to_bytes(32, "big"),
        claims_digest=b"c" * 32,
        exp_s=exp_s,
        time_ms=5,
        **changes,
    )


# The expiring map.


@given(
    puts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 50)), max_size=60),
    sweeps=st.lists(st.integers(0, 60), max_size=10),
)
def test_a_key_is_there_until_the_first_sweep_at_or_after_its_time(puts, sweeps):
    expiring = ExpiringMap(size_max=1_000)
    model = {}
    for count, (key, second) in enumerate(puts):
        if key not in model:
            expiring.put(key, count, expires_at_s=second)
            model[key] = (second, count)
        if sweeps:
            now_s = sweeps.pop()
            expiring.sweep(now_s)
            model = {k: v for k, v in model.items() if v[0] > now_s}
        assert len(expiring) == len(model)
        for name, (_, value) in model.items():
            assert expiring.get(name) == value


def test_a_full_map_takes_no_new_key_and_still_changes_the_old():
    expiring = ExpiringMap(size_max=1)
    expiring.put("a", 1, expires_at_s=5)
    with pytest.raises(MapFullError):
        expiring.put("b", 2, expires_at_s=5)
    expiring.replace("a", 3)
    assert (expiring.get("a"), expiring.get("b")) == (3, None)
    expiring.sweep(5)
    expiring.put("b", 2, expires_at_s=6)


def test_a_key_that_is_gone_is_not_brought_back_by_a_change():
    expiring = ExpiringMap(size_max=1)
    expiring.put("a", 1, expires_at_s=5)
    expiring.sweep(5)
    expiring.replace("a", 2)
    assert expiring.get("a") is None


# The replay window.


def test_a_full_window_says_overloaded():
    window = ReplayWindow(entries_max=1)
    window.add(ticket(1))
    with pytest.raises(Problem, match="overloaded"):
        window.require_room()
    with pytest.raises(Problem, match="overloaded"):
        window.add(ticket(2))


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.ALLOWED, ""), (Outcome.DENIED, "action_not_allowed"), (Outcome.NONE, "")],
)
def test_a_committed_request_is_the_same_in_its_short_form(outcome, code):
    window = ReplayWindow(entries_max=1)
    kept = ticket(outcome=outcome, denied_code=code)
    window.add(kept)
    kept.settle(2**40)
    window.committed([kept])
    found = window.find(kept.request_id)
    assert found is not kept
    assert found.as_recorded(replayed=True) == kept.as_recorded(replayed=True)
    assert found.claims_digest == kept.claims_digest
    assert found.exp_s == kept.exp_s


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**40),
    st.integers(0, 2**50),
    st.integers(0, 2**63),
)
def test_every_ticket_survives_packing(digest, exp_s, time_ms, index):
    whole = Ticket(request_id=bytes(32), claims_digest=digest, exp_s=exp_s, time_ms=time_ms)
    whole.settle(index)
    again = unpacked(whole.request_id, whole.packed())
    for name in Ticket.__slots__:
        assert getattr(again, name) == getattr(whole, name)


# Limits.


def allowed(limits, moments):
    """The moments at which a request passes."""
    passed = []
    for moment in moments:
        with contextlib.suppress(Problem):
            limits.take("s", moment)
            passed.append(moment)
    return passed


def test_who_is_over_the_limit_is_told_how_long_to_wait():
    limits = SubjectLimits(per_minute_max=4)
    allowed(limits, [0.0] * 4)
    with pytest.raises(Problem) as refusal:
        limits.take("s", 1.5)
    assert (refusal.value.code, refusal.value.retry_after_s) == ("subject_rate_limited", 14)


def test_a_subject_may_send_its_minutes_worth_at_once_and_then_at_its_rate():
    limits = SubjectLimits(per_minute_max=6)
    assert len(allowed(limits, [0.0] * 10)) == 6
    assert allowed(limits, [9.0, 10.0, 11.0, 19.0, 20.0]) == [10.0, 20.0]


@given(
    limit=st.integers(1, 50),
    moments=st.lists(st.floats(0, 300), max_size=200).map(sorted),
)
def test_no_minute_ever_holds_more_than_twice_the_limit(limit, moments):
    passed = allowed(SubjectLimits(per_minute_max=limit), moments)
    for start in passed:
        assert sum(start <= moment < start + 60 for moment in passed) <= 2 * limit


@given(gaps=st.lists(st.floats(10.0, 30.0), max_size=100))
def test_who_keeps_to_the_rate_is_never_refused(gaps):
    limits, now_s = SubjectLimits(per_minute_max=6), 0.0
    for gap in gaps:
        limits.take("s", now_s)
        now_s += gap


def test_a_refused_request_takes_nothing_from_the_bucket():
    limits = SubjectLimits(per_minute_max=6)
    allowed(limits, [0.0] * 100)
    assert allowed(limits, [10.0]) == [10.0]


def test_only_who_asked_lately_is_remembered():
    limits = SubjectLimits(per_minute_max=60)
    for number in range(100):
        limits.take(f"s{number}", 0.0)
    limits.sweep(0.5)
    assert len(limits) == 100
    limits.sweep(1.0)
    assert len(limits) == 0


def test_the_map_of_limits_is_bounded():
    limits = SubjectLimits(per_minute_max=60, subjects_max=10)
    for number in range(100):
        limits.take(f"s{number}", 0.0)
    assert len(limits) == 10


# Recent answers.


def test_an_answer_is_found_for_one_to_two_periods():
    recent = RecentAnswers(period_ms=1_000, size_max=10)
    recent.sweep(10.0)
    recent.add(b"k", ticket())
    recent.sweep(10.9)
    recent.sweep(11.0)
    assert recent.find(b"k") is not None
    recent.sweep(12.0)
    assert recent.find(b"k") is None


def test_recent_answers_are_bounded_and_can_be_switched_off():
    recent = RecentAnswers(period_ms=1_000, size_max=1)
    recent.add(b"a", ticket())
    recent.add(b"b", ticket())
    assert recent.find(b"b") is None
    off = RecentAnswers(period_ms=0, size_max=1)
    off.add(b"a", ticket())
    assert off.find(b"a") is None
