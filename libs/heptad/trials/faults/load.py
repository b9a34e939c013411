"""Steady load in an open loop: requests begin when their time has come, however the cell is.

A closed loop would stop asking while the cell does not answer, and so hide what a fault costs.
Every request is insisted on until it is acknowledged, the same bytes again and again, as an app
would.
"""

import asyncio
import time
from typing import Final

import aiohttp

from heptad.trials.faults.history import History
from heptad.trials.tour.scene import Scene

UNDER_WAY_MAX: Final = 600
"""Beyond it new requests wait their turn: a machine has only so many sockets."""

INSIST_S_MAX: Final = 150.0
"""Below a request's lifetime: bytes that have run out would be refused for good."""

_PASSING: Final = frozenset({202, 429, 503, 504})


class Load:
    """Begins `per_s` requests each second, by all citizens of the scene in turn, until stopped."""

    def __init__(self, scene: Scene, history: History, *, per_s: float) -> None:
        self._scene = scene
        self._history = history
        self._per_s = per_s
        self._stopping = asyncio.Event()
        self._room = asyncio.Semaphore(UNDER_WAY_MAX)
        self._begun = 0

    def stop(self) -> None:
        """Begin nothing new; `run` returns once all that was begun is acknowledged."""
        self._stopping.set()

    async def run(self) -> None:
        """Ask until stopped. What goes wrong is in the history, not raised."""
        started_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                due_s = started_s + self._begun / self._per_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                await self._room.acquire()
                group.create_task(self._request(self._begun))
                self._begun += 1

    async def _request(self, number: int) -> None:
        crowd = self._scene.crowd
        jws = self._scene.sign(crowd[number % len(crowd)], data={"number": number})
        try:
            async with asyncio.timeout(INSIST_S_MAX):
                await self._insist(jws)
        except TimeoutError:
            self._history.broken.append(f"request {number} had no 201 within {INSIST_S_MAX:g} s")
        finally:
            self._room.release()

    async def _insist(self, jws: bytes) -> None:
        while True:
            try:
                reply = await self._scene.post("/v1/requests", jws)
            except (aiohttp.ClientError, TimeoutError) as error:
                self._history.answers[type(error).__name__] += 1
                await asyncio.sleep(0.2)
                continue
            self._history.answers[f"{reply.status} {reply.code}".strip()] += 1
            if reply.status == 201:
                index = reply.members["index"]
                assert isinstance(index, int)
                request_id = str(reply.members["request_id"])
                self._history.acknowledge(request_id, index, now_s=time.monotonic())
                return
            if reply.status not in _PASSING:
                self._history.broken.append(f"a good request was refused: {reply.said}")
                return
            await asyncio.sleep(int(reply.headers.get("Retry-After", "1")))
