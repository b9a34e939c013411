"""What one client, and all clients together, may make the ledger read: paid for afterwards.

A call is cheap to make and may be dear to answer, so requests a second (`limits`) bound nothing of
the ledger's work. Here the unit is the *entry read*, about 1 µs of a ledger's processor: its answer
says how many it has cost, and that is taken out of its client's account and out of the one that all
share. Who is in debt is refused until it is paid back, by time alone; a refusal costs nothing. As
the price is known afterwards only, the number of scans under way is bounded too; a few more stand
in line (`places`).

Who has asked for nothing dear lately is let in while the shared account is in debt, as long as that
is less than `RESTED_OWED_S`: so those who take all they can do not keep the others out.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

from heptad.model.problems import Problem
from heptad_gateway.limits import ADDRESSES_MAX, client_of
from heptad_gateway.places import Places

BURST_S: Final = 10.0
"""So many seconds' allowance can be saved up, by a client and by all."""

RESTED_OWED_S: Final = 4.0
"""More than those can owe together who are under way while the account runs empty."""

CALL_COST_MAX: Final = 50_000
"""What a list or count may cost; charged where the ledger's answer was not waited for."""

WATCH_COST: Final = 10_000
"""Of beginning a watch: what it may have looked at when it ends before it has told."""

PROOF_COST: Final = 1_000
"""Of a proof for a tree of any size."""

SCANS_MAX: Final = 8
"""Lists and counts under way whose filter takes reading: as many as a ledger takes of a caller."""

WAITING_MAX: Final = 24
"""And so many that wait for a place (`places`)."""

CLIENT_SCANS_MAX: Final = 4
"""Of one client, under way or waiting."""

_ALL: Final = "all"
_DONE_IN_PART: Final = frozenset({"deadline_exceeded"})


class BudgetSpent(Problem):
    """Refused for what was read; `policy` is the account's, for the RateLimit fields."""

    def __init__(self, code: str, detail: str, *, policy: str, retry_after_s: int) -> None:
        super().__init__(code, detail, retry_after_s=retry_after_s)
        self.policy = policy


@dataclass(slots=True)
class Bill:
    """What one call costs; the handler corrects it once the ledger has said so."""

    cost: int


class Account:
    """Entries that may be read, for each of many names; below 0 they are owed."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._left: dict[str, tuple[float, float]] = {}

    @property
    def is_on(self) -> bool:
        """Whether anything is limited: 0 a second switches it off."""
        return self._per_s > 0

    def left(self, name: str, now_s: float) -> float:
        """How many are left, at most those of `BURST_S`."""
        full = self._per_s * BURST_S
        left, at_s = self._left.get(name, (full, now_s))
        return min(full, left + (now_s - at_s) * self._per_s)

    def is_full(self, name: str, now_s: float) -> bool:
        """Whether nothing was taken lately."""
        return self.left(name, now_s) >= self._per_s * BURST_S

    def owed_s(self, name: str, now_s: float) -> float:
        """How long it takes to pay back what is owed; 0 if nothing is."""
        return max(0.0, -self.left(name, now_s) / self._per_s) if self.is_on else 0.0

    def take(self, name: str, cost: int, now_s: float) -> None:
        """Take what was read, whether it is there or not."""
        if self.is_on and cost:
            left = self.left(name, now_s) - cost
            self._left.pop(name, None)
            self._left[name] = (left, now_s)
            if len(self._left) > ADDRESSES_MAX:
                del self._left[next(iter(self._left))]


class ReadBudget:
    """The accounts of one gateway. `now_s` is monotonic."""

    def __init__(
        self, *, client_per_s_max: int, all_per_s_max: int, now_s: Callable[[], float]
    ) -> None:
        """0 switches a limit off."""
        self._per_client = Account(client_per_s_max)
        self._of_all = Account(all_per_s_max)
        self._now_s = now_s
        self._places = Places(
            places_max=SCANS_MAX,
            waiting_max=WAITING_MAX,
            client_max=CLIENT_SCANS_MAX if client_per_s_max else SCANS_MAX + WAITING_MAX,
        )
        self._client_policy = f'"client-reads";q={client_per_s_max};qu="entries-read";w=1'
        self._all_policy = f'"reads";q={all_per_s_max};qu="entries-read";w=1'
        self.cost_total = 0
        """All that was charged."""

    @property
    def scan_count(self) -> int:
        """Lists and counts whose filter takes reading: under way, or in line for that."""
        return self._places.count

    @asynccontextmanager
    async def scan(self, address: str, *, is_dear: bool) -> AsyncIterator[Bill]:
        """A list or count for a client; `is_dear` if its filter takes reading.

        Raises: Problem `client_rate_limited`, `overloaded`, which cost nothing.
        """
        self.require(address, is_dear=is_dear)
        async with self._place(address) if is_dear else nullcontext():
            bill = Bill(CALL_COST_MAX)
            try:
                yield bill
            except Problem as problem:
                if problem.code not in _DONE_IN_PART:
                    bill.cost = 0
                raise
            finally:
                self.charge(address, bill.cost)

    def pay(self, address: str, cost: int) -> None:
        """Before a call whose price is known. Raises: as `require`."""
        self.require(address, is_dear=True)
        self.charge(address, cost)

    def require(self, address: str, *, is_dear: bool) -> None:
        """Raises: Problem `client_rate_limited`; `overloaded` if all clients together have too
        much, which only what is dear is refused for.
        """
        client, now_s = client_of(address), self._now_s()
        if owed_s := self._per_client.owed_s(client, now_s):
            raise BudgetSpent(
                "client_rate_limited",
                "the ledger has read too many entries for this address",
                policy=self._client_policy,
                retry_after_s=_whole(owed_s),
            )
        owed_s = self._of_all.owed_s(_ALL, now_s)
        is_rested = self._per_client.is_on and self._per_client.is_full(client, now_s)
        if is_dear and owed_s > (RESTED_OWED_S if is_rested else 0.0):
            raise BudgetSpent(
                "overloaded",
                "the ledger has read too many entries for all clients together",
                policy=self._all_policy,
                retry_after_s=_whole(owed_s),
            )

    def charge(self, address: str, cost: int) -> None:
        """Take what a client's call has cost."""
        now_s = self._now_s()
        self._per_client.take(client_of(address), cost, now_s)
        self._of_all.take(_ALL, cost, now_s)
        self.cost_total += cost

    def owed_s(self, address: str) -> float:
        """How long a stream has to pause until its client, and all, have paid; mostly 0."""
        now_s = self._now_s()
        client = client_of(address)
        return max(self._per_client.owed_s(client, now_s), self._of_all.owed_s(_ALL, now_s))

    @asynccontextmanager
    async def _place(self, address: str) -> AsyncIterator[None]:
        """A place for a scan, once one is free. Raises: Problem `overloaded`; as `require`."""
        async with self._places.one(client_of(address)):
            # Those before it may have spent everything meanwhile.
            self.require(address, is_dear=True)
            yield


def _whole(seconds: float) -> int:
    """Seconds to wait, as Retry-After has them."""
    return max(1, round(seconds + 0.5))
