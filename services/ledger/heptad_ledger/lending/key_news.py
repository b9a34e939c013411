"""Whom to tell when, if a subject's keys have changed: leases that say otherwise must end.

A revocation is pushed as soon as it is applied. A key that was added is no danger, and cannot be
proved before a checkpoint covers it, so its subject is named once that is published.

A validator whose stream is down hears nothing, and its leases live on for up to a minute. So what
was pushed is kept for as long as such a lease can live, and told again at the head of each new
stream. (A ledger that ends in the moment between applying and pushing has nothing to tell when it
is back: those leases end by themselves.) All of it is in memory only.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from heptad.model.lending import Revoked
from heptad_ledger.privacy.key_changes import ChangedKeys

SUBJECTS_MAX: Final = 10_000
"""Subjects remembered one by one; beyond that a validator is told to end all its leases."""


class RevokedBook:
    """What validators that were away have to be told. Times are seconds of one monotonic clock."""

    def __init__(self, *, kept_s: float) -> None:
        """`kept_s` is how long a lease lives, with its margin."""
        self._kept_s = kept_s
        self._until_s: dict[str, float] = {}
        self._all_until_s = 0.0

    def note(self, subject_ids: Sequence[str], *, now_s: float) -> None:
        """The leases of these subjects end now."""
        self._sweep(now_s)
        for subject_id in subject_ids:
            self._until_s.pop(subject_id, None)
            self._until_s[subject_id] = now_s + self._kept_s
            if len(self._until_s) > SUBJECTS_MAX:
                self._all_until_s = self._until_s.pop(next(iter(self._until_s)))

    def recent(self, now_s: float) -> Revoked | None:
        """For a validator that connects; None if there is nothing to tell."""
        self._sweep(now_s)
        if now_s < self._all_until_s:
            return Revoked(())
        return Revoked(tuple(self._until_s)) if self._until_s else None

    def _sweep(self, now_s: float) -> None:
        """Forget what concerns no lease any more. The oldest stand in front."""
        while self._until_s and self._until_s[next(iter(self._until_s))] <= now_s:
            del self._until_s[next(iter(self._until_s))]


class KeyNews:
    """Pushes changes of keys at their time."""

    def __init__(self, push: Callable[[tuple[str, ...]], None]) -> None:
        """`push` tells all validators that the leases of these subjects end."""
        self._push = push
        self._added: deque[ChangedKeys] = deque()

    def applied(self, changes: Sequence[ChangedKeys]) -> None:
        """These changes are in the registry now, in the log's order."""
        self._added += (change for change in changes if not change.is_revocation)
        self._tell(change.subject_id for change in changes if change.is_revocation)
        while len(self._added) > SUBJECTS_MAX:
            # Whoever does not hear of an addition sees it when its lease is renewed.
            self._added.popleft()

    def published(self, size: int) -> None:
        """A checkpoint over so many entries is out."""
        proved = []
        while self._added and self._added[0].index < size:
            proved.append(self._added.popleft().subject_id)
        self._tell(proved)

    def _tell(self, subject_ids: Iterable[str]) -> None:
        names = tuple(dict.fromkeys(subject_ids))
        if names:
            self._push(names)
