"""What is read off the times of answers: when throughput was back, and the longest silence."""

from heptad.trials.faults.history import History, back_at_s, longest_gap_s, rate_per_s


def steady(start_s, end_s, per_s):
    return [start_s + number / per_s for number in range(int((end_s - start_s) * per_s))]


def test_a_rate_counts_what_lies_between():
    assert rate_per_s(steady(0, 10, 50), start_s=2, end_s=4) == 50


def test_throughput_that_never_fell_is_back_at_once():
    times_s = steady(0, 10, 50)
    assert back_at_s(times_s, mark_s=4, end_s=9, before_per_s=50) == 4


def test_throughput_is_back_when_a_window_as_before_begins():
    times_s = [*steady(0, 4, 50), *steady(7, 12, 50)]
    back_s = back_at_s(times_s, mark_s=4, end_s=12, before_per_s=50)
    # A window that begins in the last fifth of the silence has 80 % already.
    assert 6.75 <= back_s <= 7


def test_a_trickle_is_not_what_it_was_before():
    times_s = [*steady(0, 4, 50), *steady(4, 12, 20)]
    assert back_at_s(times_s, mark_s=4, end_s=12, before_per_s=50) is None


def test_a_window_that_has_not_passed_is_not_judged():
    times_s = steady(0, 10, 50)
    assert back_at_s(times_s, mark_s=9.5, end_s=10, before_per_s=1) is None


def test_the_longest_silence_reaches_to_the_ends():
    times_s = [1.0, 2.0, 2.5]
    assert longest_gap_s(times_s, start_s=1.5, end_s=6.0) == 3.5
    assert longest_gap_s([], start_s=1.0, end_s=4.0) == 3.0


def test_two_indexes_for_one_request_are_noticed():
    history = History()
    history.acknowledge("a", 3, now_s=1.0)
    history.acknowledge("a", 3, now_s=2.0)
    assert not history.broken
    history.acknowledge("a", 4, now_s=3.0)
    assert history.broken == ["a was acknowledged at 3 and at 4"]
