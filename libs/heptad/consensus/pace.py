"""How long a leader waits between proposals.

A round costs every member the same whether it orders one batch or a hundred, so under load a leader
lets batches gather. How long that pays depends on the machines: a group that certifies a block in
5 ms has time for the next one at once, while one that needs 50 ms is short of processor, and each
further round only makes all of them slower. So a leader waits at least `pace_ms`, and three times
as long as certificates took lately, but never longer than four times `pace_ms`: rounds then take a
third of the time, and the rest is left for the work that they order. (Measured: seven replicas on
two processors carried a fifth more; docs/adr/0019.) And never longer than half of the shortest
time-out, whatever is configured: else a group with nothing wrong would give up on its leaders.

The empty block that commits the last batches goes out at once when a group wakes up from idleness
for a single request. Under load, which means that the batches before it had to wait for the pace,
it waits too: the next batches do its work.
"""

from typing import Final

from heptad.consensus.limits import Limits
from heptad.model.ids import Round

_MEMORY: Final = 4
"""A new measurement weighs one part in so many."""

_SHARE: Final = 3
"""Rounds may take one part in so many of the time."""

_GROWTH_MAX: Final = 4
"""So many times `pace_ms` is the longest pace."""

_PATIENCE: Final = 2
"""And the shortest time-out is at least so many times the longest pace."""


class Pace:
    """When the next proposal of this leader is due. All times in ms."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._loaded_ms: int | None = None
        self._is_held = False
        self._is_loaded = False
        self._pending: tuple[Round, int] | None = None
        self._certified_in_ms = 0.0

    @property
    def wait_ms(self) -> int:
        """From one proposal with batches to the next, at least."""
        pace_ms = self._limits.pace_ms
        longest_ms = min(_GROWTH_MAX * pace_ms, self._limits.timeout_ms_min // _PATIENCE)
        return min(max(pace_ms, int(self._certified_in_ms * _SHARE)), longest_ms)

    def proposed(self, round_: Round, now_ms: int, *, has_batches: bool) -> None:
        """My block of `round_` goes out now."""
        self._pending = (round_, now_ms)
        if not has_batches:
            return
        self._loaded_ms = now_ms
        self._is_loaded, self._is_held = self._is_held, False

    def certified(self, round_: Round, now_ms: int) -> None:
        """The block of `round_` has its certificate; counts once, and only for my own."""
        if self._pending is None or self._pending[0] != round_:
            return
        took_ms = now_ms - self._pending[1]
        self._pending = None
        self._certified_in_ms += (took_ms - self._certified_in_ms) / _MEMORY

    def hold(self) -> None:
        """Batches are there, and have to wait."""
        self._is_held = True

    def due_ms(self, *, has_batches: bool) -> int:
        """When a block may go out; long past if nothing has to be waited for."""
        if self._loaded_ms is None or not (has_batches or self._is_loaded):
            return 0
        return self._loaded_ms + self.wait_ms
