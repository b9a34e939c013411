"""Headers that wait: how many, and until when."""

import pytest

from heptad.consensus.parking import Parked, ParkedBlocks


@pytest.fixture
def idle(make_world):
    return make_world()


def parked(verified, **changes):
    fields = {"vote": None, "is_certified": False, "source": 1}
    return Parked(verified.block, verified.entry, **(fields | changes))


def rounds_in(waiting):
    return [each.block.round for each in waiting.all()]


def test_the_number_of_parked_headers_is_bounded_but_for_a_chunk(idle):
    waiting = ParkedBlocks(count_max=2)
    one, two, three = idle.chain([1, 2, 3])
    assert [waiting.add(parked(each)) for each in (one, two, three)] == [True, True, False]
    assert rounds_in(waiting) == [1, 2]
    assert waiting.add(parked(three), is_urgent=True)
    assert not waiting.add(parked(three), is_urgent=True)
    assert rounds_in(waiting) == [1, 2, 3]


def test_what_is_of_no_use_any_more_is_let_go_of(idle):
    """Uncertified, and of an earlier round; or at a height that is committed, whatever it is."""
    waiting = ParkedBlocks(count_max=8)
    one, two, three, four = idle.chain([1, 2, 3, 4])
    for each, is_certified in ((one, True), (two, True), (three, False), (four, False)):
        waiting.add(parked(each, is_certified=is_certified))

    gone = waiting.forget(height=1, round_=4)

    assert [each.block.round for each in gone] == [1, 3]
    assert rounds_in(waiting) == [2, 4]
    assert waiting.forget(height=1, round_=4) == []
