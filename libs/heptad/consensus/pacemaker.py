"""When to give up on a round, and when to say so again.

The timer runs only while there is work: an idle replica has no rounds and no timers. One that has
given up on its round and has no work left says so again only when it hears that another member
still tries: else a few that gave up in vain would keep each other awake for ever. The time-out
is a multiple of the round times measured lately, so a fast group fails over fast and a slow one is
not torn apart by its own impatience, and grows by half with each failed round since the last
commit, so that after the network settles some round is always long enough.

What is measured is what the timer measures, from the moment in a round at which there was work to
its certificate: the wait of a paced leader is in it, the silence of an idle group is not. Within
one leader's tenure the measure can no more than treble, so that a leader who makes each round a
little slower than the last does not buy himself the patience for it.

A leader to whom the connection is broken gets only a moment to come back, for a process that dies
takes its connections with it. That cannot hurt one that could do its work: he is given up on when
f + 1 members cannot reach him, and then no quorum can.
"""

from typing import Final

from heptad.consensus.limits import Limits
from heptad.model.ids import MemberIndex

_BACK_OFF: Final = 1.5
_BACK_OFFS_MAX: Final = 32
_MEMORY: Final = 8
"""A new measurement weighs one part in so many."""

_TENURE_GROWTH_MAX: Final = 3
"""So many times as long may rounds seem to have become under one and the same leader."""


class Pacemaker:
    """The timer of the current round. All times in ms."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._started_ms: int | None = None
        self._has_work = False
        self._timed_out_ms: int | None = None
        self._round_ms: float | None = None
        self._failures = 0
        self._leader: MemberIndex | None = None
        self._tenure_of: MemberIndex | None = None
        self._tenure_round_ms = self._first_ms
        self._lost_ms: dict[MemberIndex, int] = {}

    @property
    def has_timed_out(self) -> bool:
        """True if this replica has given up on the current round."""
        return self._timed_out_ms is not None

    @property
    def round_ms(self) -> float:
        """The round time measured lately; 0 while nothing was measured."""
        return self._round_ms or 0.0

    @property
    def leader_is_lost(self) -> bool:
        """True if the connection to the current round's leader is broken."""
        return self._leader in self._lost_ms

    def lost(self, member: MemberIndex, now_ms: int) -> None:
        """The connection to a member is broken."""
        self._lost_ms.setdefault(member, now_ms)

    def heard(self, member: MemberIndex) -> None:
        """A member is there (again)."""
        self._lost_ms.pop(member, None)

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

    def follow(self, leader: MemberIndex | None) -> None:
        """Who leads the current round, as far as that is known.

        A tenure ends when somebody else leads, not while nobody knows who does: a leader that sends
        a block late would begin a new one, and be given more patience, each time.
        """
        self._leader = leader
        if leader is not None and leader != self._tenure_of:
            self._tenure_of = leader
            self._tenure_round_ms = self._first_ms if self._round_ms is None else self._round_ms

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
        due_ms = self._started_ms + self.timeout_ms()
        lost_ms = self._lost_ms.get(self._leader) if self._leader is not None else None
        if lost_ms is None:
            return due_ms
        patience_ms = self._backed_off_ms(self._limits.timeout_ms_lost)
        return min(due_ms, max(self._started_ms, lost_ms) + patience_ms)

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
        measured_ms = self._first_ms if self._round_ms is None else self._round_ms
        base_ms = max(measured_ms * limits.timeout_multiple, limits.timeout_ms_min)
        return self._backed_off_ms(min(base_ms, limits.timeout_ms_max))

    @property
    def _first_ms(self) -> float:
        """The round time that is taken for granted until one was measured."""
        return self._limits.timeout_ms_first / self._limits.timeout_multiple

    def _backed_off_ms(self, base_ms: float) -> int:
        return int(min(base_ms * _BACK_OFF**self._failures, self._limits.timeout_ms_max))

    def _rebroadcast_ms(self) -> int:
        return min(self.timeout_ms(), self._limits.rebroadcast_ms_max)

    def _measure(self, took_ms: int) -> None:
        before_ms = float(took_ms) if self._round_ms is None else self._round_ms
        measured_ms = before_ms + (took_ms - before_ms) / _MEMORY
        # Below this the time-out is the shortest there is, whatever the measure.
        floor_ms = self._limits.timeout_ms_min / self._limits.timeout_multiple
        ceiling_ms = _TENURE_GROWTH_MAX * max(self._tenure_round_ms, floor_ms)
        self._round_ms = min(measured_ms, ceiling_ms)
