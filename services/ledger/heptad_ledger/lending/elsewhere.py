"""Whose keys are on loan to another than their first validator, and who has to be told.

A validator looks a request up in the log only where another one may have admitted it before. It
knows by the ranking which subjects are not its own; that somebody else works for one of *its own*
(a fail-over, or a service at the wrong door) only the ledger knows, for nobody admits a request
without a lease. So the first validator is told before the other one gets its lease: from then on it
looks that subject's requests up, as far as they were signed while such a lease could be used.

Kept in memory and no longer than such a request can be fresh. A ledger that starts anew has nothing
to say of earlier leases, and need not: a first validator that was connected remembers what it was
told, and one that starts anew itself looks up all that was signed before its start.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from heptad.model.lending import LEASE_SUBJECTS_MAX, LentElsewhere
from heptad.model.routing import ranked
from heptad.runtime.config.cell import Cell
from heptad.runtime.group import member_number
from heptad_ledger.lending.loans import MARGIN_S

SUBJECTS_MAX: Final = 10_000
"""Subjects remembered one by one for each validator; of more it is told to look up everything."""


class ElsewhereBook:
    """Times are seconds of one monotonic clock."""

    def __init__(
        self, *, validators: Sequence[int], ttl_s: float, skew_s_max: int, lifetime_s_max: int
    ) -> None:
        """`ttl_s` is the length of a lease; the other two are the cell's limits for requests."""
        self._validators = tuple(validators)
        self._look_up_s = ttl_s + MARGIN_S + skew_s_max
        self._kept_s = lifetime_s_max + skew_s_max
        self._until_s: dict[str, dict[str, float]] = {}
        self._all_until_s: dict[str, float] = {}

    def lent(
        self, subject_ids: Sequence[str], *, holder: str, now_s: float
    ) -> dict[str, LentElsewhere]:
        """`holder` gets these leases; whom to tell what before that, by validator's id."""
        strays: dict[str, list[str]] = {}
        for subject_id in subject_ids:
            home = f"validator-{ranked(subject_id, self._validators)[0]}"
            if home != holder:
                self._note(home, subject_id, now_s)
                strays.setdefault(home, []).append(subject_id)
        look_up_ms = int(self._look_up_s * 1000)
        return {home: LentElsewhere(tuple(names), look_up_ms) for home, names in strays.items()}

    def of_home(self, home: str, now_s: float) -> Iterator[LentElsewhere]:
        """All that a validator has to know when it connects."""
        self._sweep(home, now_s)
        until_s = self._until_s.get(home, {})
        all_until_s = self._all_until_s.get(home)
        if all_until_s is not None:
            yield LentElsewhere((), _rest_ms(all_until_s, now_s))
        names = list(until_s)
        for start in range(0, len(names), LEASE_SUBJECTS_MAX):
            chunk = tuple(names[start : start + LEASE_SUBJECTS_MAX])
            yield LentElsewhere(chunk, max(_rest_ms(until_s[name], now_s) for name in chunk))

    def forget(self, subject_ids: Iterable[str]) -> None:
        """These are erased: nobody will sign anything in their names again."""
        for subject_id in subject_ids:
            for until_s in self._until_s.values():
                until_s.pop(subject_id, None)

    def _note(self, home: str, subject_id: str, now_s: float) -> None:
        """Remember one subject; the longest-known one gives way to it, as one of all."""
        until_s = self._until_s.setdefault(home, {})
        until_s.pop(subject_id, None)
        until_s[subject_id] = now_s + self._look_up_s
        if len(until_s) > SUBJECTS_MAX:
            oldest_s = until_s.pop(next(iter(until_s)))
            self._all_until_s[home] = max(oldest_s, self._all_until_s.get(home, oldest_s))

    def _sweep(self, home: str, now_s: float) -> None:
        """Forget those whose requests of that time are all stale. The oldest stand in front."""
        over_s = now_s - self._kept_s
        until_s = self._until_s.get(home, {})
        while until_s and until_s[next(iter(until_s))] < over_s:
            del until_s[next(iter(until_s))]
        if self._all_until_s.get(home, over_s) < over_s:
            del self._all_until_s[home]


def elsewhere_book(cell: Cell) -> ElsewhereBook:
    """An empty book of that cell."""
    return ElsewhereBook(
        validators=[member_number(validator.id) for validator in cell.validators],
        ttl_s=cell.limits.lease_s_max,
        skew_s_max=cell.limits.clock_skew_s_max,
        lifetime_s_max=cell.limits.request_lifetime_s_max,
    )


def _rest_ms(until_s: float, now_s: float) -> int:
    """From now on; where that time is over, requests signed up to now are still meant."""
    return max(0, int((until_s - now_s) * 1000))
