"""Batches beyond their validator's share of the pool, which only uncertified proposals name.

A validator that signs several batches under one number, together with leaders that propose them,
could otherwise have a replica fetch and keep another block's worth in every round. But a voter must
be able to take what an honest leader proposes, also of a validator whose share is full of something
else. So there is room beyond the shares, in an account for each leader: who fills it has filled its
own, and the proposals of the others are voted for as before. What a quorum has certified needs no
room here: it is wanted whatever it costs, and one honest member at least has had room for it.
"""

from collections.abc import Container, Iterable
from typing import Final

from heptad.model.ids import BatchDigest, MemberIndex

_OVERHEAD_BYTES: Final = 4 << 10
"""What a batch takes besides its bytes, so that many small ones cost what they weigh."""


class Extras:
    """Which batches are here on which leader's account; `bytes_max` is for each leader."""

    def __init__(self, *, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._taken: dict[BatchDigest, tuple[MemberIndex, int]] = {}

    def take(self, digest: BatchDigest, size_bytes: int, leaders: Iterable[MemberIndex]) -> bool:
        """Charge a batch to the first of these leaders who has room for it; False if none has."""
        cost = size_bytes + _OVERHEAD_BYTES
        for leader in leaders:
            if self._used_bytes(leader) + cost <= self._bytes_max:
                self._taken[digest] = (leader, cost)
                return True
        return False

    def retain(self, digests: Container[BatchDigest]) -> None:
        """Clear the accounts of everything else: it has left, or is within its share by now."""
        self._taken = {each: taken for each, taken in self._taken.items() if each in digests}

    def __len__(self) -> int:
        """How many batches are here on somebody's account."""
        return len(self._taken)

    def _used_bytes(self, leader: MemberIndex) -> int:
        return sum([cost for payer, cost in self._taken.values() if payer == leader])
