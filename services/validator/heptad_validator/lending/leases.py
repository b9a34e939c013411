"""The book of leases: subjects' keys on loan, and when each of them is worth nothing any more.

A lease is what makes an erasure wait, so the book errs on the side of giving up too early. Time is
counted from the moment of *asking*, which cannot be later than the vault's own start of the clock,
on a clock that also runs while the machine sleeps, and less a margin for clocks that run unevenly.
An active subject's lease is renewed when half of it is over, so a ledger that restarts is not
noticed by those who are at work.

Leases for the events of bundles stand apart: no request is admitted under one of them, and so the
subject's own validator need not be told that its key is here too. They are not renewed.

The book does no I/O: `wanted` says whom to ask about, `returned` what to give back.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import Final, TypeVar

from heptad.crypto.jwk import PublicKey

CLOCK_MARGIN_S: Final = 1.0
_CLOCK_MARGIN_SHARE: Final = 0.2
_RETURNED_MAX: Final = 10_000
_REVOKED_KEPT_S: Final = 60.0
_AHEAD_MAX: Final = 100_000
"""Changes of keys remembered until a lease shows that the ledger has them."""

KeyT = TypeVar("KeyT")


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A key that the log is proved to hold."""

    key: PublicKey
    revoked: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to seal under one subject's slot until `expires_at_s` (monotonic clock).

    `key_ref` is the slot; `lease_id` has 16 bytes, `lease_key` 32; `keys` are the subject's public
    keys by key id; `is_home` tells whether this validator is the subject's first by the ranking.
    """

    subject_id: str
    key_ref: int
    lease_id: bytes
    lease_key: bytes = field(repr=False)
    keys: Mapping[str, RegisteredKey]
    is_home: bool
    renew_at_s: float
    expires_at_s: float
    applied_size: int = 0
    """The keys are those of the log's first so many entries."""


def usable_until_s(*, asked_at_s: float, ttl_s: float) -> float:
    """When a loan of `ttl_s` that was asked for at `asked_at_s` must no longer be used."""
    return asked_at_s + ttl_s - min(CLOCK_MARGIN_S, ttl_s * _CLOCK_MARGIN_SHARE)


