"""What an auditor goes by, and what comes out of one look at a log."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from heptad.auditing.state import AuditState
from heptad.auditing.walk import RECHECK_BUNDLES
from heptad.consensus.committee import Cell
from heptad.model.bundles import EVENTS_MAX
from heptad.transparency.policy import Policy
from heptad.verification.alarms import Raised
from heptad.verification.bundles import Keys
from heptad.verification.entry_rules import HONEST_BYTES_MAX

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how many entries are read, and of how many. May raise StoppedError."""

ALARMS_MAX: Final = 256
"""Alarms of one look that are told in full; more are counted."""

RANGE_BYTES_MAX: Final = (EVENTS_MAX + 1) * HONEST_BYTES_MAX
"""Of entries that one alarm shows. Where it would take more, some entry is longer than any honest
one: that is an alarm with a proof of its own, and this one is counted."""

RANGES_BYTES_MAX: Final = 32 << 20
"""Of entries that the alarms of one look show, all in all: whoever writes bad entries again and
again takes an auditor's memory otherwise."""


@dataclass(frozen=True, slots=True)
class AuditTerms:
    """`source` is what the log is called in alarms.

    `freeze_after_s` is how old the newest checkpoint may be, 0 for any age. `cell` holds the keys
    that evidence of misbehaviour is judged by; without it such evidence is only reported. `keys`
    are those of the services, by which the signatures of their bundles are judged.
    `recheck_bundles` of those that were proved before are read again at each look.
    """

    policy: Policy
    source: str
    freeze_after_s: int = 0
    cell: Cell | None = None
    keys: Keys | None = None
    recheck_bundles: int = RECHECK_BUNDLES


@dataclass(frozen=True, slots=True)
class LookResult:
    """One look. `state` is what to remember: the one before, unless the log was proved up to there.

    `entries` were read and hashed, `untold` counts the alarms over `ALARMS_MAX` by kind. `away`
    says why the rest could not be looked at, after something had been found; mostly empty. So many
    reads were `repeated`, for they had failed.
    """

    state: AuditState
    raised: Sequence[Raised]
    entries: int
    untold: Counter[str]
    quorum_time_s: int = 0
    away: str = ""
    repeated: int = 0
