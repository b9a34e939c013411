"""Serving both directions of a stream: whichever half ends or fails first ends the other."""

import asyncio
from collections.abc import Coroutine


async def first_of(*halves: Coroutine[object, object, None]) -> None:
    """Run all until one ends, cancel the others, and raise what it raised, if anything."""
    tasks = [asyncio.ensure_future(half) for half in halves]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
