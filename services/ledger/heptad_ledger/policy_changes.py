"""Telling the log that the cell's public file has changed: the digest of what it goes by now.

Keys, services and addresses stand in `cell.toml`, which people carry from member to member. An
auditor who gets a new one, out of band like the first, finds its digest in the log, cosigned and
at its place in the order of everything else, and the digests form a chain back to the file that the
cell began with. The first file is in no entry: the genesis block binds what it agrees on.

The file is the one that lay there when this process started, which is the one that it goes by. What
was recorded last is kept beside the log, and only once the log really holds it: if we crash before,
the next start records it again, which says nothing new and hurts nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from itertools import count
from typing import Final

from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.wire.convert.entry import decode_entry
from heptad.wire.convert.entry_facts import encode_policy_change
from heptad_ledger.duplicates import RecordStatement
from heptad_ledger.store import LogStore
from heptad_ledger.watermark import Watermark

RECORDED: Final = "cell_sha256"
RETRY_S: Final = 10.0
APPLY_S_MAX: Final = 60.0


class PolicyChangeReporter:
    """Asks validators to record the file's digest, if it is not that of the last time."""

    def __init__(
        self,
        *,
        store: LogStore,
        writer: Executor,
        applied_size: Watermark,
        cell_sha256: bytes,
        record: RecordStatement,
        validator_count: int,
        log: EventLog,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._writer = writer
        self._applied_size = applied_size
        self._digest = cell_sha256
        self._record = record
        self._validator_count = validator_count
        self._log = log
        self._pause = pause

    async def run(self) -> None:
        """Return once the log holds the digest of this file, or never held another one."""
        previous = self._store.kept(RECORDED)
        if previous is None:
            await self._keep()
        elif previous != self._digest:
            await self._state(
                encode_policy_change(cell_sha256=self._digest, previous_sha256=previous)
            )
            await self._keep()

    async def _state(self, statement: bytes) -> None:
        """Ask one validator after the other until it is in the log."""
        for attempt in count():
            try:
                index = await self._record(attempt % self._validator_count, statement)
            except Problem as problem:
                self._log.warning("policy_change_not_recorded", code=problem.code)
            else:
                if await self._is_logged(index, statement):
                    self._log.info("policy_change_recorded", index=index)
                    return
                self._log.warning("policy_change_not_recorded", index=index, code="not_in_log")
            await self._pause(RETRY_S)

    async def _is_logged(self, index: int, statement: bytes) -> bool:
        """Whether the log holds it where the validator says; validators are not believed."""
        if not await self._applied_size.reached(index + 1, timeout_s=APPLY_S_MAX):
            return False
        with self._store.snapshot() as snapshot:
            data = snapshot.entry(index)
        try:
            entry = decode_entry(data)
        except MalformedError:
            return False
        return (entry.kind, entry.statement) == (Kind.POLICY_CHANGE, statement)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, self._store.keep, RECORDED, self._digest)
