"""Telling the log about later copies of requests that it holds: one public statement each.

The queue is the store's table `duplicate`: a row comes with the wave that brings the copy, and goes
with the wave that brings the statement. In between the statement is asked for again and again, of
one validator after the other; a validator records the same statement within five minutes once. So
nothing is lost by a crash of anybody, and a statement is there twice only if an answer was lost for
longer than that, which hurts nobody.

After a start nothing is asked for until what was asked for before has had the time to come back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import grpc

from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.runtime.status import problem_of
from heptad.wire.convert.entry_facts import encode_duplicate
from heptad.wire.convert.validator import SERVICE, decode_stated, encode_statement
from heptad_ledger.store import Duplicate, LogStore

METHOD: Final = f"/{SERVICE}/RecordStatement"
START_PAUSE_S: Final = 10.0
RETRY_S: Final = 30.0
CALL_S_MAX: Final = 8.0
AT_ONCE_MAX: Final = 64

RecordStatement = Callable[[int, bytes], Awaitable[int]]
"""Ask the validator of that place in the list; returns the entry's index. Raises: Problem."""


class DuplicateReporter:
    """Asks validators to record what the queue holds."""

    def __init__(
        self,
        *,
        store: LogStore,
        record: RecordStatement,
        validator_count: int,
        now_s: Callable[[], float],
        log: EventLog,
    ) -> None:
        self._store = store
        self._record = record
        self._validator_count = validator_count
        self._now_s = now_s
        self._log = log
        self._asked_at_s: dict[int, float] = {}
        self._attempts: dict[int, int] = {}
        self._news = asyncio.Event()
        self._news.set()

    def has_news(self) -> None:
        """Rows have come or gone."""
        self._news.set()

    async def run(self) -> None:
        """Work on the queue until cancelled."""
        await asyncio.sleep(START_PAUSE_S)
        while True:
            self._news.clear()
            waiting = await self.work()
            try:
                await asyncio.wait_for(self._news.wait(), RETRY_S if waiting else None)
            except TimeoutError:
                continue

    async def work(self) -> int:
        """Ask once for each row that is due; return how many rows there are."""
        with self._store.snapshot() as snapshot:
            queued = snapshot.duplicates(count_max=AT_ONCE_MAX)
        self._forget_all_but(queued)
        now_s = self._now_s()
        due = [copy for copy in queued if self._is_due(copy, now_s)]
        await asyncio.gather(*(self._ask(copy) for copy in due))
        return len(queued)

    def _is_due(self, copy: Duplicate, now_s: float) -> bool:
        asked_at_s = self._asked_at_s.get(copy.index)
        return asked_at_s is None or now_s - asked_at_s >= RETRY_S

    async def _ask(self, copy: Duplicate) -> None:
        """The same validator first, always: it knows if it was asked before."""
        attempt = self._attempts.get(copy.index, 0)
        self._attempts[copy.index] = attempt + 1
        self._asked_at_s[copy.index] = self._now_s()
        statement = encode_duplicate(index=copy.index, first_index=copy.first_index)
        try:
            await self._record((copy.index + attempt) % self._validator_count, statement)
        except Problem as problem:
            self._log.warning("duplicate_not_stated", index=copy.index, code=problem.code)

    def _forget_all_but(self, queued: Sequence[Duplicate]) -> None:
        indexes = {copy.index for copy in queued}
        for known in [index for index in self._asked_at_s if index not in indexes]:
            del self._asked_at_s[known], self._attempts[known]


def recorder(channels: Sequence[grpc.aio.Channel], kind: Kind) -> RecordStatement:
    """Records statements of that kind through these channels, one for each validator."""
    calls: list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = [
        channel.unary_unary(METHOD) for channel in channels
    ]

    async def record(validator: int, statement: bytes) -> int:
        request = encode_statement(kind, statement)
        try:
            answer: bytes = await calls[validator](request, timeout=CALL_S_MAX)
        except grpc.aio.AioRpcError as error:
            raise problem_of(error, unavailable="validator_unavailable") from error
        return decode_stated(answer)

    return record
