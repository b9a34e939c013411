"""The same bytes within a second get the same answer without a second verification.

A client that repeats itself (or somebody who floods us with one valid request) then costs a hash
and a look-up, not a signature. Only what was decided *after* the dear part is kept here: tickets,
and refusals that the same bytes would meet again. Two generations change places each second, so an
answer is found for one to two of them.
"""

from hashlib import sha256
from typing import TypeAlias

from heptad.model.problems import Problem
from heptad_validator.tickets import Ticket

Answer: TypeAlias = Ticket | Problem


class RecentAnswers:
    """SHA-256 of a request's bytes to what became of it."""

    __slots__ = ("_new", "_old", "_period_s", "_size_max", "_turned_s")

    def __init__(self, *, period_ms: int, size_max: int) -> None:
        self._new: dict[bytes, Answer] = {}
        self._old: dict[bytes, Answer] = {}
        self._period_s = period_ms / 1000
        self._size_max = size_max
        self._turned_s = 0.0

    @staticmethod
    def key(jws: bytes) -> bytes:
        """The name of these bytes: 32 bytes."""
        return sha256(jws).digest()

    def find(self, key: bytes) -> Answer | None:
        """What became of the bytes of this key lately."""
        return self._new.get(key) or self._old.get(key)

    def add(self, key: bytes, answer: Answer) -> None:
        """Remember an answer, if there is room for it."""
        if len(self._new) < self._size_max and self._period_s:
            self._new[key] = answer

    def clear(self) -> None:
        """Forget all of it: whose requests these were cannot be told."""
        self._new, self._old = {}, {}

    def sweep(self, now_s: float) -> None:
        """Forget what is older than two periods; `now_s` is of a monotonic clock."""
        if now_s - self._turned_s >= self._period_s:
            self._old, self._new = self._new, {}
            self._turned_s = now_s
