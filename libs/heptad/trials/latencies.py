"""How long requests took, as the few numbers that people compare.

Percentiles are of the nearest rank: each one is a time that some request really took, and no
interpolation makes a tail look smoother than it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Latencies:
    """A summary of many durations, in milliseconds; all zero if there were none."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, durations_s: Sequence[float]) -> Self:
        """Summarise durations in seconds, in any order."""
        ordered = sorted(durations_s)
        if not ordered:
            return cls(0, 0.0, 0.0, 0.0, 0.0)
        p50, p95, p99 = (_nearest_rank(ordered, part) * 1000 for part in (0.50, 0.95, 0.99))
        return cls(len(ordered), p50, p95, p99, ordered[-1] * 1000)


def _nearest_rank(ordered: Sequence[float], part: float) -> float:
    """The smallest value that is not exceeded by `part` of all; `ordered` is not empty."""
    # Before the ceiling, what binary fractions add has to go: 0.95 of 20 is the 19th, not the 20th.
    rank = -int(-round(part * len(ordered), 9) // 1)
    return ordered[max(rank, 1) - 1]