class LeaseBook:
    """The leases that this validator holds, at most `leases_max` of a kind, oldest in front."""

    __slots__ = (
        "_added", "_asked", "_ended", "_leases", "_leases_max", "_returned", "_revoked",
        "_revoked_all_s", "_sealing", "_wanted",
    )  # fmt: skip

    def __init__(self, *, leases_max: int) -> None:
        self._leases: dict[str, Lease] = {}
        self._sealing: dict[str, Lease] = {}
        self._leases_max = leases_max
        self._wanted: dict[str, None] = {}
        self._asked: set[str] = set()
        # When subjects were last revoked, oldest first; kept for longer than any question takes.
        self._revoked: dict[str, float] = {}
        self._revoked_all_s = -inf
        self._returned: list[bytes] = []
        # What was committed here and may not be in the ledger's registry yet.
        self._added: dict[str, int] = {}
        self._ended: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def live(self, subject_id: str, now_s: float) -> Lease | None:
        """The subject's lease if it may be used at `now_s`; past its half, it becomes wanted."""
        lease = self._leases.get(subject_id)
        if lease is None or now_s >= lease.expires_at_s:
            return None
        if now_s >= lease.renew_at_s:
            self.want(subject_id)
        return lease

    def sealable(self, subject_id: str, now_s: float) -> Lease | None:
        """A lease under which an event of this subject may be sealed at `now_s`."""
        lease = self._sealing.get(subject_id)
        if lease is not None and now_s < lease.expires_at_s:
            return lease
        return self.live(subject_id, now_s)

    def want(self, subject_id: str) -> None:
        """Ask for this subject's lease with the next question, unless one is under way."""
        if subject_id not in self._asked:
            self._wanted[subject_id] = None

    @property
    def wants(self) -> bool:
        """Whether there is anything to ask for."""
        return bool(self._wanted)

    def take_wanted(self, count_max: int) -> tuple[str, ...]:
        """Up to `count_max` subjects to ask for; they are wanted no more until `answered`."""
        taken = tuple(islice(self._wanted, count_max))
        for name in taken:
            del self._wanted[name]
        self.asking(taken)
        return taken

    def asking(self, subject_ids: Iterable[str]) -> None:
        """A question about these is under way."""
        self._asked.update(subject_ids)

    def answered(self, subject_ids: Iterable[str]) -> None:
        """The question about these has an answer, or failed: they may be asked for again."""
        self._asked.difference_update(subject_ids)

    def is_outdated(self, subject_id: str, asked_at_s: float) -> bool:
        """Whether an answer to a question of that time must not count any more.

        Answers are proved one after the other, so a revocation can overtake what was said before.
        """
        return max(self._revoked.get(subject_id, -inf), self._revoked_all_s) >= asked_at_s

    def put(self, lease: Lease) -> None:
        """Keep a lease in the place of an older one; beyond the limit the oldest goes back."""
        self._put(self._leases, lease)
        if self._added.get(lease.subject_id, 0) <= lease.applied_size:
            self._added.pop(lease.subject_id, None)

    def put_sealing(self, lease: Lease) -> None:
        """The same for one under which nothing but events is sealed."""
        self._put(self._sealing, lease)

    def _put(self, leases: dict[str, Lease], lease: Lease) -> None:
        self._give_back(leases.pop(lease.subject_id, None))
        leases[lease.subject_id] = self._with_ended(lease)
        if len(leases) > self._leases_max:
            self._give_back(leases.pop(next(iter(leases))))

    def give_back_stray(self, subject_id: str) -> None:
        """Keep this subject's lease only if the subject is this validator's own."""
        lease = self._leases.get(subject_id)
        if lease is not None and not lease.is_home:
            self._give_back(self._leases.pop(subject_id))

    def revoke(self, subject_id: str, now_s: float) -> None:
        """Drop leases at once, and any that was asked for until now as soon as it comes.

        They go back to the vault: an erasure waits for them.
        """
        self._give_back(self._leases.pop(subject_id, None))
        self._give_back(self._sealing.pop(subject_id, None))
        self._revoked.pop(subject_id, None)
        self._revoked[subject_id] = now_s

    def revoke_all(self, now_s: float) -> None:
        """The same for all subjects."""
        self._leases.clear()
        self._sealing.clear()
        self._revoked_all_s = now_s

    # What this validator has seen committed, ahead of the ledger.

    def key_revoked(self, subject_id: str, *, kid: str, index: int) -> None:
        """The entry at `index` revokes this key: no lease lets it sign, whatever it says itself,
        unless the lease is of a log that has the entry.
        """
        _keep(self._ended, (subject_id, kid), index)
        for leases in (self._leases, self._sealing):
            if subject_id in leases:
                leases[subject_id] = self._with_ended(leases[subject_id])

    def key_added(self, subject_id: str, *, index: int, now_s: float) -> None:
        """The entry at `index` adds a key: the subject's lease has to be one that has it."""
        _keep(self._added, subject_id, index + 1)
        self._give_back(self._leases.pop(subject_id, None))
        self._revoked.pop(subject_id, None)
        self._revoked[subject_id] = now_s

    def proved_size_min(self, subject_id: str) -> int:
        """How many entries have to be published before this subject's lease is of use."""
        return self._added.get(subject_id, 0)

    def _with_ended(self, lease: Lease) -> Lease:
        """The lease with those keys revoked of which it cannot know that they are."""
        keys = dict(lease.keys)
        for kid, registered in lease.keys.items():
            index = self._ended.get((lease.subject_id, kid))
            if index is None:
                continue
            if index < lease.applied_size:
                del self._ended[lease.subject_id, kid]
            else:
                keys[kid] = replace(registered, revoked=True)
        return lease if keys == lease.keys else replace(lease, keys=keys)

    def forget(self, subject_id: str) -> None:
        """That subject is erased: nothing stays under its id but that its leases have ended."""
        self._wanted.pop(subject_id, None)
        self._added.pop(subject_id, None)
        for name in [name for name in self._ended if name[0] == subject_id]:
            del self._ended[name]

    def give_back(self, lease_id: bytes) -> None:
        """A lease that never was in the book is needed no more."""
        if len(self._returned) < _RETURNED_MAX:
            self._returned.append(lease_id)

    def sweep(self, now_s: float) -> None:
        """Drop what has run out, so that no key stays in memory for longer than it is lent."""
        for leases in (self._leases, self._sealing):
            for name in list(_expired(leases, now_s)):
                del leases[name]
        while self._revoked and self._revoked[next(iter(self._revoked))] < now_s - _REVOKED_KEPT_S:
            del self._revoked[next(iter(self._revoked))]

    def take_returned(self) -> tuple[bytes, ...]:
        """Lease ids to give back to the vault; they are forgotten here."""
        returned, self._returned = tuple(self._returned), []
        return returned

    def clear(self) -> None:
        """Give everything back: the validator stops."""
        for leases in (self._leases, self._sealing):
            for lease in leases.values():
                self._give_back(lease)
            leases.clear()
        self._wanted.clear()

    def _give_back(self, lease: Lease | None) -> None:
        if lease is not None:
            self.give_back(lease.lease_id)


def _keep(ahead: dict[KeyT, int], name: KeyT, value: int) -> None:
    """Put at the end; beyond the limit the oldest goes."""
    ahead.pop(name, None)
    ahead[name] = value
    if len(ahead) > _AHEAD_MAX:
        del ahead[next(iter(ahead))]


def _expired(leases: Mapping[str, Lease], now_s: float) -> Iterator[str]:
    """From the front, where the oldest are. A cell's leases have one length, so the first that
    is alive ends the search; one that was lent for longer delays others by the difference."""
    for name, lease in leases.items():
        if lease.expires_at_s > now_s:
            return
        yield name
