"""What an auditor goes by, and what comes out of one look at a log."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from heptad.auditing.state import AuditState
from heptad.auditing.walk import RECHECK_BUNDLES
from heptad.consensus.committee import Cell
from heptad.transparency.policy import Policy
from heptad.verification.alarms import Raised
from heptad.verification.bundles import Keys

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how many entries are read, and of how many. May raise StoppedError."""

ALARMS_MAX: Final = 256
"""Alarms of one look that are told in full; more are counted."""


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
    says why the rest could not be looked at, after something had been found; mostly empty.
    """

    state: AuditState
    raised: Sequence[Raised]
    entries: int
    untold: Counter[str]
    quorum_time_s: int = 0
    away: str = ""
