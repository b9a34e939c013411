"""Erasures from the log to the certificate: what is due is done, one group after the other.

    received ──decide──▶ statement recorded ──applied──▶ ordered ──execute──▶ destroyed
             ──drained──▶ certificate recorded ──applied──▶ erased

Nothing of it is remembered here: what is due follows from the store, so that a start is like any
other moment. What is in memory only are leases: they are revoked the moment an order is applied,
and a key whose leases are not all returned or run out is attested by nobody.

An erasure that cannot be carried out now (a full disk) is tried again; a vault that fails ends the
process, for what it has come to, only opening it again can tell.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from heptad.model.erasure import ErasureState
from heptad.model.lending import LEASE_SUBJECTS_MAX
from heptad.observability import catalogue
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad_ledger.errors import KeyBookError, StoreFullError
from heptad_ledger.lending.loans import LoanBook
from heptad_ledger.privacy.deciding import CASES_AT_ONCE, Decider, is_to_attest, statement_kind
from heptad_ledger.privacy.eraser import Eraser
from heptad_ledger.privacy.intake import Intake
from heptad_ledger.privacy.recording import Statement, StatementQueue
from heptad_ledger.store import LogStore
from heptad_ledger.store.erasure_rows import ErasureCase

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

RETRY_S: Final = 5.0
IDLE_S: Final = 30.0
REVOKED_MAX: Final = 100_000
"""Subjects whose leases are not drained, remembered for validators that connect."""


class ErasureOffice:
    """Works until cancelled. `has_news` wakes it: rows were applied, leases came back."""

    def __init__(
        self,
        *,
        store: LogStore,
        intake: Intake,
        eraser: Eraser,
        decider: Decider,
        statements: StatementQueue,
        loans: LoanBook,
        writer: Executor,
        now_s: Callable[[], float],
        log: EventLog,
        metrics: Metrics,
    ) -> None:
        """`now_s` is the clock of the loans."""
        self._store = store
        self._intake = intake
        self._eraser = eraser
        self._decider = decider
        self._statements = statements
        self._loans = loans
        self._writer = writer
        self._now_s = now_s
        self._log = log
        self._news = asyncio.Event()
        self._revoked: dict[int, str] = {}
        self._is_open = asyncio.Event()
        self._carrying_out = asyncio.Lock()
        self._count = metrics.counter(catalogue.LEDGER_ERASURES_TOTAL)
        self.on_revoked: Callable[[tuple[str, ...]], None] = lambda subject_ids: None
        """Told whose leases end now, before their keys are destroyed."""
        self.on_erased: Callable[[Mapping[int, str]], None] = lambda erased: None
        """Told of slots whose keys were destroyed, with their subjects as far as they are known:
        what is remembered of them has to be forgotten."""
        metrics.read(catalogue.LEDGER_ERASURES_OPEN, self._count_open)

    def has_news(self) -> None:
        """Something may be due."""
        self._news.set()

    def open(self) -> None:
        """All of the log is applied: from now on the ledger decides and attests."""
        self._is_open.set()
        self.has_news()

    def revoked(self) -> Sequence[str]:
        """Subjects whose leases have ended and may still be held: for a validator that connects."""
        return tuple(self._revoked.values())

    async def run(self) -> None:
        """Work until cancelled."""
        await self._in_writer(self._intake.take)
        self._statements.hold_back(self._stated(self._cases()))
        while True:
            self._news.clear()
            try:
                pause_s = await self.work()
            except StoreFullError as fault:
                self._log.failure("erasure_waits_for_room", fault)
                pause_s = RETRY_S
            except KeyBookError as fault:
                # Nothing may be attested without the book of backup keys, or while one is overdue:
                # somebody has to do something.
                self._log.failure("erasure_waits_for_key_book", fault)
                pause_s = IDLE_S
            try:
                await asyncio.wait_for(self._news.wait(), pause_s)
            except TimeoutError:
                continue

    async def work(self) -> float:
        """Do all that is due; return after how many seconds something may be due again.

        Raises: StoreError; heptad.vault.errors.VaultFaultError.
        """
        await self._in_writer(self._intake.take)
        self._tell_news()
        if self._intake.is_replaying:
            return IDLE_S
        await self.carry_out()
        if not self._is_open.is_set():
            return IDLE_S
        await asyncio.to_thread(self._decider.look_ahead)
        await self._in_writer(self._decider.decide)
        cases = self._cases()
        drained_s = await self._attest(cases)
        await self._statements.work(self._stated(self._cases()))
        self._tell_news()
        return min(drained_s, RETRY_S if cases else IDLE_S)

    async def replay(self) -> None:
        """Look at all that is applied, and carry out every order in it. Raises: as `work`."""
        await self._in_writer(self._intake.take)
        await self.carry_out()
        self._intake.is_replaying = False
        await self._in_writer(self._intake.close_ordered)

    async def carry_out(self) -> None:
        """Carry out all orders that were found in the log. Raises: as `work`."""
        async with self._carrying_out:
            await self._carry_out()

    async def _carry_out(self) -> None:
        while group := await self._in_writer(self._eraser.due):
            subject_ids = await self._in_writer(self._eraser.subject_ids, group)
            self._revoke(subject_ids)
            while await self._in_writer(self._eraser.delete_some, group):
                # What has come meanwhile is applied in between.
                continue
            done = await self._in_writer(self._eraser.execute, group)
            self.on_erased({case.slot: subject_ids.get(case.slot, "") for case in done})
            self._log.info("erasures_carried_out", count=len(done))

    def _revoke(self, subject_ids: Mapping[int, str]) -> None:
        names = tuple(subject_ids.values())
        self._revoked.update(subject_ids)
        while len(self._revoked) > REVOKED_MAX:
            del self._revoked[next(iter(self._revoked))]
        for start in range(0, len(names), LEASE_SUBJECTS_MAX):
            self.on_revoked(names[start : start + LEASE_SUBJECTS_MAX])

    async def _attest(self, cases: Sequence[ErasureCase]) -> float:
        """Attest what is drained; return how long the next one has to wait."""
        now_s, wait_s = self._now_s(), IDLE_S
        drained: list[ErasureCase] = []
        for case in cases:
            if not is_to_attest(case):
                continue
            rest_s = self._loans.drained_at_s(case.slot) - now_s
            if rest_s <= 0:
                drained.append(case)
            else:
                wait_s = min(wait_s, rest_s)
        for case in drained:
            self._revoked.pop(case.slot, None)
        if drained:
            await self._in_writer(self._decider.attest, [case.number for case in drained])
        return wait_s

    def _cases(self) -> Sequence[ErasureCase]:
        with self._store.snapshot() as snapshot:
            return snapshot.erasures.to_do(count_max=CASES_AT_ONCE)

    @staticmethod
    def _stated(cases: Sequence[ErasureCase]) -> dict[int, Statement]:
        return {
            case.number: Statement(statement_kind(case), case.statement)
            for case in cases
            if case.statement
        }

    def _tell_news(self) -> None:
        news = self._intake.news
        while news:
            state = news.popleft()
            self._count.add(1, state.value)
            self._log.info("erasure_moved", state=state.value)

    def _count_open(self) -> Mapping[tuple[str, ...], float]:
        counts = {ErasureState.RECEIVED: 0.0, ErasureState.ORDERED: 0.0}
        for case in self._cases():
            state = ErasureState.RECEIVED if case.state is ErasureState.RECEIVED else None
            counts[state or ErasureState.ORDERED] += 1
        return {(state.value,): count for state, count in counts.items()}

    async def _in_writer(
        self, act: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs
    ) -> ResultT:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, partial(act, *args, **kwargs))
