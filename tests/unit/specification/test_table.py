"""What must hold is exhausted and holds; what must fail does, by steps that the rules forbid."""

from dataclasses import replace

import pytest

from heptad.specification.invariants import INVARIANTS
from heptad.specification.messages import (
    GENESIS,
    Block,
    Knowledge,
    Protocol,
    Step,
    timeout,
    vote,
)
from heptad.specification.rules import Group
from heptad.specification.table import (
    ALL,
    CONFIGURATIONS,
    FORK,
    FOUR,
    MUST_FAIL,
    MUST_HOLD,
    Configuration,
    Outcome,
    objected,
    replayed,
    run,
    story,
)


def name(configuration):
    return f"{configuration.name} ({configuration.method})"


@pytest.mark.parametrize("configuration", MUST_HOLD, ids=name)
def test_what_must_hold_is_exhausted_and_holds(configuration):
    outcome = run(configuration)

    assert outcome.told is None
    assert outcome.is_finished


@pytest.mark.parametrize("configuration", MUST_FAIL, ids=name)
def test_what_must_fail_fails_by_steps_that_the_full_rules_forbid(configuration):
    """Or in which these find no harm; the unreduced model agrees with what went wrong."""
    outcome = run(configuration)

    assert outcome.told is not None
    assert outcome.told.startswith(configuration.fails)
    assert replayed(configuration, outcome.steps) == outcome.told
    # A counter-example that the protocol itself allowed would be a bug of the protocol.
    objection = objected(configuration, outcome.steps)
    assert objection.startswith(("step ", "the rules are for ", "every step is allowed"))


def test_every_rule_is_taken_out_by_some_configuration():
    switches = [name for name, value in vars_of(ALL).items() if value is True]
    untouched = [
        name for name in switches
        if all(vars_of(each.rules)[name] for each in CONFIGURATIONS)
    ]  # fmt: skip
    assert untouched == []


def vars_of(rules):
    return {name: getattr(rules, name) for name in type(rules).__slots__}


def test_a_search_that_ran_out_of_states_is_no_proof():
    outcome = run(MUST_HOLD[0], states_max=100)

    assert not outcome.is_finished
    assert not outcome.is_as_it_must_be


def test_a_row_that_should_fail_and_does_not_is_not_as_it_must_be():
    healthy = Configuration("all rules", ALL, FOUR, "rounds", 3, FORK)

    assert not run(healthy).is_as_it_must_be


def test_a_counter_example_that_the_unreduced_model_refuses_does_not_count():
    steps = [Step(0, vote(Block(2, GENESIS, 0)))]

    assert replayed(MUST_FAIL[0], steps) is None


def test_a_fork_is_told_step_by_step_and_with_the_rule_that_forbids_it():
    outcome = run(Configuration("x", replace(ALL, tc_floor=False), FOUR, "rounds", 4, FORK))
    lines = story(outcome)

    assert lines[0] == "  1. member 1 votes in round 1 for B1→B0"
    assert lines[-2] == "agreement: B1→B0 and B3→B0 are both committed"
    assert lines[-1] == "with all rules: step 7 is refused: justify 0 < claim 1 in TC 2"


def test_where_nothing_is_wrong_there_is_no_story():
    assert story(Outcome(MUST_HOLD[0], 1, True, None, (), None)) == []


def test_members_keep_their_numbers_through_a_counter_example():
    """Two votes of one member are two votes of that member, however often places were changed."""
    outcome = run(Configuration("x", replace(ALL, vote_once=False), FOUR, "rounds", 3, FORK))
    voted = [(step.member, step.said.round) for step in outcome.steps]

    assert len(set(voted)) < len(voted)


def test_time_outs_are_told_with_their_claims():
    assert Step(1, timeout(3, 2)).text() == "member 2 gives up on round 3, claiming QC 2"
    assert Step(1, None).text() == "member 2 crashes and starts again"


def test_a_group_with_too_many_liars_is_not_called_the_protocol_itself():
    assert MUST_HOLD[0].has_all_rules
    assert not replace(MUST_HOLD[0], group=Group(4, 2)).has_all_rules


def test_every_invariant_is_violated_by_some_counter_example():
    """An invariant that nothing can violate checks nothing."""
    violated = set()
    for configuration in MUST_FAIL:
        protocol = Protocol(configuration.rules, configuration.group, 64)
        state = protocol.initial()
        for step in run(configuration).steps:
            state = protocol.after(state, step)
        knowledge = Knowledge(configuration.rules, configuration.group, state)
        violated |= {
            name for name, invariant in INVARIANTS.items()
            if invariant(configuration.rules, configuration.group, state, knowledge) is not None
        }  # fmt: skip

    assert violated == set(INVARIANTS)
