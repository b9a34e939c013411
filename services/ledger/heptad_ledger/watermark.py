"""A number that only grows, and those who wait for it to reach a value."""

import asyncio
from heapq import heappop, heappush
from itertools import count


class Watermark:
    """How far something has come: entries applied, entries published."""

    def __init__(self, value: int) -> None:
        self.value = value
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = count()

    def advance(self, value: int) -> None:
        """Let it be `value`, unless it is there already; wake who waited for that."""
        self.value = max(self.value, value)
        while self._waiting and self._waiting[0][0] <= self.value:
            _, _, future = heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    async def reached(self, value: int, *, timeout_s: float) -> bool:
        """Wait until it is at least `value`; False if that does not happen in time."""
        if self.value >= value:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (value, next(self._tickets), future))
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return False
        return True
