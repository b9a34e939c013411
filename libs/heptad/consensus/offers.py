"""Batches that peers hold and have offered, until they are here or of no use any more.

An offer costs its sender nothing and the receiver a fetch, so each peer may have only so many open.
"""

from collections.abc import Iterator
from typing import Final

from heptad.consensus.objects import BatchRef
from heptad.consensus.pool import Positions
from heptad.model.ids import BatchDigest, MemberIndex

_PER_PEER_MAX: Final = 64


class Offers:
    """Open offers by digest, each with the first peer that made it."""

    def __init__(self) -> None:
        self._offers: dict[BatchDigest, tuple[BatchRef, MemberIndex]] = {}

    def __contains__(self, digest: object) -> bool:
        """True if this batch is offered."""
        return digest in self._offers

    def __len__(self) -> int:
        """How many are open."""
        return len(self._offers)

    def __iter__(self) -> Iterator[tuple[BatchRef, MemberIndex]]:
        """Each reference with who offered it."""
        return iter(self._offers.values())

    def may_add(self, ref: BatchRef, sender: MemberIndex) -> bool:
        """True if this is news, and its sender has not too many open."""
        if ref.digest in self._offers:
            return False
        open_count = sum([1 for _, offerer in self._offers.values() if offerer == sender])
        return open_count < _PER_PEER_MAX

    def add(self, ref: BatchRef, sender: MemberIndex) -> None:
        """Note an offer."""
        self._offers[ref.digest] = (ref, sender)

    def remove(self, digest: BatchDigest) -> bool:
        """Forget an offer; True if there was one."""
        return self._offers.pop(digest, None) is not None

    def forget(self, committed: Positions) -> None:
        """Forget what is committed, or can never be any more."""
        self._offers = {
            digest: (ref, sender)
            for digest, (ref, sender) in self._offers.items()
            if (ref.incarnation, ref.sequence) > committed.get(ref.validator, (-1, -1))
        }
