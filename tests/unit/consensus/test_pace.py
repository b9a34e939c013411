import pytest

from heptad.consensus.limits import Limits
from heptad.consensus.pace import Pace

LIMITS = Limits(pace_ms=25)


def paced(took_ms, every_ms=200, times=60, limits=LIMITS):
    """After many blocks with batches, each certified after `took_ms`; the last one goes out now."""
    pace = Pace(limits)
    for round_ in range(times):
        begun_ms = (round_ - times + 1) * every_ms
        pace.proposed(round_, begun_ms, has_batches=True)
        if round_ < times - 1:
            pace.certified(round_, begun_ms + took_ms)
    return pace


def test_the_first_block_waits_for_nothing():
    assert Pace(LIMITS).due_ms(has_batches=True) == 0


def test_a_fast_group_keeps_the_pace_that_is_configured():
    assert paced(took_ms=5).due_ms(has_batches=True) == 25


def test_a_slow_group_waits_three_times_as_long_as_its_certificates_take():
    assert paced(took_ms=20).due_ms(has_batches=True) in (59, 60)


def test_no_group_waits_longer_than_four_paces():
    limits = Limits(pace_ms=25, timeout_ms_min=1_000)
    assert paced(took_ms=900, every_ms=1_000, limits=limits).due_ms(has_batches=True) == 100


@pytest.mark.parametrize("pace_ms", [60, 1_000])
def test_no_pace_is_longer_than_half_of_the_shortest_time_out(pace_ms):
    limits = Limits(pace_ms=pace_ms, timeout_ms_min=200)
    assert paced(took_ms=900, every_ms=1_000, limits=limits).wait_ms == 100


def test_without_a_pace_nothing_is_ever_waited_for():
    pace = Pace(Limits(pace_ms=0))
    pace.proposed(1, 0, has_batches=True)
    pace.certified(1, 500)
    assert pace.wait_ms == 0


def test_from_idle_the_empty_block_behind_the_batches_goes_out_at_once():
    """However soon one request comes after the other."""
    assert paced(took_ms=5, every_ms=26).due_ms(has_batches=False) == 0


def test_under_load_the_empty_block_waits_for_its_pace_since_the_next_batches_do_its_work():
    pace = paced(took_ms=5, every_ms=26)
    pace.hold()
    pace.proposed(99, 100, has_batches=True)
    assert pace.due_ms(has_batches=False) == 125


def test_load_is_over_with_the_first_batches_that_do_not_have_to_wait():
    pace = paced(took_ms=5)
    pace.hold()
    pace.proposed(98, 100, has_batches=True)
    pace.proposed(99, 200, has_batches=True)
    assert pace.due_ms(has_batches=False) == 0


def test_only_my_own_block_is_measured_and_only_once():
    pace = Pace(LIMITS)
    pace.proposed(7, 0, has_batches=True)
    pace.certified(6, 900)
    pace.certified(7, 5)
    pace.certified(7, 900)
    assert pace.wait_ms == 25


def test_an_empty_block_is_measured_but_begins_no_pace():
    pace = Pace(LIMITS)
    pace.proposed(1, 0, has_batches=True)
    pace.proposed(2, 10, has_batches=False)
    for _ in range(20):
        pace.proposed(3, 10, has_batches=False)
        pace.certified(3, 30)
    assert pace.due_ms(has_batches=True) in (59, 60)
