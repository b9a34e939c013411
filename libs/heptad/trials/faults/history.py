"""What clients asked for and were told, and what can be read off the times of their answers.

Times are seconds of one monotonic clock.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

WINDOW_S: Final = 1.0
"""Throughput is counted over windows of this length: shorter ones see single batches."""

SHARE_BACK: Final = 0.8
"""Throughput counts as back with this share of what it was before the fault."""

_STEP_S: Final = 0.05


@dataclass(slots=True)
class History:
    """All that the clients of one cell were told.

    `acknowledged` has the log index of each request that was answered with 201, by request id.
    `acknowledged_s` has the times of those answers, ascending. `answers` counts every answer by its
    status and code. `broken` are answers that no client may get.
    """

    acknowledged: dict[str, int] = field(default_factory=dict)
    acknowledged_s: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def acknowledge(self, request_id: str, index: int, *, now_s: float) -> None:
        """A request was answered with 201."""
        if self.acknowledged.setdefault(request_id, index) != index:
            first = self.acknowledged[request_id]
            self.broken.append(f"{request_id} was acknowledged at {first} and at {index}")
        self.acknowledged_s.append(now_s)


def rate_per_s(times_s: Sequence[float], *, start_s: float, end_s: float) -> float:
    """Acknowledgements a second in [start, end); `times_s` ascend."""
    return (bisect_left(times_s, end_s) - bisect_left(times_s, start_s)) / (end_s - start_s)


def back_at_s(
    times_s: Sequence[float], *, mark_s: float, end_s: float, before_per_s: float
) -> float | None:
    """The first moment from `mark_s` on at which a window of throughput as before begins.

    `end_s` is until when was looked; None if throughput did not come back by then.
    """
    wanted = before_per_s * SHARE_BACK
    steps = int((end_s - WINDOW_S - mark_s) / _STEP_S + 1)
    for step in range(steps):
        at_s = mark_s + step * _STEP_S
        if rate_per_s(times_s, start_s=at_s, end_s=at_s + WINDOW_S) >= wanted:
            return at_s
    return None


def longest_gap_s(times_s: Sequence[float], *, start_s: float, end_s: float) -> float:
    """The longest time within [start, end] in which nothing was acknowledged."""
    inside = times_s[bisect_left(times_s, start_s) : bisect_left(times_s, end_s)]
    edges = [start_s, *inside, end_s]
    return max(later - earlier for earlier, later in pairwise(edges))
