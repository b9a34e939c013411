"""Twins: two copies of one member, each honest by itself, together Byzantine.

Both copies hold the same identity and keys and know nothing of each other. Whatever is sent to the
member reaches both, as far as partitions let it. As the network splits and joins, the copies see
different messages, vote for different blocks of one round, propose twice and forget what the other
has promised: equivocation, amnesia and double voting come out of honest code and timing alone.

Up to f members with twins may never make a fork. With n - 2f of them (f + 1 where n = 3f + 1) they
must, sooner or later: a quorum then no longer meets every other one in a member that is whole. That
is the negative control: if the checkers do not find the fork, they are blind.

Source: Bano et al., "Twins: BFT Systems Made Robust", OPODIS 2021.
"""

from random import Random
from typing import Final

from heptad.simulation.scenario import Action, Allow, Heal, Partition, PartitionRounds

ROUNDS_APART: Final = 12
"""So many rounds are cut up ahead of the group at a time."""


def twin_name(member: str) -> str:
    """The name of the second copy."""
    return f"{member}-twin"


def partitions(
    *, members: tuple[str, ...], twins: tuple[str, ...], rng: Random, until_ms: int
) -> list[Action]:
    """A schedule of partitions that keeps separating the two copies of each twin."""
    actions: list[Action] = []
    at_ms = rng.randrange(50)
    while at_ms < until_ms:
        if rng.random() < 0.15:
            actions.append(Heal(at_ms))
        else:
            groups = _groups(members, twins, rng)
            actions.append(Partition(at_ms, groups, holds=rng.random() < 0.5))
        at_ms += rng.choice((20, 60, 200, 600, 1_500)) + rng.randrange(100)
    return actions


def rounds_apart(
    *, members: tuple[str, ...], twins: tuple[str, ...], rng: Random, until_ms: int
) -> list[Action]:
    """A partition for each of some rounds, again and again while the history lasts.

    Mostly the same one for two or three rounds in a row: that is how long it takes to commit.
    """
    actions: list[Action] = []
    at_ms, first = rng.randrange(50), 1
    while at_ms < until_ms:
        rounds: list[tuple[tuple[str, ...], ...]] = []
        while len(rounds) < ROUNDS_APART:
            rounds += [_groups(members, twins, rng)] * rng.choice((1, 2, 3, 3))
        actions += [Allow(at_ms), PartitionRounds(at_ms, first, tuple(rounds[:ROUNDS_APART]))]
        first += rng.randint(1, ROUNDS_APART)
        at_ms += rng.choice((200, 600, 1_500)) + rng.randrange(100)
    return actions


def _groups(
    members: tuple[str, ...], twins: tuple[str, ...], rng: Random
) -> tuple[tuple[str, ...], ...]:
    """Two groups, sometimes three; mostly with one copy of each twin on each side."""
    groups: list[list[str]] = [[] for _ in range(2 if rng.random() < 0.75 else 3)]
    whole = [member for member in members if member not in twins]
    rng.shuffle(whole)
    for index, member in enumerate(whole):
        side = index % len(groups) if rng.random() < 0.7 else rng.randrange(len(groups))
        groups[side].append(member)
    for member in twins:
        sides = rng.sample(range(len(groups)), 2)
        if rng.random() < 0.15:
            sides[1] = sides[0]
        groups[sides[0]].append(member)
        groups[sides[1]].append(twin_name(member))
    return tuple(tuple(sorted(group)) for group in groups if group)
