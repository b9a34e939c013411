"""The tour tells of each step, and stops where a promise was not kept."""

import asyncio

import pytest

from heptad.model.problems import Problem
from heptad.trials.tour.steps import Disproved, Step, require, take


async def holding(_scene):
    return "shown"


def failing(error):
    async def act(_scene):
        raise error

    return act


def walk(*acts):
    shown = []
    steps = [Step("auditor", f"claim {number}", act) for number, act in enumerate(acts)]
    held = asyncio.run(take(steps, None, shown.append))
    return held, shown


def test_all_steps_are_told_while_they_hold():
    held, shown = walk(holding, holding)

    assert held
    assert [(step.claim, step.holds, step.detail) for step in shown] == [
        ("claim 0", True, "shown"),
        ("claim 1", True, "shown"),
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Disproved("two became one"), "two became one"),
        (Problem("overloaded", "full"), "overloaded: full"),
        (TimeoutError(), "in time"),
        (OSError("gone"), "gone"),
    ],
)
def test_the_first_step_that_fails_is_the_last(error, words):
    held, shown = walk(holding, failing(error), holding)

    assert not held
    assert len(shown) == 2
    assert not shown[1].holds
    assert words in shown[1].detail


def test_a_bug_is_no_finding():
    with pytest.raises(ZeroDivisionError):
        walk(failing(ZeroDivisionError()))


def test_require_raises_only_when_it_must():
    require(1, "never said")
    with pytest.raises(Disproved, match="said"):
        require([], "said")
