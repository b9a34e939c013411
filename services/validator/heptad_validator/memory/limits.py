"""How often a subject may ask, or a service record: a token bucket for each, kept as one number.

The bucket is written as the generic cell rate algorithm: instead of a level and a time it keeps the
one moment at which the bucket would be full again. A subject whose moment has passed is as good as
new and is forgotten, so the map holds only who asked within the last minute.

Source: ITU-T I.371, annex A (GCRA, virtual scheduling).
"""

import math
from typing import ClassVar, Final

from heptad.model.problems import Problem

_WINDOW_S: Final = 60.0
SUBJECTS_MAX: Final = 1_000_000


class SubjectLimits:
    """Lets each subject send `per_minute_max` requests at once, and as many in each minute."""

    __slots__ = ("_full_at_s", "_interval_s", "_per_minute_max", "_subjects_max")

    CODE: ClassVar[str] = "subject_rate_limited"
    DETAIL: ClassVar[str] = "the subject may send {} requests a minute"

    def __init__(self, *, per_minute_max: int, subjects_max: int = SUBJECTS_MAX) -> None:
        self._per_minute_max = per_minute_max
        self._interval_s = _WINDOW_S / per_minute_max
        self._subjects_max = subjects_max
        # In the order of the last request, so the oldest are found in front.
        self._full_at_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at_s)

    def take(self, subject_id: str, now_s: float, count: int = 1) -> None:
        """Count `count` requests of the subject, at `now_s` of a monotonic clock.

        Raises: Problem of the code `CODE`; then nothing was counted.
        """
        full_at_s = self._full_at_s.pop(subject_id, now_s)
        new_full_at_s = max(full_at_s, now_s) + count * self._interval_s
        wait_s = new_full_at_s - now_s - _WINDOW_S
        if wait_s > 1e-6:
            self._full_at_s[subject_id] = full_at_s
            raise Problem(
                self.CODE,
                self.DETAIL.format(self._per_minute_max),
                retry_after_s=math.ceil(wait_s),
            )
        self._full_at_s[subject_id] = new_full_at_s
        if len(self._full_at_s) > self._subjects_max:
            # The one that has been quiet for longest; it gets a full bucket, never an empty one.
            del self._full_at_s[next(iter(self._full_at_s))]

    def sweep(self, now_s: float) -> None:
        """Forget subjects whose bucket is full again, from the front on, and stop at the first
        that is not: no walk over all of them, and nobody stays longer than two windows."""
        while self._full_at_s:
            oldest = next(iter(self._full_at_s))
            if self._full_at_s[oldest] > now_s:
                return
            del self._full_at_s[oldest]


class ServiceLimits(SubjectLimits):
    """The same for a service's events: what one bundle brings counts for as many."""

    __slots__ = ()

    CODE = "service_rate_limited"
    DETAIL = "the service may record {} events a minute"
