"""The static files beside the ledger's own work: never in its way, whatever becomes of them."""

import asyncio
import os

import pytest

from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad_ledger.errors import StaticFolderError, StoreDamagedError
from heptad_ledger.static import keeper as keeper_module
from heptad_ledger.static.keeper import StaticKeeper


class Exporter:
    """Comes one entry further with each step, unless it meets a trouble."""

    def __init__(self, *troubles):
        self.size, self.published = 0, 0
        self.troubles = list(troubles)

    def work(self):
        if self.troubles:
            raise self.troubles.pop(0)
        self.size += self.size < self.published
        return self.size < self.published


@pytest.fixture
def run_keeper(monkeypatch):
    """Runs a keeper through a scenario; what it has logged, and its metrics."""
    monkeypatch.setattr(keeper_module, "RETRY_S", 0.0)
    monkeypatch.setattr(keeper_module, "STEP_PAUSE_S", 0.0)

    def run(exporter, scenario):
        lines, metrics = [], Metrics(cell="log.test", service="ledger-1")

        async def main():
            log = EventLog(bound={}, write=lines.append)
            keeper = StaticKeeper(exporter, interval_s=0.0, log=log, metrics=metrics)
            task = asyncio.create_task(keeper.run())
            try:
                async with asyncio.timeout(60):
                    await scenario(keeper)
                assert not task.done()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await keeper.stop()

        asyncio.run(main())
        return "".join(lines), metrics.exposition().decode()

    return run


async def until(condition):
    while not condition():  # noqa: ASYNC110  the condition lies in a thread
        await asyncio.sleep(0)


def test_each_checkpoint_that_is_published_comes_to_the_folder(run_keeper):
    exporter = Exporter()

    async def scenario(keeper):
        for size in (1, 5, 6, 20):
            exporter.published = size
            keeper.has_news()
            await until(lambda size=size: exporter.size == size)

    _, metrics = run_keeper(exporter, scenario)
    assert "ledger_static_size" in metrics
    assert " 20.0" in metrics


def test_news_during_a_step_are_not_lost(run_keeper):
    """The last look at the store was before the news, so there has to be another one."""
    exporter = Exporter()

    class Late(Exporter):
        def work(self):
            more = super().work()
            if self.size == 3 and self.published == 3:
                self.published = 4
                loop.call_soon_threadsafe(keepers[0].has_news)
            return more

    exporter, keepers, loop = Late(), [], None

    async def scenario(keeper):
        nonlocal loop
        loop = asyncio.get_running_loop()
        keepers.append(keeper)
        exporter.published = 3
        keeper.has_news()
        await until(lambda: exporter.size == 4)

    run_keeper(exporter, scenario)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (OSError(28, os.strerror(28)), "No space left"),
        (StaticFolderError("keep that checkpoint"), "keep that checkpoint"),
        (StoreDamagedError("entry 5 is not there"), "entry 5"),
    ],
)
def test_trouble_is_told_once_counted_each_time_and_tried_again(run_keeper, trouble, reason):
    exporter = Exporter(trouble, trouble, trouble)
    exporter.published = 7

    async def scenario(keeper):
        await until(lambda: exporter.size == 7)

    logged, metrics = run_keeper(exporter, scenario)
    assert logged.count("static_files_failed") == 1
    assert reason in logged
    assert "ledger_static_failures_total" in metrics
    assert " 3.0" in metrics
