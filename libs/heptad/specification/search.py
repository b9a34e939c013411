"""Breadth first through all states: the shortest way to a violation, or the count of all there are.

Any model will do that has an initial state, steps out of each, and a name for what is wrong with
one. States that `canonical` makes equal are visited once. A limit on states ends a search as
*unfinished*, which is never taken for a proof.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Model(Generic[S, A]):
    """What a search needs to know. `wrong` says what a state violates, or None.

    `canonical` maps a state to its representative; the search goes on from that one.
    """

    initial: S
    successors: Callable[[S], Iterator[tuple[A, S]]]
    wrong: Callable[[S], str | None]
    canonical: Callable[[S], S] = lambda state: state


@dataclass(frozen=True, slots=True)
class Found(Generic[A]):
    """How a search ended.

    `violation` is None if no state is wrong; else `path` leads there, along representatives.
    `is_finished` is False if the limit was reached first.
    """

    states: int
    transitions: int
    depth: int
    violation: str | None
    path: tuple[A, ...]
    is_finished: bool


def search(model: Model[S, A], *, states_max: int) -> Found[A]:
    """Visit every state once, nearest first, until one is wrong or `states_max` are known."""
    start = model.canonical(model.initial)
    came_from: dict[S, tuple[S, A] | None] = {start: None}
    frontier, depth, transitions = [start], 0, 0
    violation = model.wrong(start)
    if violation is not None:
        return Found(1, 0, 0, violation, (), True)
    while frontier:
        depth += 1
        reached: list[S] = []
        for state in frontier:
            for action, after in model.successors(state):
                transitions += 1
                key = model.canonical(after)
                if key in came_from:
                    continue
                came_from[key] = (state, action)
                reached.append(key)
                violation = model.wrong(key)
                if violation is not None:
                    path = _path(came_from, key)
                    return Found(len(came_from), transitions, depth, violation, path, True)
                if len(came_from) >= states_max:
                    return Found(len(came_from), transitions, depth, None, (), False)
        frontier = reached
    return Found(len(came_from), transitions, depth - 1, None, (), True)


def _path(came_from: dict[S, tuple[S, A] | None], state: S) -> tuple[A, ...]:
    actions: list[A] = []
    step = came_from[state]
    while step is not None:
        state, action = step
        actions.append(action)
        step = came_from[state]
    return tuple(reversed(actions))
