"""Real histories, held against the specification: it accepts each of them, and no altered one.

The specification shares no line with the code that it judges. A history in which one vote is moved,
one claim lowered or one event left out must be refused, or the comparison means nothing.
"""

from dataclasses import replace
from functools import partial

import pytest

from heptad.consensus.kernel.rules import Kernel
from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.promise_checker import PromiseChecker
from heptad.simulation.scenario import Wipe
from heptad.simulation.violations import Broken
from heptad.simulation.world import World
from heptad.specification.trace import Committed, GaveUp, Header, Voted, refusal_of

ALL = frozenset(FAULTS)


def scenario_of(seed):
    return random_scenario(seed, members=4, faults=ALL)


def recorded_at(seed):
    world = World(scenario_of(seed))
    world.tracer.keep()
    return world.run(), world.tracer


def test_the_histories_of_all_tests_are_held_against_the_specification(histories):
    counts = histories(range(110_000, 110_010), members=4)

    assert counts["steps by the specification"] > 2_000


@pytest.fixture(scope="module")
def recorded():
    """A history with time-outs, all its events, and the function that judges a variation of it."""
    for seed in range(140_000, 140_100):
        history, tracer = recorded_at(seed)
        kinds = {type(event) for event in tracer.events}
        has_tc = any(isinstance(event, Header) and event.tc is not None for event in tracer.events)
        if history.broken is None and {GaveUp, Committed} <= kinds and has_tc:
            judge = partial(
                refusal_of, members=4, byzantine=tracer.byzantine, genesis=tracer.genesis
            )
            return tracer.events, judge
    raise AssertionError("no history with a time-out certificate in a hundred")


def places(events, kind):
    return [place for place, event in enumerate(events) if isinstance(event, kind)]


def test_a_recorded_history_is_accepted_as_it_was(recorded):
    events, judge = recorded

    assert judge(events) is None


def test_a_vote_that_is_moved_behind_the_members_next_one_is_refused(recorded):
    events, judge = recorded
    first = places(events, Voted)[0]
    member = events[first].member
    second = next(p for p in places(events, Voted) if p > first and events[p].member == member)
    moved = [*events[:first], *events[first + 1 : second + 1], events[first], *events[second + 1 :]]

    assert judge(moved) is not None


def test_a_vote_that_is_left_out_is_missed(recorded):
    """Not every vote is needed by a certificate, but of a whole history some are."""
    events, judge = recorded
    told = [judge([*events[:place], *events[place + 1 :]]) for place in places(events, Voted)[:40]]

    assert any(each is not None and "did not vote" in each for each in told)


def test_a_vote_by_another_member_is_refused(recorded):
    """Each vote once more, by the member after: twice in a round, or for what it gave up on."""
    events, judge = recorded
    place = places(events, Voted)[-1]
    others = {event.member for event in events if isinstance(event, Voted)} - {events[place].member}
    told = [
        judge([*events, events[place]._replace(member=member)]) for member in sorted(others)
    ]  # fmt: skip

    assert all(each is None or "last" in each for each in told)
    assert judge([*events, events[place]]) is not None


def test_a_time_out_with_a_lower_claim_is_refused(recorded):
    events, judge = recorded
    told = []
    for place in places(events, GaveUp):
        if events[place].claim > 0:
            lower = events[place]._replace(claim=events[place].claim - 1)
            told.append(judge([*events[:place], lower, *events[place + 1 :]]))

    assert told
    assert None not in told


def test_a_vote_after_the_time_out_of_its_round_is_refused(recorded):
    """Every vote, preceded by the time-out that would have forbidden it."""
    events, judge = recorded
    rounds = {event.block: event for event in events if isinstance(event, Header)}
    place = places(events, Voted)[5]
    vote = events[place]
    header = rounds[vote.block]
    early = GaveUp(vote.member, header.round, header.justify.round)

    assert "last time-out" in judge([*events[:place], early, *events[place:]])


def test_a_block_with_another_parents_round_is_refused(recorded):
    events, judge = recorded
    place = places(events, Header)[6]
    header = events[place]
    wrong = header._replace(justify=header.justify._replace(round=header.justify.round - 1))

    assert judge([*events[:place], wrong, *events[place + 1 :]]) is not None


def test_a_commit_by_a_block_that_is_no_child_is_refused(recorded):
    events, judge = recorded
    first, second = places(events, Committed)[0], places(events, Committed)[-1]
    wrong = events[second]._replace(blocks=events[first].blocks)

    assert "commits round" in judge([*events[:second], wrong, *events[second + 1 :]])


@pytest.fixture
def _without_promise_checks(monkeypatch):
    """The simulator's own checks of promises are silent: only the specification is left."""
    for name in ("released", "settled"):
        monkeypatch.setattr(PromiseChecker, name, lambda self, *_, **__: None)


@pytest.mark.usefixtures("_without_promise_checks")
@pytest.mark.parametrize("field", ["round_voted", "round_timed_out"])
def test_the_specification_alone_finds_a_kernel_that_forgets(monkeypatch, field):
    original = Kernel._require_votable

    def votable(self, block):
        record = self._record
        self._record = replace(record, **{field: 0})
        try:
            original(self, block)
        finally:
            self._record = record

    monkeypatch.setattr(Kernel, "_require_votable", votable)

    endings = (World(with_a_villain(seed)).run().broken for seed in range(100_014, 100_024))
    assert Broken.SPECIFICATION in endings


def with_a_villain(seed):
    faults = frozenset({"network", "crash", "disk"})
    scenario = random_scenario(seed, members=4, faults=faults)
    actions = tuple(action for action in scenario.actions if not isinstance(action, Wipe))
    return replace(scenario, villains={"replica-1": ("equivocate",)}, actions=actions)


def test_a_history_with_more_liars_than_the_rules_allow_is_not_followed():
    scenario = random_scenario(80_000, members=4, faults=frozenset({"twins"}), twins_count=2)
    world = World(scenario)

    assert world.run().broken in {None, Broken.FORK}
    assert world.tracer.count == 0
