"""Batches that no block takes: offering them to all, and noticing a leader who leaves them out.

A validator may send a batch to a few replicas only. Those offer it to all others *before* they
start their timers for it, so that a leader who never got it is not timed out for that. An offer is
a reference; whoever lacks the batch fetches it. If the leader's rounds go on for long after that
without the batch, the leader is censoring (or proposes only empty blocks): this replica refuses its
proposals until its term ends.
"""

from collections.abc import Mapping
from typing import NamedTuple

from heptad.consensus.limits import Limits
from heptad.consensus.messages import BatchOffer
from heptad.consensus.objects import Block
from heptad.consensus.pool import BatchPool
from heptad.consensus.results import Results
from heptad.model.ids import MemberIndex, ValidatorNumber

_ROUND_TIMES_BEFORE_OFFER = 4
_OFFERS_MAX = 64


class Waiting(NamedTuple):
    """The oldest batch that could be proposed: when it came, when it was offered (or None)."""

    arrived_ms: int
    offered_ms: int | None


class WaitingBatches:
    """Watches the pool of one replica."""

    def __init__(self, *, limits: Limits, pool: BatchPool, others: tuple[MemberIndex, ...]) -> None:
        self._limits = limits
        self._pool = pool
        self._others = others

    def oldest(self, positions: Mapping[ValidatorNumber, tuple[int, int]]) -> Waiting | None:
        """The oldest batch that may follow `positions`."""
        batch = self._pool.oldest(positions)
        return Waiting(batch.arrived_ms, batch.offered_ms) if batch is not None else None

    def is_left_out(self, waiting: Waiting, block: Block) -> bool:
        """True if `block` cannot be excused for not taking a batch that all have had for long.

        A full block that takes what came before is excused: there is more to do than fits. One with
        room, or one that prefers what came much later, is not.
        """
        if not block.batches:
            return True
        limits = self._limits
        size = sum(ref.size_bytes for ref in block.batches) + self._pool.largest_bytes()
        is_full = len(block.batches) >= limits.block_batches_max or size > limits.block_bytes_max
        if not is_full:
            return True
        if waiting.offered_ms is None:
            return False  # Not all have had it yet, and a leader may work off what came before.
        late_ms = waiting.offered_ms + limits.censored_after_ms
        taken = (self._pool.get(ref.digest) for ref in block.batches)
        return any(batch is not None and batch.arrived_ms > late_ms for batch in taken)

    def offer_at_ms(self, waiting: Waiting, round_ms: float) -> int:
        """When a batch is offered that is not in a block by then; `round_ms` as measured."""
        patience = max(self._limits.relay_after_ms, _ROUND_TIMES_BEFORE_OFFER * round_ms)
        return waiting.arrived_ms + int(patience)

    def offer(
        self,
        positions: Mapping[ValidatorNumber, tuple[int, int]],
        *,
        now_ms: int,
        again: bool,
        results: Results,
    ) -> None:
        """Offer the oldest batches that were not offered yet; or `again`, for offers get lost."""
        refs = []
        for batch in self._pool.proposable(positions):
            if batch.offered_ms is None:
                self._pool.mark(batch.ref.digest, offered_ms=now_ms)
                refs.append(batch.ref)
            elif again:
                refs.append(batch.ref)
            if len(refs) >= _OFFERS_MAX:
                break
        if refs:
            results.send(self._others, BatchOffer(tuple(refs)))
