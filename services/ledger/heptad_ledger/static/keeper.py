"""Keeps the folder of static files up to date beside everything else that the ledger does.

The folder is derived, so it comes last: one thread of its own, one step at a time with a pause in
between, one checkpoint a second at most, and a queue of length one, for what has to be written is
always "up to the newest". A folder that cannot be written (a full disk, a mistake in the settings)
costs a metric and a line in the log, and is tried again; the ledger goes on.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from heptad.observability import catalogue
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.transparency.errors import TransparencyError
from heptad_ledger.errors import LedgerError
from heptad_ledger.static.exporter import Exporter

RETRY_S: Final = 5.0
STEP_PAUSE_S: Final = 0.02
"""Between two steps of catching up, so that the ledger's own work has the processor first."""
IDLE_S_MAX: Final = 60.0
"""How long nothing is looked at when nothing is published: partial tiles still have to go."""


class StaticKeeper:
    """Runs an `Exporter` in a thread whenever there is news."""

    def __init__(
        self, exporter: Exporter, *, interval_s: float, log: EventLog, metrics: Metrics
    ) -> None:
        """`interval_s`: shortest time between two checkpoints of the folder."""
        self._exporter = exporter
        self._interval_s = interval_s
        self._log = log
        self._news = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-static")
        self._told = ""
        self._failures = metrics.counter(catalogue.LEDGER_STATIC_FAILURES_TOTAL)
        metrics.read(catalogue.LEDGER_STATIC_SIZE, self._read_size)

    def has_news(self) -> None:
        """A checkpoint was published."""
        self._news.set()

    async def run(self) -> None:
        """Write whatever there is to write, until cancelled."""
        while True:
            try:
                await self._catch_up()
            except (OSError, LedgerError, TransparencyError) as error:
                self._failed(error)
                await asyncio.sleep(RETRY_S)
                continue
            if self._told:
                self._told = ""
                self._log.info("static_files_written_again", size=self._exporter.size)
            await asyncio.sleep(self._interval_s)
            await self._wait_for_news()

    async def stop(self) -> None:
        """Wait for the step that is under way; after this the store may be closed."""
        await asyncio.to_thread(self._thread.shutdown)

    async def _catch_up(self) -> None:
        """Bring the folder to the newest checkpoint. Raises: as `Exporter.work`."""
        self._news.clear()
        loop = asyncio.get_running_loop()
        has_more = True
        while has_more:
            has_more = await loop.run_in_executor(self._thread, self._exporter.work)
            await asyncio.sleep(STEP_PAUSE_S)

    def _failed(self, error: Exception) -> None:
        """The same trouble is told once, and counted each time."""
        self._failures.add(1)
        if str(error) != self._told:
            self._told = str(error)
            self._log.failure("static_files_failed", error)

    async def _wait_for_news(self) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), IDLE_S_MAX)
        except TimeoutError:
            return

    def _read_size(self) -> Mapping[tuple[str, ...], float]:
        return {(): float(self._exporter.size)}
