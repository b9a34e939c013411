"""A ticket: one admitted request on its way into the log, and who waits for its answer.

There is no future and no task for each request: at 8,000 requests a second they would cost more
than the batch. A ticket keeps its waiters, and whoever learns what became of the request (the
commit notices, the clock) tells them all through their sinks.
"""

from struct import Struct
from typing import Final, Protocol

from heptad.model.answers import Recorded, RequestState
from heptad.model.entry import Outcome
from heptad.model.problems import Problem

_PACKED: Final = Struct(">32sQQQB")
"""Claims digest, exp_s, time_ms, index, outcome; the denied code follows in ASCII."""


class Sink(Protocol):
    """Where the answers of one caller go; neither method may raise or wait."""

    def recorded(self, number: int, ticket: "Ticket", *, replayed: bool) -> None:
        """The item `number` was admitted, and stands as the ticket says now."""

    def refused(self, number: int, problem: Problem) -> None:
        """The item `number` was refused, and nothing was recorded of it."""


class Ticket:
    """An admitted request; it changes only by `settle`.

    `request_id` and `claims_digest` are 32 bytes; `exp_s` is in seconds, `time_ms` (of admission)
    in ms since 1970; `denied_code` is empty unless `outcome` is DENIED.
    """

    __slots__ = (
        "claims_digest", "denied_code", "exp_s", "index", "outcome", "request_id", "state",
        "time_ms", "waiters",
    )  # fmt: skip

    def __init__(
        self,
        *,
        request_id: bytes,
        claims_digest: bytes,
        exp_s: int,
        time_ms: int,
        outcome: Outcome = Outcome.ALLOWED,
        denied_code: str = "",
    ) -> None:
        self.request_id = request_id
        self.claims_digest = claims_digest
        self.exp_s = exp_s
        self.time_ms = time_ms
        self.outcome = outcome
        self.denied_code = denied_code
        self.state = RequestState.PENDING
        self.index = 0
        self.waiters: list[tuple[Sink, int, bool]] = []

    def wait(self, sink: Sink, number: int, *, replayed: bool) -> None:
        """Tell `sink` about its item `number` once the request is committed."""
        if self.state is RequestState.COMMITTED:
            sink.recorded(number, self, replayed=replayed)
        else:
            self.waiters.append((sink, number, replayed))

    def settle(self, index: int) -> None:
        """The request is in the log at `index`: everybody who waits is told."""
        self.state = RequestState.COMMITTED
        self.index = index
        self.tell()

    def tell(self) -> None:
        """Answer everybody who waits with the state as it is now."""
        waiters, self.waiters = self.waiters, []
        for sink, number, replayed in waiters:
            sink.recorded(number, self, replayed=replayed)

    def refuse(self, problem: Problem) -> None:
        """Nothing became of the request after all: everybody who waits is told why."""
        waiters, self.waiters = self.waiters, []
        for sink, number, _ in waiters:
            sink.refused(number, problem)

    def standing_for(self, sink: Sink) -> Recorded | None:
        """What `sink` would be told now; None if none of its items waits for this ticket.

        Whoever waits here has passed every check. That somebody's request has this ticket's name
        proves nothing: names can be computed.
        """
        for waiter, _, replayed in self.waiters:
            if waiter is sink:
                return self.as_recorded(replayed=replayed)
        return None

    def as_recorded(self, *, replayed: bool) -> Recorded:
        """The ticket as an answer."""
        return Recorded(
            request_id=self.request_id,
            state=self.state,
            index=self.index,
            outcome=self.outcome,
            denied_code=self.denied_code,
            time_ms=self.time_ms,
            replayed=replayed,
        )

    def packed(self) -> bytes:
        """A committed ticket in about 60 bytes, for the replay window (`unpacked` reads it)."""
        assert self.state is RequestState.COMMITTED, self.state
        numbers = _PACKED.pack(
            self.claims_digest, self.exp_s, self.time_ms, self.index, self.outcome
        )
        return numbers + self.denied_code.encode("ascii") if self.denied_code else numbers


def unpacked(request_id: bytes, packed: bytes) -> Ticket:
    """The committed ticket that `packed` wrote."""
    claims_digest, exp_s, time_ms, index, outcome = _PACKED.unpack_from(packed)
    ticket = Ticket(
        request_id=request_id,
        claims_digest=claims_digest,
        exp_s=exp_s,
        time_ms=time_ms,
        outcome=Outcome(outcome),
        denied_code=packed[_PACKED.size :].decode("ascii"),
    )
    ticket.state, ticket.index = RequestState.COMMITTED, index
    return ticket
