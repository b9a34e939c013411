"""Snapshots that peers offer for one place in the chain, and when there is nothing better.

To jump costs this replica, and so the group, the blocks in between: an evil peer that offers a
snapshot at once must not bring that about while others still hold the blocks. So a snapshot is
taken only after everybody was asked for the blocks, and then only if more than f peers, an honest
one among them, say that they are gone; or after everybody was asked twice, for peers that are down
cannot say anything.
"""

from heptad.consensus.verified import VerifiedSnapshot
from heptad.model.ids import BlockId, MemberIndex


class SnapshotOffers:
    """Verified offers that go on from one root; of several the highest counts."""

    def __init__(self, *, peers_count: int, f: int) -> None:
        self._peers_count = peers_count
        self._f = f
        self._root: BlockId | None = None
        self._highest: VerifiedSnapshot | None = None
        self._senders: set[MemberIndex] = set()

    def add(self, snapshot: VerifiedSnapshot, *, root: BlockId, sender: MemberIndex) -> None:
        """Take an offer in; those for another root are of no use any more."""
        if root != self._root:
            self._root, self._highest, self._senders = root, None, set()
        self._senders.add(sender)
        if self._highest is None or snapshot.block.height > self._highest.block.height:
            self._highest = snapshot

    def best(self, *, root: BlockId, asked: int) -> VerifiedSnapshot | None:
        """The snapshot to jump to after `asked` requests for the blocks behind `root`."""
        if root != self._root or asked < self._peers_count:
            return None
        is_credible = len(self._senders) > self._f or asked >= 2 * self._peers_count
        return self._highest if is_credible else None
