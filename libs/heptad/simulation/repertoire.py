"""All that a villain may be told to do, by name: what scenarios say and campaigns draw from."""

from collections.abc import Sequence
from random import Random
from typing import Final

from heptad.consensus.committee import Cell
from heptad.consensus.leaders import Schedule
from heptad.consensus.ports import Signer
from heptad.model.ids import MemberIndex
from heptad.simulation import initiatives, lies
from heptad.simulation.byzantine import Initiative, Trick, Villain

TRICKS: Final[dict[str, Trick]] = {
    trick.__name__: trick
    for trick in (
        lies.silent,
        lies.withhold_votes,
        lies.withhold_certificates,
        lies.withhold_data,
        lies.dawdle,
        lies.equivocate,
        lies.two_timeouts,
        lies.understate,
        lies.stale,
        lies.empty,
        lies.invalid,
        lies.forge,
        lies.poison,
        lies.misserve,
    )
}

INITIATIVES: Final[dict[str, Initiative]] = {
    act.__name__: act
    for act in (
        initiatives.replay,
        initiatives.future,
        initiatives.garbage,
        initiatives.slander,
        initiatives.confess,
    )
}

CENSOR: Final = "censor"
"""Not a lie but a deaf ear: nothing of `validator-1` is taken in, and so never proposed."""

NAMES: Final = (*TRICKS, *INITIATIVES, CENSOR)

_NEED_THE_CHAIN: Final = frozenset({"stale", "empty"})
"""Tricks that make up whole blocks, for which a villain has to have heard what others propose."""


def villain_of(
    names: Sequence[str],
    *,
    me: MemberIndex,
    cell: Cell,
    schedule: Schedule,
    signer: Signer,
    cosigner: Signer,
    rng: Random,
) -> Villain:
    """A villain who does what these names say. Raises: ValueError if one is not known."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ValueError(f"villains know {', '.join(NAMES)}; not {', '.join(unknown)}")
    return Villain(
        me=me,
        cell=cell,
        schedule=schedule,
        signer=signer,
        cosigner=cosigner,
        rng=rng,
        tricks={name: TRICKS[name] for name in names if name in TRICKS},
        initiatives={name: INITIATIVES[name] for name in names if name in INITIATIVES},
        is_curious=not _NEED_THE_CHAIN.isdisjoint(names),
        is_censor=CENSOR in names,
    )
