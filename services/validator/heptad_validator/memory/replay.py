"""The replay window: every request that this validator has admitted, until it can come no more.

A request is the same as another if `iss`, `jti` and all claims but the times are the same
(docs/spec/mesh.md, "Replay"). It is kept until 60 s after its `exp`, which is 30 s after the last
moment at which the check of freshness would let it in. The window is keyed by the 32-byte request
id. What is committed is packed to about 60 bytes, because at full load there are millions of them.

What is still under way when its time comes (nothing commits, for minutes) is kept until it is
committed, and then for a minute more, in which the ledger gets to know it: at every moment one of
the two can say that the request is not lost.
"""

from collections.abc import Iterable
from typing import Final

from heptad.model.answers import RequestState
from heptad.model.problems import Problem
from heptad_validator.memory.expiring import ExpiringMap, MapFullError
from heptad_validator.tickets import Ticket, unpacked

KEPT_AFTER_EXPIRY_S: Final = 60


class ReplayWindow:
    """Request ids to tickets, those that are committed in packed form."""

    __slots__ = ("_known", "_late")

    def __init__(self, *, entries_max: int) -> None:
        self._known: ExpiringMap[bytes, Ticket | bytes] = ExpiringMap(size_max=entries_max)
        # Those that were still under way when their time came.
        self._late: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, request_id: bytes) -> Ticket | None:
        """The ticket of the request with this 32-byte id, if it was admitted here."""
        known = self._known.get(request_id)
        return unpacked(request_id, known) if isinstance(known, bytes) else known

    def require_room(self) -> None:
        """Raises: Problem `overloaded` if no further request can be remembered."""
        if self._known.is_full:
            raise Problem("overloaded", "the replay window is full", retry_after_s=1)

    def add(self, ticket: Ticket) -> None:
        """Remember an admitted request. Raises: Problem `overloaded`, and nothing has changed."""
        try:
            expires_at_s = ticket.exp_s + KEPT_AFTER_EXPIRY_S
            self._known.put(ticket.request_id, ticket, expires_at_s=expires_at_s)
        except MapFullError:
            raise Problem("overloaded", "the replay window is full", retry_after_s=1) from None

    def committed(self, tickets: Iterable[Ticket]) -> None:
        """Keep committed requests in their short form from now on, unless they are late."""
        for ticket in tickets:
            if ticket.request_id not in self._late:
                self._known.replace(ticket.request_id, ticket.packed())

    def sweep(self, now_s: int) -> None:
        """Forget what can come no more; `now_s` is the wall clock, in seconds."""
        self._known.sweep(now_s, stays=self._stays, again_after_s=KEPT_AFTER_EXPIRY_S)

    def _stays(self, request_id: bytes, known: Ticket | bytes) -> bool:
        """A late one stays while it is under way, and once more after that."""
        if isinstance(known, bytes):
            return False
        if known.state is RequestState.COMMITTED:
            self._late.discard(request_id)
            self._known.replace(request_id, known.packed())
        else:
            self._late.add(request_id)
        return True
