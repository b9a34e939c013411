"""A number that only grows, and those who wait for it to reach a value."""

import asyncio


class Watermark:
    """How far something has come: blocks or entries applied, entries published."""

    def __init__(self, value: int) -> None:
        self.value = value
        self._waiting: dict[asyncio.Future[None], int] = {}

    def advance(self, value: int) -> None:
        """Let it be `value`, unless it is there already; wake who waited for that."""
        self.value = max(self.value, value)
        for future, wanted in self._waiting.items():
            if wanted <= self.value and not future.done():
                future.set_result(None)

    async def reached(self, value: int, *, timeout_s: float) -> bool:
        """Wait until it is at least `value`; False if that does not happen in time."""
        if self.value >= value:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = value
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return False
        finally:
            del self._waiting[future]
        return True
