"""Replacing the routing key, and destroying those that are done with.

A routing key hides from replicas whose record is whose, so it must not live for ever: after its
time a new one is made and pushed to the validators. The old one is needed until every record under
it is applied. No validator seals under it for longer than a lease after the push, and what it has
sealed is committed within minutes or the mesh stands still; so an hour of applied log behind the
replacement is enough. Where no log comes at all, two days of clock are.

An erasure makes the current key old, too, at most once a minute: what shows that an erased person's
records were one person's are the headers in old copies, and they open until that key is destroyed.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from heptad.vault.cell_keys import DatedRoutingKey
from heptad.vault.tree import KeyTree

APPLIED_MS_MIN: Final = 3_600_000
IDLE_MS_MIN: Final = 2 * 86_400_000
ERASURE_PAUSE_MS: Final = 60_000
"""Keys that erasures have made old follow each other no faster."""

CHECK_MS_MAX: Final = 3_600_000
"""No destruction that is due waits longer for the ledger to look and to catch up, while it runs."""


class RoutingKeyRotation:
    """Does what is due; its methods sync the vault's disk, so they belong in a thread."""

    def __init__(self, vault: KeyTree, *, age_ms_max: int) -> None:
        self._vault = vault
        self._age_ms_max = age_ms_max

    def rotate_if_due(self, *, now_ms: int, erased_ms: int = 0) -> bool:
        """Make a new key if the current one is too old; tell whether there is a new one.

        `erased_ms` is when the last slot was erased.
        """
        created_ms = self._vault.current_routing_key().created_ms
        age_ms_max = ERASURE_PAUSE_MS if self.is_owed(erased_ms) else self._age_ms_max
        if now_ms - created_ms < age_ms_max:
            return False
        self._vault.rotate_routing_key(now_ms=now_ms)
        return True

    def is_owed(self, erased_ms: int) -> bool:
        """Whether the current key hides headers from before that erasure; 0: there was none."""
        return 0 < erased_ms >= self._vault.current_routing_key().created_ms

    def destroy_done(self, *, now_ms: int, applied_ms: int) -> Sequence[int]:
        """Destroy the keys that no record can need any more; return their numbers.

        `applied_ms` is the time of the last applied block.
        """
        done = done_with(self._vault.routing_keys(), now_ms=now_ms, applied_ms=applied_ms)
        if done:
            self._vault.erase(routing_key_ids=done)
        return done


def linked_until_ms(erased_ms: int) -> int:
    """Until when, at the latest, a key is held that hides headers from before that erasure.

    For a ledger that runs: one that is away destroys what is due once it has caught up.
    """
    return erased_ms + ERASURE_PAUSE_MS + IDLE_MS_MIN + CHECK_MS_MAX


def done_with(keys: Sequence[DatedRoutingKey], *, now_ms: int, applied_ms: int) -> Sequence[int]:
    """The numbers of the keys that were replaced long enough ago; `keys` run from the oldest on."""
    return [
        old.key.key_id
        for old, new in pairwise(keys)
        if applied_ms - new.created_ms >= APPLIED_MS_MIN or now_ms - new.created_ms >= IDLE_MS_MIN
    ]
