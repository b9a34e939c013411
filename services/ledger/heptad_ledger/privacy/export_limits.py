"""How much may be exported: at a time in all, and of one subject.

An export is the dearest thing that anybody may ask of a ledger, and the one that hands out most.
The bucket of a subject is the generic cell rate algorithm, one number for each: the moment at which
it would be full again (ITU-T I.371, annex A).
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from heptad.model.problems import Problem

SUBJECTS_MAX: Final = 100_000
_HOUR_S: Final = 3_600.0


class ExportLimits:
    """`now_s` is a monotonic clock; subjects are known by their ids, in memory only."""

    def __init__(self, *, at_once_max: int, per_hour_max: int, now_s: Callable[[], float]) -> None:
        self._at_once_max = at_once_max
        self._per_hour_max = per_hour_max
        self._now_s = now_s
        self._under_way: set[str] = set()
        self._full_at_s: dict[str, float] = {}

    @property
    def under_way(self) -> int:
        """Exports at this moment."""
        return len(self._under_way)

    @contextmanager
    def one(self, subject_id: str, *, by_officer: bool = False) -> Iterator[None]:
        """Count one export of this subject while it lasts.

        A quarter of the places is for officers only: subjects who take theirs slowly may keep all
        of the others for an hour.

        Raises: Problem `overloaded`, `export_rate_limited`; then nothing was counted.
        """
        if subject_id in self._under_way:
            detail = "an export of this subject is under way"
            raise Problem("export_rate_limited", detail, retry_after_s=5)
        reserved = 0 if by_officer else self._at_once_max // 4
        if len(self._under_way) >= self._at_once_max - reserved:
            detail = f"{len(self._under_way)} exports are under way"
            raise Problem("overloaded", detail, retry_after_s=5)
        self._take(subject_id)
        self._under_way.add(subject_id)
        try:
            yield
        finally:
            self._under_way.discard(subject_id)

    def forget(self, subject_ids: Iterable[str]) -> None:
        """Remember nothing of these."""
        for subject_id in subject_ids:
            self._full_at_s.pop(subject_id, None)

    def _take(self, subject_id: str) -> None:
        now_s, interval_s = self._now_s(), _HOUR_S / self._per_hour_max
        full_at_s = max(self._full_at_s.pop(subject_id, now_s), now_s)
        wait_s = full_at_s + interval_s - now_s - _HOUR_S
        if wait_s > 1e-6:
            self._full_at_s[subject_id] = full_at_s
            detail = f"a subject's data may be exported {self._per_hour_max} times an hour"
            raise Problem("export_rate_limited", detail, retry_after_s=math.ceil(wait_s))
        self._full_at_s[subject_id] = full_at_s + interval_s
        while len(self._full_at_s) > SUBJECTS_MAX:
            # The one that was quiet for longest gets a full bucket, never an empty one.
            del self._full_at_s[next(iter(self._full_at_s))]
