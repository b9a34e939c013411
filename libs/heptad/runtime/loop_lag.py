"""How late the event loop is: the first number to look at when everything is slow."""

import asyncio
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 1.0


async def watch_loop_lag(
    report: Callable[[float], None], *, interval_s: float = INTERVAL_S
) -> None:
    """Report once an interval how many seconds late a timer ran, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        report(max(0.0, loop.time() - due_s))
