"""When to give up on a round, and when to say so again.

The timer runs only while there is work: an idle replica has no rounds and no timers. One that has
given up on its round and has no work left says so again only when it hears that another member
still tries: else a few that gave up in vain would keep each other awake for ever. The time-out
is a multiple of the round times measured lately, so a fast group fails over fast and a slow one is
not torn apart by its own impatience, and grows by half with each failed round since the last
commit, so that after the network settles some round is always long enough.
"""

from heptad.consensus.limits import Limits

_BACK_OFF = 1.5
_BACK_OFFS_MAX = 32
_MEMORY = 8
"""A new measurement weighs one part in so many."""


class Pacemaker:
    """The timer of the current round. All times in ms."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._started_ms: int | None = None
        self._has_work = False
        self._timed_out_ms: int | None = None
        self._round_ms: float | None = None
        self._failures = 0

    @property
    def has_timed_out(self) -> bool:
        """True if this replica has given up on the current round."""
        return self._timed_out_ms is not None

    @property
    def round_ms(self) -> float:
        """The round time measured lately; 0 while nothing was measured."""
        return self._round_ms or 0.0

    def enter(self, *, by_tc: bool, now_ms: int) -> None:
        """A new round begins; its timer is started by `run`."""
        if by_tc:
            self._failures = min(self._failures + 1, _BACK_OFFS_MAX)
        elif self._started_ms is not None:
            self._measure(now_ms - self._started_ms)
        self._started_ms = self._timed_out_ms = None

    def committed(self) -> None:
        """A block was committed: the group works, so patience is back to normal."""
        self._failures = 0

    def run(self, *, has_work: bool, now_ms: int) -> None:
        """Start the timer if there is work and it stands still; stop it if there is none."""
        self._has_work = has_work
        if not has_work:
            self._started_ms = None
        elif self._started_ms is None:
            self._started_ms = now_ms

    def timed_out(self, now_ms: int) -> None:
        """This replica has said that it gives up on the round, for the first time or again."""
        self._timed_out_ms = now_ms

    def due_ms(self) -> int | None:
        """When to give up, or to say so again; None while the timer stands still."""
        if self._timed_out_ms is not None:
            return self._timed_out_ms + self._rebroadcast_ms() if self._has_work else None
        if self._started_ms is None:
            return None
        return self._started_ms + self.timeout_ms()

    def must_repeat(self, now_ms: int) -> bool:
        """True if a member that still gives up on this round may have missed that I did.

        With work of its own a replica says so anyway. And not if it was said a moment ago: two that
        answer each other must come to an end.
        """
        if self._timed_out_ms is None or self._has_work:
            return False
        return now_ms >= self._timed_out_ms + self._rebroadcast_ms() // 2

    def timeout_ms(self) -> int:
        """How long a round may take now."""
        limits = self._limits
        if self._round_ms is None:
            base = float(limits.timeout_ms_first)
        else:
            base = self._round_ms * limits.timeout_multiple
        base = min(max(base, limits.timeout_ms_min), limits.timeout_ms_max)
        return int(min(base * _BACK_OFF**self._failures, limits.timeout_ms_max))

    def _rebroadcast_ms(self) -> int:
        return min(self.timeout_ms(), self._limits.rebroadcast_ms_max)

    def _measure(self, took_ms: int) -> None:
        if self._round_ms is None:
            self._round_ms = float(took_ms)
        else:
            self._round_ms += (took_ms - self._round_ms) / _MEMORY
