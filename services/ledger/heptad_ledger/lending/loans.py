"""Who holds what until when: the ledger's side of every lease.

An erasure is not complete before every lease of its slot has been returned or has run out, so the
book must never forget one too early: it counts on a clock that never goes back, and keeps a loan
for a margin longer than the validator may use it. It is in memory only, since lease ids on disk
would link records; after a restart nobody knows what the last process has lent, so everything
counts as lent until `unknown_until_s`.
"""

from dataclasses import dataclass
from typing import Final

from heptad.model.problems import Problem

MARGIN_S: Final = 5.0
"""For clocks that run unevenly and answers that were long under way."""

LOANS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Loan:
    """One lease: its slot, who holds it (`validator-1`), and until when, on the book's clock."""

    slot: int
    holder: str
    expires_at_s: float


class LoanBook:
    """All loans that are not over. Times are seconds of one monotonic clock."""

    def __init__(self, *, ttl_s: float, now_s: float) -> None:
        self.ttl_s = ttl_s
        self.unknown_until_s = now_s + ttl_s + MARGIN_S
        self._loans: dict[bytes, Loan] = {}
        self._by_slot: dict[int, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._loans)

    def lend(self, lease_id: bytes, *, slot: int, holder: str, now_s: float) -> None:
        """Note a loan before it is handed out. Raises: Problem `overloaded`."""
        self.sweep(now_s)
        if len(self._loans) >= LOANS_MAX:
            raise Problem("overloaded", f"{LOANS_MAX} leases are out", retry_after_s=1)
        self._loans[lease_id] = Loan(slot, holder, now_s + self.ttl_s + MARGIN_S)
        self._by_slot.setdefault(slot, set()).add(lease_id)

    def take_back(self, lease_id: bytes, *, holder: str) -> None:
        """A lease has been returned; only by who holds it, else nothing happens."""
        loan = self._loans.get(lease_id)
        if loan is not None and loan.holder == holder:
            self._end(lease_id)

    def drained_at_s(self, slot: int) -> float:
        """When nobody can use a lease of this slot any more; it may lie in the past."""
        known = [self._loans[lease_id].expires_at_s for lease_id in self._by_slot.get(slot, ())]
        return max([self.unknown_until_s, *known])

    def sweep(self, now_s: float) -> None:
        """Forget loans that are over. They end in the order in which they were made."""
        while self._loans:
            lease_id, loan = next(iter(self._loans.items()))
            if loan.expires_at_s > now_s:
                return
            self._end(lease_id)

    def _end(self, lease_id: bytes) -> None:
        slot = self._loans.pop(lease_id).slot
        of_slot = self._by_slot[slot]
        of_slot.discard(lease_id)
        if not of_slot:
            del self._by_slot[slot]
