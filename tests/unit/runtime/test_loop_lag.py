"""The lag of the event loop is reported, interval by interval."""

import asyncio

from heptad.runtime.loop_lag import watch_loop_lag


def test_each_interval_has_its_report_and_none_is_negative() -> None:
    reports: list[float] = []
    enough = asyncio.Event()

    def report(lag_s: float) -> None:
        reports.append(lag_s)
        if len(reports) == 3:
            enough.set()

    async def scenario() -> None:
        watch = asyncio.create_task(watch_loop_lag(report, interval_s=0))
        await asyncio.wait_for(enough.wait(), 20)
        watch.cancel()

    asyncio.run(scenario())
    assert min(reports) >= 0
