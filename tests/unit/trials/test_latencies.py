"""Percentiles that people compare must be times that some request really took."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.trials.latencies import Latencies


def test_no_durations_give_zeros():
    assert Latencies.of([]) == Latencies(0, 0.0, 0.0, 0.0, 0.0)


def test_percentiles_are_of_the_nearest_rank():
    found = Latencies.of([number / 1000 for number in range(1, 101)])

    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == pytest.approx(
        (50.0, 95.0, 99.0, 100.0)
    )


def test_the_95th_of_twenty_is_the_19th():
    assert Latencies.of([number / 1000 for number in range(1, 21)]).p95_ms == pytest.approx(19.0)


@given(st.lists(st.floats(0, 100), min_size=1))
def test_every_percentile_is_one_of_the_durations_and_they_do_not_decrease(durations_s):
    found = Latencies.of(durations_s)
    order = [found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms]

    assert order == sorted(order)
    assert {*order} <= {value * 1000 for value in durations_s}
    assert found.max_ms == max(durations_s) * 1000
