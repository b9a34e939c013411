"""Changes of subjects' keys on their way into the log, and what this validator knows before others.

What a subject's keys are is the ledger's to say, and it says so once it has applied the log. But
this validator has itself seen the commit: from then on it lets the revoked key of no lease sign
anything, and serves the subject of an added key under no lease in which that key could be missing.
"""

from heptad.crypto.requests import SignedRequest
from heptad.model.answers import RequestState
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad_validator.checks.key_add import check_key_add
from heptad_validator.checks.key_revoke import check_key_revoke
from heptad_validator.clock import Clock
from heptad_validator.lending.leases import Lease, LeaseBook
from heptad_validator.tickets import Ticket


class KeyChanges:
    """Checks what requests say of keys, and follows those that are admitted to their commit."""

    def __init__(self, *, book: LeaseBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        self._going: dict[str, set[str]] = {}

    def check(self, request: SignedRequest, *, kind: Kind, lease: Lease) -> "KeyChange | None":
        """What the request changes, if its entry is of a kind that changes keys.

        Raises: Problem, see `heptad_validator.checks.key_add` and `key_revoke`.
        """
        if kind is Kind.KEY_ADDED:
            check_key_add(request, keys=lease.keys)
            return KeyChange(self, request.iss)
        if kind is Kind.KEY_REVOKED:
            going = self._going.get(request.iss, ())
            kid = check_key_revoke(request, keys=lease.keys, going=going)
            return KeyChange(self, request.iss, revoked_kid=kid)
        return None

    def begun(self, change: "KeyChange") -> None:
        """The change is admitted."""
        if change.revoked_kid:
            self._going.setdefault(change.subject_id, set()).add(change.revoked_kid)

    def committed(self, change: "KeyChange", *, index: int) -> None:
        """The change is in the log at `index`."""
        subject_id, kid = change.subject_id, change.revoked_kid
        if not kid:
            self._book.key_added(subject_id, index=index, now_s=self._clock.monotonic_s())
            return
        self._book.key_revoked(subject_id, kid=kid, index=index)
        going = self._going.get(subject_id, set())
        going.discard(kid)
        if not going:
            self._going.pop(subject_id, None)


class KeyChange:
    """One change under way; a sink, which hears of the commit before the caller does."""

    __slots__ = ("_changes", "revoked_kid", "subject_id")

    def __init__(self, changes: KeyChanges, subject_id: str, *, revoked_kid: str = "") -> None:
        """`revoked_kid` is empty where a key is added."""
        self._changes = changes
        self.subject_id = subject_id
        self.revoked_kid = revoked_kid

    def follow(self, ticket: Ticket) -> None:
        """The change was admitted with this ticket, for which nobody waits yet."""
        self._changes.begun(self)
        ticket.wait(self, 0, replayed=False)

    def recorded(self, number: int, ticket: Ticket, *, replayed: bool) -> None:
        """Committed, or only told that it takes long: then wait on."""
        if ticket.state is RequestState.COMMITTED:
            self._changes.committed(self, index=ticket.index)
        else:
            ticket.wait(self, number, replayed=replayed)

    def refused(self, number: int, problem: Problem) -> None:
        """What was admitted is never refused."""
        raise AssertionError(f"a change of keys was refused after admission: {problem.code}")
