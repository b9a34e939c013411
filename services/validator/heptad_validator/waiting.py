"""Requests that wait: for a lease before they are admitted, for the commit afterwards.

Both kinds wait in lists, bounded in time and number, and are told by whoever has news. Nothing here
reads a clock: `now_s` is of the monotonic one.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from heptad.crypto.requests import SignedRequest
from heptad.model.answers import SubmitItem, Wait
from heptad.model.problems import Problem
from heptad_validator.tickets import Sink, Ticket


class Candidate(NamedTuple):
    """A request on its way through the checks: as it came, as it reads, and who wants to know.

    `bytes_key` is the name of its bytes in `RecentAnswers`. A tuple, since each request needs one.
    """

    item: SubmitItem
    sink: Sink
    request: SignedRequest
    bytes_key: bytes


class LeaseQueue:
    """Candidates whose subject's lease is under way, in their order for each subject."""

    def __init__(self, *, count_max: int, wait_s_max: float) -> None:
        self._count_max = count_max
        self._wait_s_max = wait_s_max
        self._by_subject: dict[str, list[Candidate]] = {}
        # In order of time. One whose list was taken stays here, and no longer means anything.
        self._deadlines: deque[tuple[float, str, list[Candidate]]] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, candidate: Candidate, now_s: float) -> None:
        """Let the candidate wait for its subject's lease. Raises: Problem `vault_unavailable`."""
        if self._count >= self._count_max:
            raise Problem(
                "vault_unavailable", f"{self._count} requests wait for a key", retry_after_s=1
            )
        subject_id = candidate.request.iss
        waiting = self._by_subject.get(subject_id)
        if waiting is None:
            waiting = self._by_subject[subject_id] = [candidate]
            self._deadlines.append((now_s + self._wait_s_max, subject_id, waiting))
        else:
            waiting.append(candidate)
        self._count += 1

    def take(self, subject_id: str) -> list[Candidate]:
        """All who wait for this subject, in their order."""
        waiting = self._by_subject.pop(subject_id, [])
        self._count -= len(waiting)
        return waiting

    def overdue(self, now_s: float) -> list[Candidate]:
        """All who wait for a subject that was first waited for too long ago."""
        late: list[Candidate] = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, subject_id, waiting = self._deadlines.popleft()
            if self._by_subject.get(subject_id) is waiting:
                late += self.take(subject_id)
        return late


class CommitWaits:
    """Tickets whose waiters are told PENDING if the commit takes too long."""

    def __init__(self, *, wait_s_max: float) -> None:
        self._wait_s_max = wait_s_max
        self._deadlines: deque[tuple[float, Ticket]] = deque()

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, candidate: Candidate, ticket: Ticket, now_s: float, *, replayed: bool) -> None:
        """Answer the candidate at once if it wants no more, else when the ticket is settled."""
        item = candidate.item
        if item.wait is Wait.ADMITTED:
            candidate.sink.recorded(item.id, ticket, replayed=replayed)
            return
        ticket.wait(candidate.sink, item.id, replayed=replayed)
        if ticket.waiters:
            self._deadlines.append((now_s + self._wait_s_max, ticket))

    def overdue(self, now_s: float) -> Iterator[Ticket]:
        """Tickets that somebody has waited for too long; settled ones are dropped on the way."""
        while self._deadlines and self._deadlines[0][0] <= now_s:
            ticket = self._deadlines.popleft()[1]
            if ticket.waiters:
                yield ticket

    def sweep(self) -> None:
        """Drop settled tickets from the front, before their time."""
        while self._deadlines and not self._deadlines[0][1].waiters:
            self._deadlines.popleft()
