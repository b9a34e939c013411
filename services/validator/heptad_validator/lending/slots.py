"""A small stock of vault slots for subjects to come.

A slot is never used twice, so none is set aside before somebody registers: an idle validator would
otherwise burn thousands a day. Registrations that arrive together share one question, which asks
for a few more than are needed while registrations go on.
"""

import asyncio
from collections import deque
from typing import Final

from heptad.model.lending import (
    LEASE_TTL_MS_MAX,
    RESERVED_SLOTS_MAX,
    ReserveSlots,
    SlotLease,
    Slots,
)
from heptad.model.problems import Problem
from heptad_validator.clock import Clock
from heptad_validator.lending.desk import Vault
from heptad_validator.lending.leases import usable_until_s

ANSWER_S_MAX: Final = 2.0
SPARE_MAX: Final = 64
QUESTIONS_MAX: Final = 3
"""How often one registration asks before it gives up on a vault that gives too little."""


class SlotStock:
    """Slots on loan that are nobody's yet."""

    def __init__(self, *, vault: Vault, clock: Clock, lease_s_max: float) -> None:
        self._vault = vault
        self._clock = clock
        self._lease_s_max = lease_s_max
        self._stock: deque[tuple[float, SlotLease]] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._waiting = 0
        self._taken_lately = 0

    def __len__(self) -> int:
        return len(self._stock)

    async def take(self) -> SlotLease:
        """A slot that may still be used. Raises: Problem `vault_unavailable`."""
        self._waiting += 1
        try:
            for _ in range(QUESTIONS_MAX):
                if (slot := self._usable()) is not None:
                    self._taken_lately += 1
                    return slot
                if self._asking is None or self._asking.done():
                    self._asking = asyncio.create_task(self._refill())
                # Several wait for one question: none of them may cancel it for the others.
                await asyncio.shield(self._asking)
        finally:
            self._waiting -= 1
        raise Problem("vault_unavailable", "the vault gave too few slots", retry_after_s=1)

    def sweep(self, now_s: float) -> None:
        """Drop what may be used no more."""
        while self._stock and self._stock[0][0] <= now_s:
            self._stock.popleft()

    def clear(self) -> tuple[bytes, ...]:
        """Empty the stock; the lease ids to give back."""
        lease_ids = tuple(slot.lease_id for _, slot in self._stock)
        self._stock.clear()
        return lease_ids

    def _usable(self) -> SlotLease | None:
        self.sweep(self._clock.monotonic_s())
        return self._stock.popleft()[1] if self._stock else None

    async def _refill(self) -> None:
        asked_at_s = self._clock.monotonic_s()
        spare = min(self._taken_lately, SPARE_MAX)
        self._taken_lately = 0
        count = min(max(self._waiting, 1) + spare, RESERVED_SLOTS_MAX)
        answer = await self._vault.ask(ReserveSlots(count), timeout_s=ANSWER_S_MAX)
        if not isinstance(answer, Slots) or not answer.slots:
            raise Problem("vault_unavailable", "the vault has no slots", retry_after_s=1)
        ttl_s = min(min(answer.ttl_ms, LEASE_TTL_MS_MAX) / 1000, self._lease_s_max)
        until_s = usable_until_s(asked_at_s=asked_at_s, ttl_s=ttl_s)
        self._stock.extend((until_s, slot) for slot in answer.slots)
