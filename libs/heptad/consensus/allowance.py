"""What each peer and validator may cost this replica, and who is not listened to for a while.

Every sender is authenticated, so a message that is wrong, or one too many, has somebody to charge.
Two accounts are kept for each, because two things have to be told apart:

- *Work*, in µs of CPU as estimated here: reading a message, checking its signatures, answering out
  of the store. It refills evenly. Whoever has used it up is not heard until it has refilled, so the
  share of a processor that one sender can take is bounded whatever it sends, valid or not.
- *Forgeries*: signatures and quorums that do not hold. Every honest member verifies before it
  passes anything on, so one forgery proves its sender faulty; a few are let pass, then all of its
  messages are dropped unread, for longer each time. At most f members are treated so, and with
  those silent the group has its quorum.

Nothing here can be aimed at somebody else: an honest member's message, replayed by an evil one, is
the evil one's message. And what this replica has asked for costs its sender nothing.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from heptad.consensus.limits import Limits
from heptad.consensus.ports import SignatureVerifier

CHECK_US: Final = 100
"""One signature checked."""
MESSAGE_US: Final = 20
"""One message taken in, however small."""
MISFIT_US: Final = 1_000
"""Finding that a full share of the pool has no room for a batch, or what has to leave for it."""
ANSWERED_ITEM_US: Final = 40
"""One block or batch read from the store for an answer."""
FETCHED_ITEM_US: Final = 10
"""One thing looked for in the store, found or not."""

Who = TypeVar("Who", bound=Hashable)


@dataclass(slots=True)
class _Account:
    """`work_us` is what may be spent, `at_ms` when that was right; times are Unix ms."""

    work_us: int
    at_ms: int
    forgeries: int = 0
    forged_ms: int = 0
    ignored_until_ms: int = 0
    ignored_ms: int = 0


class Allowances(Generic[Who]):
    """The accounts of a fixed set of senders."""

    def __init__(self, whose: Iterable[Who], *, limits: Limits, work_us_per_ms: int) -> None:
        self._limits = limits
        self._rate = work_us_per_ms
        self._full_us = work_us_per_ms * limits.work_burst_ms
        self._accounts = {who: _Account(self._full_us, 0) for who in whose}
        self._dropped: dict[Who, int] = {}

    def __contains__(self, who: object) -> bool:
        """True if this sender has an account."""
        return who in self._accounts

    def admits(self, who: Who, now_ms: int) -> bool:
        """True if this sender is heard now; if not, its message is counted as dropped."""
        account = self._accounts[who]
        earned_us = (now_ms - account.at_ms) * self._rate
        account.work_us = min(self._full_us, account.work_us + earned_us)
        account.at_ms = now_ms
        if account.work_us > 0 and now_ms >= account.ignored_until_ms:
            return True
        self._dropped[who] = self._dropped.get(who, 0) + 1
        return False

    def is_ignored(self, who: Who, now_ms: int) -> bool:
        """True if this sender has forged too often lately."""
        return now_ms < self._accounts[who].ignored_until_ms

    def charge(self, who: Who, work_us: int) -> None:
        """This sender has caused so much work. An account never owes more than it can hold."""
        account = self._accounts[who]
        account.work_us = max(account.work_us - work_us, -self._full_us)

    def forged(self, who: Who, now_ms: int) -> int:
        """A signature of this sender did not hold: for how many ms it is ignored now, or 0."""
        account, limits = self._accounts[who], self._limits
        forgiven = (now_ms - account.forged_ms) // limits.forgery_forgiven_ms
        account.forgeries = max(0, account.forgeries - forgiven) + 1
        if now_ms - account.forged_ms > 2 * limits.ignored_ms_max:
            account.ignored_ms = 0
        account.forged_ms = now_ms
        if account.forgeries < limits.forgeries_max:
            return 0
        # On probation: half as many are enough the next time, and last twice as long.
        account.forgeries = limits.forgeries_max // 2
        doubled_ms = max(limits.ignored_ms_min, 2 * account.ignored_ms)
        account.ignored_ms = min(doubled_ms, limits.ignored_ms_max)
        account.ignored_until_ms = now_ms + account.ignored_ms
        return account.ignored_ms

    def take_dropped(self) -> list[tuple[Who, int]]:
        """How many messages of whom were dropped since the last call."""
        if not self._dropped:
            return []
        dropped, self._dropped = self._dropped, {}
        return [(who, dropped[who]) for who in self._accounts if who in dropped]


class MeteredVerifier:
    """A verifier that counts how often it was asked."""

    def __init__(self, verifier: SignatureVerifier) -> None:
        self._verifier = verifier
        self.checked = 0

    def verify(self, *, public_key: bytes, message: bytes, signature: bytes) -> None:
        """See `SignatureVerifier`."""
        self.checked += 1
        self._verifier.verify(public_key=public_key, message=message, signature=signature)


def reading_us(size_bytes: int) -> int:
    """What taking in a message costs: 16 ns a byte for the smallest objects that one is made of."""
    return MESSAGE_US + (size_bytes >> 6)


def hashing_us(size_bytes: int) -> int:
    """What a batch or an answer costs, whose bytes are hashed, copied and encrypted: 4 ns each."""
    return MESSAGE_US + (size_bytes >> 8)
