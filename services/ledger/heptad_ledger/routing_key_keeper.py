"""Looks after the routing keys, and that backup keys are gone in time: every ten minutes, and after
each erasure.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from heptad.observability.logs import EventLog
from heptad_ledger.routing_keys import ERASURE_PAUSE_MS, RoutingKeyRotation

CHECK_S: Final = 600.0

CATCH_UP_S_MAX: Final = 60.0
"""How long one check waits for a ledger that is behind; the next one comes in ten minutes."""


class Look(Protocol):
    """Looks whether backup keys are overdue."""

    def __call__(self, *, now_ms: int) -> None:
        """Look."""


class RoutingKeyKeeper:
    """Works until cancelled."""

    def __init__(
        self,
        rotation: RoutingKeyRotation,
        *,
        erased_ms: Callable[[], int],
        news: asyncio.Event,
        catch_up: Callable[[float], Awaitable[bool]],
        applied_ms: Callable[[], int],
        on_rotated: Callable[[], None],
        look: Look,
        log: EventLog,
    ) -> None:
        """`erased_ms` is when the last slot was erased, `news` tells of an erasure; `catch_up`
        waits until all that is committed is applied; `applied_ms` is the last block's time.
        """
        self._rotation = rotation
        self._erased_ms = erased_ms
        self._news = news
        self._catch_up = catch_up
        self._applied_ms = applied_ms
        self._on_rotated = on_rotated
        self._look = look
        self._log = log

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._news.clear()
            erased_ms = self._erased_ms()
            if await asyncio.to_thread(
                self._rotation.rotate_if_due, now_ms=_now_ms(), erased_ms=erased_ms
            ):
                self._log.info("routing_key_rotated")
                self._on_rotated()
            await self._destroy_done()
            await asyncio.to_thread(self._look, now_ms=_now_ms())
            is_owed = self._rotation.is_owed(erased_ms)
            await self._pause(ERASURE_PAUSE_MS / 1000 if is_owed else CHECK_S)

    async def _pause(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), pause_s)
        except TimeoutError:
            return

    async def _destroy_done(self) -> None:
        """Only once all that is committed is applied: a ledger that was away for days has records
        before it which no other key opens, however old that key is by the clock."""
        if not await self._catch_up(CATCH_UP_S_MAX):
            return
        done = await asyncio.to_thread(
            self._rotation.destroy_done, now_ms=_now_ms(), applied_ms=self._applied_ms()
        )
        if done:
            self._log.info("routing_keys_destroyed", numbers=list(done))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
