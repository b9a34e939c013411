"""A whole cell on one machine: every service a child process, kept running, stopped in order.

This is for development, demonstrations and tests, and for small cells of one operator. Where each
replica has an authority and a machine of its own, their service managers do what this does here.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.observability.logs import EventLog
from heptad.runtime.config.cell import Cell
from heptad.runtime.errors import SupervisionFault
from heptad.runtime.identity import Role
from heptad.runtime.launcher import Launcher
from heptad.runtime.process_usage import ProcessUsage, usage_of
from heptad.runtime.readiness import is_serving
from heptad.runtime.restarts import RestartPolicy
from heptad.runtime.supervised import READY_S_MAX, ServiceSpec, State, Supervised
from heptad.runtime.tls import TlsMaterial

START_ORDER: Final = (Role.REPLICA, Role.LEDGER, Role.VALIDATOR, Role.GATEWAY)
"""All start side by side; the order only decides whose package is imported first."""

DRAIN_ORDER: Final = (Role.GATEWAY, Role.VALIDATOR, Role.REPLICA, Role.LEDGER)
"""From the door inwards: what was let in is finished by those behind."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process, as `heptad status` shows it."""

    name: str
    role: str
    state: State
    pid: int | None
    address: str
    metrics: str
    restarts: int
    # Exit code, or minus the signal, of its last end; None if it never ended.
    last_status: int | None
    usage: ProcessUsage | None
    # What it waits for while it is `waiting`, in its own words.
    awaited: str


def specs_of(cell: Cell, metrics_of: Callable[[str], str]) -> tuple[ServiceSpec, ...]:
    """What has to run for this cell, in `START_ORDER`; `metrics_of` maps ids to addresses."""
    specs = [
        ServiceSpec(
            name=member_id,
            module=f"heptad_{member_id.rpartition('-')[0]}",
            address=address,
            metrics=metrics_of(member_id),
        )
        for member_id, address in cell.member_addresses().items()
    ]
    return tuple(sorted(specs, key=lambda spec: START_ORDER.index(Role(spec.role))))


class Supervisor:
    """Keeps the services of one home running."""

    def __init__(
        self,
        *,
        home: Path,
        specs: Sequence[ServiceSpec],
        launcher: Launcher,
        healthy: Callable[[ServiceSpec], Awaitable[bool | None]],
        log: EventLog,
        policy: Callable[[], RestartPolicy] = RestartPolicy,
    ) -> None:
        """`policy` makes each service's own rule of when to start it again.

        `healthy` asks a service whether it serves; None where it does not answer.
        """
        self._launcher = launcher
        self._log = log
        self._started_s = time.monotonic()
        self._was_whole = False
        self._processes = {
            spec.name: Supervised(
                spec,
                home=home,
                launcher=launcher,
                healthy=healthy,
                policy=policy(),
                goes_on=lambda: self._was_whole,
                log=log,
            )
            for spec in specs
        }
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self.stopping = asyncio.Event()

    @property
    def uptime_s(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self._started_s

    def start(self) -> None:
        """Start all, side by side. Raises: OSError."""
        self._launcher.start()
        for name, process in self._processes.items():
            self._keepers[name] = asyncio.create_task(process.keep(), name=f"keep {name}")

    async def wait_ready(self) -> bool:
        """Return True once every process is ready, False if `stopping` is set before.

        Raises: SupervisionFault if a service has failed for good.
        """
        await self._first_of(self._all_ready(), self._stopped())
        return not self.stopping.is_set()

    async def run(self) -> None:
        """Return once somebody sets `stopping`. Raises: SupervisionFault if the nursery ends."""
        await self._first_of(self._stopped())

    async def _first_of(self, *waits: Coroutine[object, object, None]) -> None:
        """Return when one of them does, or raise when a service fails first."""
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        failure = asyncio.ensure_future(self._wait_for_failure())
        try:
            await asyncio.wait([*tasks, failure], return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                failure.result()
        finally:
            for task in (*tasks, failure):
                task.cancel()

    async def _all_ready(self) -> None:
        for process in self._processes.values():
            await process.ready.wait()
        self._was_whole = True

    async def _stopped(self) -> None:
        await self.stopping.wait()

    async def drain(self) -> None:
        """Stop all: gateway, then validators, then replicas, then the ledger."""
        for role in DRAIN_ORDER:
            stage = [p for p in self._processes.values() if p.spec.role == role]
            await asyncio.gather(*(process.stop() for process in stage))
            self._log.info("stage_stopped", role=role.value)

    def abandon(self) -> None:
        """Kill everything now; `drain`, if under way, then ends at once."""
        self._launcher.close()

    async def close(self) -> None:
        """End at once whatever still runs."""
        self._launcher.close()
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)

    def process(self, name: str) -> Supervised:
        """The process of that name. Raises: KeyError."""
        return self._processes[name]

    def status(self) -> list[ProcessStatus]:
        """All processes, in the order in which they were started."""
        return [
            ProcessStatus(
                name=process.spec.name,
                role=process.spec.role,
                state=process.state,
                pid=process.pid,
                address=process.spec.address,
                metrics=process.spec.metrics,
                restarts=process.restarts,
                last_status=process.last_status,
                usage=usage_of(process.pid) if process.pid is not None else None,
                awaited=process.awaited,
            )
            for process in self._processes.values()
        ]

    async def _wait_for_failure(self) -> None:
        """Never returns; raises SupervisionFault with the log's last lines, or a bug's error."""
        broken = self._launcher.broken
        await asyncio.wait([broken, *self._keepers.values()], return_when=asyncio.FIRST_COMPLETED)
        for name, keeper in self._keepers.items():
            if keeper.done():
                keeper.result()
                process = self._processes[name]
                lines = "\n".join(f"  {line}" for line in process.tail())
                raise SupervisionFault(
                    f"{name} does not stay up (last exit status {process.last_status}); "
                    f"the end of its log:\n{lines}"
                )
        raise SupervisionFault("the nursery, the parent of all services, has ended")


def health_by_grpc(
    *, origin: str, tls: Callable[[], TlsMaterial]
) -> Callable[[ServiceSpec], Awaitable[bool | None]]:
    """Judge health by the services' own health RPC, over mutual TLS; None: it does not answer.

    `tls` reads the certificate anew each time: a supervisor may outlive many of them.
    """

    async def healthy(spec: ServiceSpec) -> bool | None:
        return await is_serving(
            address=spec.address,
            peer_id=spec.name,
            origin=origin,
            tls=tls(),
            timeout_s=READY_S_MAX,
        )

    return healthy
