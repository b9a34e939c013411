"""Having statements recorded: asked for again and again, of one validator after the other.

As with duplicates (`heptad_ledger.duplicates`): a validator records the same statement within five
minutes once, so a lost answer costs a second entry at worst, which changes nothing. What has come
back is no longer in the list of what is to be recorded, and is forgotten here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import grpc

from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.runtime.status import problem_of
from heptad.wire.convert.validator import SERVICE, decode_stated, encode_statement

METHOD: Final = f"/{SERVICE}/RecordStatement"
START_PAUSE_S: Final = 10.0
RETRY_S: Final = 10.0
CALL_S_MAX: Final = 8.0
AT_ONCE_MAX: Final = 64

RecordStatement = Callable[[int, Kind, bytes], Awaitable[int]]
"""Ask the validator of that place in the list; returns the entry's index. Raises: Problem."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is to be an entry."""

    kind: Kind
    body: bytes


class StatementQueue:
    """Asks for what it is shown; `now_s` is a monotonic clock."""

    def __init__(
        self,
        *,
        record: RecordStatement,
        validator_count: int,
        now_s: Callable[[], float],
        log: EventLog,
    ) -> None:
        self._record = record
        self._validator_count = validator_count
        self._now_s = now_s
        self._log = log
        self._due_s: dict[tuple[int, Kind], float] = {}
        self._attempts: dict[tuple[int, Kind], int] = {}

    def hold_back(self, numbers: Mapping[int, Statement]) -> None:
        """These may be on their way to the log since an earlier life: give them time."""
        for number, statement in numbers.items():
            self._due_s[number, statement.kind] = self._now_s() + START_PAUSE_S

    async def work(self, wanted: Mapping[int, Statement]) -> None:
        """Ask once for each statement that is due; `wanted` is all there is, by number of case."""
        keys = {(number, statement.kind) for number, statement in wanted.items()}
        for key in [key for key in self._due_s if key not in keys]:
            del self._due_s[key]
            self._attempts.pop(key, None)
        now_s = self._now_s()
        due = [key for key in sorted(keys) if self._due_s.get(key, now_s) <= now_s]
        for start in range(0, len(due), AT_ONCE_MAX):
            asked = due[start : start + AT_ONCE_MAX]
            await asyncio.gather(*(self._ask(key, wanted[key[0]]) for key in asked))

    async def _ask(self, key: tuple[int, Kind], statement: Statement) -> None:
        """The same validator first, always: it knows if it was asked before."""
        attempt = self._attempts.get(key, 0)
        self._attempts[key] = attempt + 1
        self._due_s[key] = self._now_s() + RETRY_S
        try:
            validator = (key[0] + attempt) % self._validator_count
            await self._record(validator, statement.kind, statement.body)
        except Problem as problem:
            self._log.warning("erasure_not_stated", kind=statement.kind.name, code=problem.code)


def recorder(channels: "list[grpc.aio.Channel]") -> RecordStatement:
    """Records through these channels, one for each validator."""
    calls: list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = [
        channel.unary_unary(METHOD) for channel in channels
    ]

    async def record(validator: int, kind: Kind, statement: bytes) -> int:
        request = encode_statement(kind, statement)
        try:
            answer: bytes = await calls[validator](request, timeout=CALL_S_MAX)
        except grpc.aio.AioRpcError as error:
            raise problem_of(error, unavailable="validator_unavailable") from error
        return decode_stated(answer)

    return record
