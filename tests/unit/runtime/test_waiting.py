"""A service that waits for others is left alone by its supervisor; one that hangs is not."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from heptad.observability.logs import EventLog
from heptad.runtime.errors import SupervisionFault
from heptad.runtime.health import WAITS_EVENT
from heptad.runtime.launcher import Child
from heptad.runtime.restarts import RestartPolicy
from heptad.runtime.service import READY_EVENT
from heptad.runtime.supervised import ServiceSpec, State, Supervised

SPEC = ServiceSpec(name="validator-1", module="unused", address="unused", metrics="unused")
AT_ONCE_S = 0.001


class Service:
    """A process that a test plays: what it writes, and what its health service answers."""

    def __init__(self, folder: Path) -> None:
        (folder / SPEC.name).mkdir()
        self.serving: bool | None = False
        self.asked = asyncio.Event()
        self.killed = asyncio.Event()
        self.child: Child | None = None
        self.supervised = Supervised(
            SPEC,
            home=folder,
            launcher=self,
            healthy=self._healthy,
            policy=RestartPolicy(),
            goes_on=lambda: True,
            log=EventLog(bound={}, write=lambda _line: None),
            ready_s_max=AT_ONCE_S,
        )

    async def spawn(self, name: str, _module: str, _arguments: list[str]) -> Child:
        output = asyncio.StreamReader()
        output.feed_data(self.first)
        self.child = Child(name, output, asyncio.get_running_loop().create_future(), pid=1)
        return self.child

    first = b""

    def signal(self, _name: str, number: int) -> None:
        assert number == signal.SIGKILL
        self.child.output.feed_eof()
        if not self.child.ended.done():
            self.child.ended.set_result(-number)
        self.killed.set()

    async def _healthy(self, _spec: ServiceSpec) -> bool | None:
        self.asked.set()
        return self.serving

    def says(self, event: str, **fields: str) -> None:
        self.child.output.feed_data(json.dumps({"event": event, **fields}).encode() + b"\n")


def play(folder: Path, story: Callable[[Service], Awaitable[None]], *, first: bytes) -> None:
    @contextlib.asynccontextmanager
    async def kept(service: Service) -> AsyncIterator[None]:
        keeper = asyncio.create_task(service.supervised.keep())
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def scenario() -> None:
        service = Service(folder)
        service.first = first
        async with asyncio.timeout(30), kept(service):
            await story(service)

    asyncio.run(scenario())


WAITS = json.dumps({"event": WAITS_EVENT, "reason": "for 5 replicas"}).encode() + b"\n"


def test_one_that_says_what_it_waits_for_lives_until_it_is_ready(tmp_path: Path) -> None:
    async def story(service: Service) -> None:
        await service.supervised.waiting.wait()
        assert service.supervised.state is State.WAITING
        assert service.supervised.awaited == "for 5 replicas"
        service.asked.clear()
        await service.asked.wait()
        assert not service.killed.is_set()
        service.serving = True
        service.says(READY_EVENT)
        await service.supervised.ready.wait()
        assert service.supervised.state is State.READY
        assert service.supervised.awaited == ""

    play(tmp_path, story, first=WAITS)


def test_one_that_says_nothing_is_killed(tmp_path: Path) -> None:
    async def story(service: Service) -> None:
        await service.killed.wait()
        assert not service.supervised.waiting.is_set()

    play(tmp_path, story, first=b"words of a library\n")


def test_one_that_said_what_it_waits_for_and_answers_no_more_is_killed(tmp_path: Path) -> None:
    async def story(service: Service) -> None:
        await service.supervised.waiting.wait()
        assert not service.killed.is_set()
        service.serving = None
        await service.killed.wait()

    play(tmp_path, story, first=WAITS)


def test_one_that_says_it_is_ready_and_is_not_is_killed(tmp_path: Path) -> None:
    async def story(service: Service) -> None:
        await service.killed.wait()

    ready = json.dumps({"event": READY_EVENT}).encode() + b"\n"
    play(tmp_path, story, first=WAITS + ready)


def test_whoever_ordered_a_restart_is_told_that_it_waits(tmp_path: Path) -> None:
    async def story(service: Service) -> None:
        await service.supervised.waiting.wait()
        service.supervised.at_rest.set()
        with pytest.raises(SupervisionFault, match="validator-1 waits for 5 replicas"):
            await service.supervised.restart()

    play(tmp_path, story, first=WAITS)
