"""Replacing the routing key, and destroying those that are done with.

A routing key hides from replicas whose record is whose, so it must not live for ever: after its
time a new one is made and pushed to the validators. The old one is needed until every record under
it is applied. No validator seals under it for longer than a lease after the push, and what it has
sealed is committed within minutes or the mesh stands still; so an hour of applied log behind the
replacement is enough. Where no log comes at all, two days of clock are.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from heptad.vault.cell_keys import DatedRoutingKey
from heptad.vault.tree import KeyTree

APPLIED_MS_MIN: Final = 3_600_000
IDLE_MS_MIN: Final = 2 * 86_400_000


class RoutingKeyRotation:
    """Does what is due; its methods sync the vault's disk, so they belong in a thread."""

    def __init__(self, vault: KeyTree, *, age_ms_max: int) -> None:
        self._vault = vault
        self._age_ms_max = age_ms_max

    def rotate_if_due(self, *, now_ms: int) -> bool:
        """Make a new key if the current one is too old; tell whether there is a new one."""
        if now_ms - self._vault.current_routing_key().created_ms < self._age_ms_max:
            return False
        self._vault.rotate_routing_key(now_ms=now_ms)
        return True

    def destroy_done(self, *, now_ms: int, applied_ms: int) -> Sequence[int]:
        """Destroy the keys that no record can need any more; return their numbers.

        `applied_ms` is the time of the last applied block.
        """
        done = done_with(self._vault.routing_keys(), now_ms=now_ms, applied_ms=applied_ms)
        if done:
            self._vault.erase(routing_key_ids=done)
        return done


def done_with(keys: Sequence[DatedRoutingKey], *, now_ms: int, applied_ms: int) -> Sequence[int]:
    """The numbers of the keys that were replaced long enough ago; `keys` run from the oldest on."""
    return [
        old.key.key_id
        for old, new in pairwise(keys)
        if applied_ms - new.created_ms >= APPLIED_MS_MIN or now_ms - new.created_ms >= IDLE_MS_MIN
    ]
