"""Which peers are left aside for a while, because they lie, or say nothing when they are asked.

A peer is authenticated, so what it answers is its own doing. One that answers rubbish or lets a
request run out is asked after all others, twice as long each time, and in its turn again after
that: an honest one that was only slow or cut off is soon back, for each useful answer halves its
count. Scores only say who is asked first; they can never stop a fetch, or keep anybody out of it,
whoever manages to spoil whose.
"""

from typing import Final

from heptad.consensus.limits import Limits
from heptad.model.ids import MemberIndex

_SILENCE: Final = 1
_LIE: Final = 4
_STRIKES_MAX: Final = 16
_SILENCE_RETRIES_MAX: Final = 8
"""A silent peer may simply not have what was asked for: it is aside for so many retries at most."""


class Scores:
    """Strikes by peer: no more entries than there are members."""

    def __init__(self, limits: Limits) -> None:
        self._retry_ms = limits.fetch_retry_ms
        self._aside_ms_max = limits.aside_ms_max
        self._strikes: dict[MemberIndex, int] = {}
        self._aside_until_ms: dict[MemberIndex, int] = {}

    def lied(self, peer: MemberIndex, now_ms: int) -> None:
        """It answered what no honest peer sends."""
        self._strike(peer, _LIE, now_ms, ms_max=self._aside_ms_max)

    def silent(self, peer: MemberIndex, now_ms: int) -> None:
        """It was asked and has not answered in time."""
        ms_max = min(self._aside_ms_max, self._retry_ms * _SILENCE_RETRIES_MAX)
        self._strike(peer, _SILENCE, now_ms, ms_max=ms_max)

    def useful(self, peer: MemberIndex) -> None:
        """It gave what was asked for."""
        self._strikes[peer] = self._strikes.get(peer, 0) // 2
        self._aside_until_ms.pop(peer, None)

    def is_aside(self, peer: MemberIndex, now_ms: int) -> bool:
        """True while others are to be asked first."""
        return now_ms < self._aside_until_ms.get(peer, 0)

    def _strike(self, peer: MemberIndex, weight: int, now_ms: int, *, ms_max: int) -> None:
        strikes = min(self._strikes.get(peer, 0) + weight, _STRIKES_MAX)
        self._strikes[peer] = strikes
        until_ms = now_ms + min(self._retry_ms << strikes, ms_max)
        self._aside_until_ms[peer] = max(until_ms, self._aside_until_ms.get(peer, 0))
