"""One supervised service: started, watched, restarted, and ordered about by an operator."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from heptad.observability.logs import EventLog
from heptad.runtime.child_log import LOG_FILE, ChildLog
from heptad.runtime.errors import SupervisionFault
from heptad.runtime.health import WAITS_EVENT
from heptad.runtime.launcher import Child, Launcher
from heptad.runtime.restarts import RestartPolicy
from heptad.runtime.service import EXIT_CONFIG_INVALID, READY_EVENT

READY_S_MAX: Final = 60.0
"""A service that is not ready by then is taken for hung, killed, and counted as crashed; unless it
has said what it waits for, and answers."""

STOP_S_MAX: Final = 15.0
"""A service that has not ended by then after SIGTERM is killed; above the longest drain."""

FAILING_RETRY_S: Final = 30.0
"""How often one that does not stay up is tried again in a cell that goes on without it."""

_CHUNK_BYTES: Final = 65_536


class State(StrEnum):
    """What a supervised process is doing."""

    STARTING = "starting"
    WAITING = "waiting"
    READY = "ready"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    BACKING_OFF = "backing_off"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service to be kept running."""

    # Member id.
    name: str
    # Package whose `__main__` is the service: a name only, since libraries import no services.
    module: str
    # Where it serves gRPC, for the health check.
    address: str
    metrics: str

    @property
    def role(self) -> str:
        """`replica` and so on."""
        return self.name.rpartition("-")[0]


