"""Does a campaign still do all that it could? A generator that has gone blind finds nothing.

Histories count what happened by name. What *can* happen is listed here, and taken as far as that
goes from the code itself (actions of a scenario, scripts of villains, kinds of messages, …): a new
script that is never drawn, or a path that nothing leads to any more, is missed by name.
"""

from collections.abc import Mapping
from typing import Final, get_args

from heptad.consensus import facts
from heptad.consensus.messages import Message
from heptad.simulation.disk import WriteFault
from heptad.simulation.machine import CutPoint
from heptad.simulation.repertoire import NAMES
from heptad.simulation.scenario import Action, Forbid
from heptad.simulation.validators import Manner

_DEATHS: Final = {
    WriteFault.NOTHING_KEPT: "a failed write that left nothing",
    WriteFault.ALL_KEPT: "a failed write that left everything",
    WriteFault.FULL: "a full disk",
    WriteFault.TORN: "a torn write",
}

_WEATHER: Final = (
    "lost", "duplicated", "reordered", "straggled", "cut", "held", "ruled_out",
)  # fmt: skip

_PATHS: Final = (
    facts.MESSAGE_REFUSED,
    facts.VOTE_REFUSED,
    facts.LEADER_REFUSED,
    facts.CATCHING_UP,
    facts.JUMPED,
    f"{facts.ROUND_ENTERED} (qc)",
    f"{facts.ROUND_ENTERED} (tc)",
    f"{facts.ROUND_TIMED_OUT} (clock)",
    f"{facts.ROUND_TIMED_OUT} (others)",
    f"{facts.EVIDENCE} (blocks)",
    f"{facts.EVIDENCE} (heads)",
    f"{facts.EVIDENCE} (batches)",
)
"""What honest code does only in trouble, by the facts that it reports."""

EXPECTED: Final = (
    *(each.__name__ for each in get_args(Action) if each is not Forbid),
    *(f"villain: {name}" for name in NAMES),
    *(f"validator: {manner.value}" for manner in Manner),
    *(f"says {each.__name__}" for each in get_args(Message)),
    *(f"messages {name}" for name in _WEATHER),
    *(f"death by a power cut {point.value.replace('_', ' ')}" for point in CutPoint),
    *(f"death by {_DEATHS[fault]}" for fault in WriteFault),
    *_PATHS,
    "death by a crash",
    "machine restarts",
    "stays down for ever",
    "clocks set right",
    "batches OVERLOADED",
    "twins",
    "proofs of two blocks",
    "proofs of two heads",
    "proofs of two batches",
    "steps by the specification",
)
"""All that random histories contain, sooner or later. (`Forbid` is for stories only.)"""


def missing(counts: Mapping[str, int]) -> list[str]:
    """What of `EXPECTED` has not occurred once."""
    return [name for name in EXPECTED if not counts.get(name)]
