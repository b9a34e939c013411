"""From counters at two moments to what happens in a second."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from heptad.observability.exposition import Exposition


@dataclass(frozen=True, slots=True)
class Moment:
    """What members exported at a time of the monotonic clock; None of those that were silent."""

    now_s: float
    pages: Mapping[str, Exposition | None]


@dataclass(frozen=True, slots=True)
class Span:
    """Two moments, the earlier one first; the same one twice if there is only one yet."""

    before: Moment
    after: Moment

    @property
    def seconds(self) -> float:
        """How long it is; never 0, so that it can be divided by."""
        return max(self.after.now_s - self.before.now_s, 1e-9)

    def pages_of(self, member: str) -> tuple[Exposition, Exposition] | None:
        """A member's pages at both moments; None if it was silent at one of them."""
        before, after = self.before.pages.get(member), self.after.pages.get(member)
        return None if before is None or after is None else (before, after)

    def rate(self, member: str, metric: str, **labels: str) -> float:
        """How much a member's counter rose in a second; 0 where it began anew or is not there."""
        pages = self.pages_of(member)
        if pages is None or self.before is self.after:
            return 0.0
        rise = pages[1].total(metric, **labels) - pages[0].total(metric, **labels)
        return max(rise, 0.0) / self.seconds

    def quantile(self, member: str, histogram: str, part: float) -> float | None:
        """Below which value `part` of what a histogram has counted lies; None if that is nothing.

        Within a bucket values are taken to lie evenly, as Prometheus takes them.
        """
        pages = self.pages_of(member)
        if pages is None:
            return None
        counts = pages[1].by("le", f"{histogram}_bucket")
        if self.before is not self.after:
            earlier = pages[0].by("le", f"{histogram}_bucket")
            counts = {le: count - earlier.get(le, 0.0) for le, count in counts.items()}
        return _quantile(sorted((float(le), count) for le, count in counts.items()), part)


def _quantile(cumulative: list[tuple[float, float]], part: float) -> float | None:
    if not cumulative or cumulative[-1][1] <= 0:
        return None
    wanted = part * cumulative[-1][1]
    low, below = 0.0, 0.0
    for high, count in cumulative:
        if count >= wanted:
            if math.isinf(high):
                return low
            return low + (high - low) * (wanted - below) / max(count - below, 1e-9)
        low, below = high, count
    return low