class Supervised:
    """Keeps one service in the state that is wanted."""

    def __init__(
        self,
        spec: ServiceSpec,
        *,
        home: Path,
        launcher: Launcher,
        healthy: Callable[[ServiceSpec], Awaitable[bool | None]],
        policy: RestartPolicy,
        goes_on: Callable[[], bool],
        log: EventLog,
        ready_s_max: float = READY_S_MAX,
    ) -> None:
        """`goes_on` tells whether the cell goes on without a service that does not stay up.

        `healthy` asks it whether it serves; None where it does not answer.
        """
        self.spec = spec
        self.state = State.STARTING
        self.restarts = 0
        self.last_status: int | None = None
        # Set for as long as the process is ready; cleared when it ends.
        self.ready = asyncio.Event()
        # Set once it is known to wait for other members; cleared when it is ready, or ends.
        self.waiting = asyncio.Event()
        # Set when it does not run and nobody wants it to.
        self.at_rest = asyncio.Event()
        self._home = home
        self._launcher = launcher
        self._healthy = healthy
        self._log = log.bind(name=spec.name)
        self._child_log = ChildLog(home / spec.name / LOG_FILE)
        self._policy = policy
        self._goes_on = goes_on
        self._ready_s_max = ready_s_max
        # What it last said that its start waits for.
        self._awaited = ""
        self._child: Child | None = None
        # Exactly one of the two is set.
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._want(True)

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._child.pid if self._child is not None else None

    @property
    def awaited(self) -> str:
        """What its start waits for, in its own words, once that has taken long."""
        return self._awaited if self.waiting.is_set() else ""

    def tail(self) -> list[str]:
        """The last lines of its log."""
        return self._child_log.tail()

    def _want(self, wanted: bool) -> None:
        if wanted:
            self._unwanted.clear()
            self._wanted.set()
        else:
            self._wanted.clear()
            self._unwanted.set()

    async def keep(self) -> None:
        """Keep it running until cancelled; returns only when it has failed with the cell."""
        try:
            while True:
                await self._wanted.wait()
                status = await self._run_once()
                if self._wanted.is_set() and not await self._back_off(status):
                    self._rest(State.FAILED)
                    return
                if self._unwanted.is_set():
                    self._rest(State.STOPPED)
        finally:
            # Also after a bug: whoever waits for its rest must not wait for ever.
            self.at_rest.set()
            self._child_log.close()

    async def _run_once(self) -> int:
        """One life of the process; its exit status."""
        self.at_rest.clear()
        self.state, self._awaited = State.STARTING, ""
        arguments = ["--home", str(self._home), "--name", self.spec.name, "--lifeline"]
        child = await self._launcher.spawn(self.spec.name, self.spec.module, arguments)
        self._child = child
        self._log.info("process_started", pid=child.pid)
        if self._unwanted.is_set():
            self._signal(signal.SIGTERM)
        announced = asyncio.Event()
        pump = asyncio.create_task(self._pump(child, announced))
        watch = asyncio.create_task(self._watch_start(announced))
        try:
            self.last_status = await asyncio.shield(child.ended)
            await pump
        finally:
            watch.cancel()
            pump.cancel()
            self._child = None
            self.ready.clear()
            self.waiting.clear()
        self._log.info("process_ended", status=self.last_status)
        return self.last_status

    async def _pump(self, child: Child, announced: asyncio.Event) -> None:
        """Move its output to the log until the end; notice the lines that tell of its start."""
        while chunk := await child.output.read(_CHUNK_BYTES):
            for line in self._child_log.append(chunk):
                if announced.is_set():
                    continue
                if READY_EVENT in line and _field(line, "event") == READY_EVENT:
                    announced.set()
                elif WAITS_EVENT in line and _field(line, "event") == WAITS_EVENT:
                    self._awaited = str(_field(line, "reason"))

    async def _watch_start(self, announced: asyncio.Event) -> None:
        """Ready is what the health service says, not what a log line says.

        One that waits for others lives as long as its health service answers: to kill it would only
        make it begin to wait again.
        """
        while not await self._becomes_ready(announced):
            if announced.is_set() or not self._awaited or not await self._answers():
                self._log.error("process_not_ready", waited_s=self._ready_s_max)
                self._launcher.signal(self.spec.name, signal.SIGKILL)
                return
            if self.state is State.STARTING:
                self.state = State.WAITING
            self.waiting.set()
            self._log.warning("process_waits", reason=self._awaited)
        if self.state in (State.STARTING, State.WAITING):
            self.state = State.READY
        self.waiting.clear()
        self.ready.set()
        self._log.info("process_ready")

    async def _becomes_ready(self, announced: asyncio.Event) -> bool:
        """Whether it says in time that it is ready, and its health service says so too."""
        try:
            async with asyncio.timeout(self._ready_s_max):
                await announced.wait()
                return await self._healthy(self.spec) is True
        except TimeoutError:
            return False

    async def _answers(self) -> bool:
        """Whether it is alive enough to say that it is not ready."""
        try:
            async with asyncio.timeout(self._ready_s_max):
                return await self._healthy(self.spec) is not None
        except TimeoutError:
            return False

    async def _back_off(self, status: int) -> bool:
        """Wait before a restart, or until nobody wants one; False if there is no point in it."""
        delay_s = self._policy.crashed(now_s=asyncio.get_running_loop().time())
        if delay_s is None or status == EXIT_CONFIG_INVALID:
            if not self._goes_on():
                return False
            # A full disk may get room again, and then nobody should have to come and say so.
            self.state, delay_s = State.FAILED, FAILING_RETRY_S
            self._log.error("process_fails", status=status, end_of_log=self.tail()[-1:])
        else:
            self.state = State.BACKING_OFF
        self.restarts += 1
        self._log.warning("process_restarts", status=status, delay_s=delay_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._unwanted.wait(), delay_s)
        return True

    def _rest(self, state: State) -> None:
        self.state = state
        self.at_rest.set()

    # What an operator may order.

    async def kill(self) -> None:
        """SIGKILL, and stay down until `restart`; returns once it has ended."""
        self._want(False)
        self._signal(signal.SIGKILL)
        await self.at_rest.wait()

    async def stop(self) -> None:
        """SIGTERM, and stay down until `restart`; returns once it has ended.

        Where the end does not come in time, SIGKILL follows.
        """
        self._want(False)
        if self._child is not None:
            self.state = State.STOPPING
            self._signal(signal.SIGTERM)
            # A paused process would never see it.
            self._signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await self.at_rest.wait()
        except TimeoutError:
            self._log.error("process_killed", waited_s=STOP_S_MAX)
            await self.kill()

    def pause(self) -> None:
        """SIGSTOP."""
        if self._child is not None:
            self.state = State.PAUSED
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if self.state is State.PAUSED:
            self.state = State.READY if self.ready.is_set() else State.STARTING
            self._signal(signal.SIGCONT)

    def reload(self) -> None:
        """SIGHUP: take the log level from the configuration as it is now."""
        self._signal(signal.SIGHUP)

    async def restart(self) -> None:
        """Stop it if it runs, start it, and wait until it is ready.

        Raises: SupervisionFault if it does not become ready, or waits for others in its turn.
        """
        if not self.at_rest.is_set():
            await self.stop()
        self.at_rest.clear()
        self._want(True)
        events = (self.ready, self.waiting, self.at_rest)
        ends = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        if self.waiting.is_set():
            raise SupervisionFault(f"{self.spec.name} waits {self._awaited}")
        if not self.ready.is_set():
            raise SupervisionFault(f"{self.spec.name} did not become ready")

    def _signal(self, number: int) -> None:
        if self._child is not None:
            self._launcher.signal(self.spec.name, number)


def _field(line: str, name: str) -> object:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields.get(name) if isinstance(fields, dict) else None
