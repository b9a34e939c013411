"""In which order a log is read again: from its first bundle to its last, over and over.

A round has its end where the log had its end when the round began, so that it comes to one however
fast the log grows. What is wrong or could not be read is remembered and read again at each look:
an alarm stays open as long as it is true, and a file that is withheld stays a gap in the round.
"""

import dataclasses
from dataclasses import dataclass
from typing import Final, Self

RECHECK_BUNDLES: Final = 16
RECHECK_BUNDLES_MAX: Final = 512
"""How many bundles are read again at each look, unless told otherwise, and at most."""

AGAIN_MAX: Final = 16
"""Bundles that are remembered to be read at each look; one more, and the round has a gap."""


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a round is. Bundles are counted from the first of the log, full ones only.

    Those before `cursor` were read in this round, which began at `began_s` and ends before `end`.
    `again` are to be read at each look. `has_gap` says that some of the round could not be judged
    and is not in `again`. All of the log was read and right at or after `proved_since_s`. Times
    are seconds since 1970.
    """

    cursor: int = 0
    end: int = 0
    began_s: int = 0
    proved_since_s: int = 0
    again: tuple[int, ...] = ()
    has_gap: bool = False

    @classmethod
    def parse(cls, members: object, *, bundles: int) -> Self:
        """Read what `members` gave, in a log of so many full bundles. Raises: ValueError."""
        match members:
            case {
                "cursor": int(cursor),
                "end": int(end),
                "began_s": int(began_s),
                "proved_since_s": int(proved_since_s),
                "again": list(again),
                "has_gap": bool(has_gap),
            } if len(again) <= AGAIN_MAX and all(type(bundle) is int for bundle in again):
                is_within = 0 <= cursor <= end <= bundles
                if is_within and all(0 <= bundle < bundles for bundle in again):
                    return cls(cursor, end, began_s, proved_since_s, tuple(again), has_gap)
        raise ValueError("how far the log was read again does not fit the log")

    def members(self) -> dict[str, object]:
        """What stands in the state's file."""
        return {**dataclasses.asdict(self), "again": list(self.again)}

    def under(self, bundles: int, now_s: int) -> "Walk":
        """The walk to go on with in a log of so many full bundles: a new round where one ended."""
        if not self.is_round:
            return self
        return Walk(0, bundles, now_s, self.proved_since_s, self.again)

    def remembering(self, bundle: int) -> "Walk":
        """With a bundle to be read again at each look, if there is room."""
        if bundle in self.again:
            return self
        if len(self.again) == AGAIN_MAX:
            return dataclasses.replace(self, has_gap=True)
        return dataclasses.replace(self, again=(*self.again, bundle))

    def without(self, bundle: int) -> "Walk":
        """With a bundle that is right again."""
        return dataclasses.replace(self, again=tuple(n for n in self.again if n != bundle))

    def at(self, cursor: int) -> "Walk":
        """Advanced so far; where that is the end and there is no gap, the log has been proved."""
        walk = dataclasses.replace(self, cursor=cursor)
        if walk.is_round and not walk.again and not walk.has_gap:
            return dataclasses.replace(walk, proved_since_s=walk.began_s)
        return walk

    @property
    def is_round(self) -> bool:
        """Whether the round is at its end."""
        return self.cursor >= self.end
