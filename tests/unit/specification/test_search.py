"""The search finds the shortest way, visits each state once, and never calls a limit a proof."""

from heptad.specification.search import Model, search


def counting(wrong=lambda _: None, canonical=lambda state: state):
    """Numbers from 0: add one, or double, up to 20."""
    return Model(
        0,
        lambda n: ((name, m) for name, m in (("+1", n + 1), ("*2", 2 * n)) if m <= 20),
        wrong,
        canonical,
    )


def test_the_shortest_way_to_what_is_wrong_is_told():
    found = search(counting(lambda n: "ten" if n == 10 else None), states_max=100)

    assert found.violation == "ten"
    assert len(found.path) == 5


def test_every_state_is_visited_once():
    found = search(counting(), states_max=100)

    assert found.is_finished
    assert found.states == 21


def test_states_that_are_alike_count_once():
    assert search(counting(canonical=lambda n: n % 7), states_max=100).states == 7


def test_a_limit_ends_the_search_unfinished():
    found = search(counting(), states_max=5)

    assert not found.is_finished
    assert found.states == 5


def test_a_beginning_that_is_wrong_needs_no_step():
    assert search(counting(lambda _: "all wrong"), states_max=5).path == ()
