"""How every service process lives: configuration, TLS, health, metrics, drain, end.

A service is a `ServiceKind`: its configuration's type, the roles of its RPCs, a `build` hook. Its
`__main__.py` calls `run(KIND)`, and all that the four services have in common happens here, once:

    read configuration → build → listen → start → SERVING → … SIGTERM → NOT_SERVING → drain → stop

The process ends with 0 when it was asked to, 1 when something broke, 2 when its configuration is
wrong (restarting cannot help) and 3 when an address is taken.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, NoReturn

import uvloop
from grpc_health.v1 import health_pb2_grpc

from heptad.observability import catalogue
from heptad.observability.logs import EventLog, adopt_library_logs
from heptad.observability.metrics import Metrics
from heptad.runtime import channels, lifeline
from heptad.runtime.config.cell import Cell
from heptad.runtime.config.files import NodeConfigT, load_cell, load_node_config
from heptad.runtime.disk import disk_of, write_atomically
from heptad.runtime.errors import ConfigInvalidError, PortTakenError
from heptad.runtime.guard import Guard
from heptad.runtime.health import Health, enable_reflection
from heptad.runtime.key_exchange import is_quantum_safe
from heptad.runtime.loop_lag import watch_loop_lag
from heptad.runtime.metrics_listener import MetricsListener
from heptad.runtime.service_kind import Context, Service, ServiceKind
from heptad.runtime.tasks import TaskSet
from heptad.runtime.telemetry import open_tracer
from heptad.runtime.tls import load_member_tls
from heptad.runtime.version import VERSION

__all__ = ["Context", "Service", "ServiceKind", "run"]

EXIT_BROKEN: Final = 1
EXIT_CONFIG_INVALID: Final = 2
EXIT_PORT_TAKEN: Final = 3

READY_FILE: Final = "ready.json"
READY_EVENT: Final = "service_ready"
"""The log event that tells the supervisor to ask for this service's health."""

GRACE_S: Final = 0.25
"""How long calls may take to end after the drain; long-lived streams never do by themselves."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line of a service process."""

    home: Path
    name: str
    # End when standard input ends: the supervisor holds its other side.
    lifeline: bool
    # Unix ns before any file was read: whatever is changed later, this process does not know.
    begun_ns: int


def parse_arguments(arguments: list[str]) -> Arguments:
    """Read `--home HOME --name NAME [--lifeline]`. Raises: SystemExit 2."""
    parser = argparse.ArgumentParser(prog="python -m heptad_<service>")
    parser.add_argument("--home", type=Path, required=True, help="folder of the cell")
    parser.add_argument("--name", required=True, help="member id, such as replica-3")
    parser.add_argument(
        "--lifeline", action="store_true", help="end when standard input ends (for `heptad up`)"
    )
    parsed = parser.parse_args(arguments)
    return Arguments(parsed.home.absolute(), parsed.name, parsed.lifeline, time.time_ns())


def run(kind: ServiceKind[NodeConfigT], arguments: list[str] | None = None) -> NoReturn:
    """Be this service until SIGTERM or a failure; never returns."""
    parsed = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    if parsed.lifeline:
        lifeline.die_with_parent()
    log = EventLog(bound={"service": parsed.name})
    adopt_library_logs(log)
    try:
        cell = load_cell(parsed.home)
        config = load_node_config(kind.config, home=parsed.home, name=parsed.name)
        log = EventLog(bound={"service": parsed.name}, level=config.node.log_level)
        status = uvloop.run(_live(kind, parsed, cell, config, log))
    except ConfigInvalidError as error:
        for mistake in error.mistakes:
            log.error("config_invalid", mistake=mistake)
        status = EXIT_CONFIG_INVALID
    except PortTakenError as error:
        log.failure("address_taken", error)
        status = EXIT_PORT_TAKEN
    except Exception as error:  # noqa: BLE001  the last line before the process ends
        log.failure("service_broke", error)
        status = EXIT_BROKEN
    sys.exit(status)


async def _live(
    kind: ServiceKind[NodeConfigT],
    arguments: Arguments,
    cell: Cell,
    config: NodeConfigT,
    log: EventLog,
) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if arguments.lifeline:
        lifeline.watch_standard_input(loop, lambda: os._exit(EXIT_BROKEN))
    process = _Process(kind, arguments, cell, config, log)
    loop.add_signal_handler(signal.SIGHUP, _take_log_level, kind, arguments, log)
    try:
        if await process.start_unless(stopping):
            await process.wait_for_end(stopping)
            await process.drain()
    finally:
        await process.stop()
    return process.exit_status()


def _take_log_level(kind: ServiceKind[NodeConfigT], arguments: Arguments, log: EventLog) -> None:
    """Take `log_level` from the configuration as it is now; all else waits for the next start."""
    try:
        config = load_node_config(kind.config, home=arguments.home, name=arguments.name)
    except ConfigInvalidError as error:
        for mistake in error.mistakes:
            log.error("config_invalid", mistake=mistake)
        return
    log.set_level(config.node.log_level)
    log.warning("log_level_taken", log_level=config.node.log_level)


class _Process(Generic[NodeConfigT]):
    """One service process, from its first listener to its last."""

    def __init__(
        self,
        kind: ServiceKind[NodeConfigT],
        arguments: Arguments,
        cell: Cell,
        config: NodeConfigT,
        log: EventLog,
    ) -> None:
        metrics = Metrics(cell=cell.origin, service=arguments.name)
        guard = Guard(
            cell=cell.origin,
            roles=kind.roles,
            calls=_CallRecorder(metrics, log),
            members=frozenset(cell.member_addresses()),
            calls_max=kind.calls_max,
        )
        server = channels.create_server(
            interceptors=[guard],
            message_bytes_max=kind.message_bytes_max,
            receive_bytes_max=kind.receive_bytes_max,
        )
        self._kind = kind
        self._service: Service | None = None
        self._context = Context(
            home=arguments.home,
            name=arguments.name,
            config=config,
            cell=cell,
            tls=load_member_tls(home=arguments.home, name=arguments.name),
            server=server,
            health=Health(services=kind.services, log=log),
            log=log,
            metrics=metrics,
            tasks=TaskSet(),
            tracer=open_tracer(
                config.telemetry,
                data=arguments.home / arguments.name / config.node.data,
                cell=cell.origin,
                service=arguments.name,
                metrics=metrics,
                log=log,
            ),
        )
        self._metrics_listener = MetricsListener(
            exposition=metrics.exposition,
            ready=lambda: self._context.health.ready,
            note=self._context.health.remark,
        )
        self._ready_file = arguments.home / arguments.name / READY_FILE
        self._begun_ns = arguments.begun_ns

    async def start_unless(self, stopping: asyncio.Event) -> bool:
        """Start; False if the end came first, be it wanted or a task's failure.

        A service that waits for another one must not be deaf to SIGTERM while it does.
        Raises: PortTakenError and what the service raises.
        """
        start = asyncio.create_task(self._start(), name="start")
        end = asyncio.create_task(self.wait_for_end(stopping), name="end")
        await asyncio.wait({start, end}, return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            end.cancel()
            start.result()
            return True
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        return False

    async def _start(self) -> None:
        """Build, listen, start, then say so."""
        context, node = self._context, self._context.config.node
        self._ready_file.unlink(missing_ok=True)
        context.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._export_process_metrics()
        await self._metrics_listener.start(node.metrics)
        self._service = await self._kind.build(context)
        health_pb2_grpc.add_HealthServicer_to_server(context.health.servicer, context.server)
        if node.reflection:
            enable_reflection(context.server, self._kind.services)
        channels.listen(context.server, address=node.listen, tls=context.tls)
        await context.server.start()
        await self._service.start()
        self._write_ready_file()
        await context.health.set_ready(True, reason="started")
        context.tasks.spawn("key exchange", self._tell_key_exchange(node.listen))
        context.log.info(
            READY_EVENT, pid=os.getpid(), address=node.listen, metrics=node.metrics, version=VERSION
        )

    async def wait_for_end(self, stopping: asyncio.Event) -> None:
        """Return once somebody asks for the end or a task has failed."""
        events = (stopping, self._context.tasks.failed)
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def drain(self) -> None:
        """Leave the load balancers, then let what is in flight finish, but not for ever."""
        context = self._context
        context.log.info("service_draining")
        await context.health.set_ready(False, reason="draining")
        assert self._service is not None
        if context.tasks.error is not None:
            return
        try:
            await asyncio.wait_for(self._service.drain(), context.config.node.drain_s_max)
        except TimeoutError:
            context.log.warning("drain_cut_off", drain_s_max=context.config.node.drain_s_max)

    async def stop(self) -> None:
        """Release everything, in the reverse order of `start`."""
        context = self._context
        self._ready_file.unlink(missing_ok=True)
        await context.server.stop(grace=GRACE_S)
        if self._service is not None:
            await self._service.stop()
        await context.tasks.close()
        await self._metrics_listener.stop()
        context.tracer.close()
        context.metrics.close()

    def exit_status(self) -> int:
        """0 after a wanted end, 1 after a task's failure, which is logged here."""
        error = self._context.tasks.error
        if error is None:
            self._context.log.info("service_stopped")
            return 0
        self._context.log.failure("task_failed", error)
        return EXIT_BROKEN

    def _export_process_metrics(self) -> None:
        context = self._context
        context.metrics.read(catalogue.READY, lambda: {(): float(context.health.ready)})
        labels = (VERSION, context.cell.origin, context.config.node.role, context.name)
        context.metrics.read(catalogue.BUILD_INFO, lambda: {labels: 1.0})
        context.metrics.read(catalogue.DATA_FREE_BYTES, lambda: {(): disk_of(context.data)[0]})
        context.metrics.read(catalogue.DATA_SIZE_BYTES, lambda: {(): disk_of(context.data)[1]})
        lag = context.metrics.gauge(catalogue.EVENT_LOOP_LAG_SECONDS)
        context.tasks.spawn("loop lag", watch_loop_lag(lag.set))

    async def _tell_key_exchange(self, address: str) -> None:
        """Ask the own listener once; a door that does not answer is no reason to end."""
        found = await is_quantum_safe(address)
        if found is None:
            # A service that is told to stop right after its start may not hear its own question.
            if self._context.health.ready:
                self._context.log.warning("key_exchange_unknown", address=address)
            return
        self._context.metrics.gauge(catalogue.TLS_QUANTUM_SAFE).set(float(found))

    def _write_ready_file(self) -> None:
        node = self._context.config.node
        facts = {
            "pid": os.getpid(),
            "address": node.listen,
            "metrics": node.metrics,
            "begun_ns": self._begun_ns,
        }
        write_atomically(self._ready_file, json.dumps(facts).encode(), mode=0o644)


class _CallRecorder:
    """Turns what the guard tells into metrics and log lines (`guard.CallLog`)."""

    def __init__(self, metrics: Metrics, log: EventLog) -> None:
        self._total = metrics.counter(catalogue.GRPC_CALLS_TOTAL)
        self._duration = metrics.histogram(catalogue.GRPC_CALL_DURATION_SECONDS)
        self._active = metrics.gauge(catalogue.GRPC_CALLS_ACTIVE)
        self._log = log

    def began(self, *, method: str) -> None:
        self._active.add(1, method)

    def ended(self, *, method: str, outcome: str, duration_s: float) -> None:
        self._active.add(-1, method)
        self._total.add(1, method, outcome)
        self._duration.record(duration_s, method)
        if outcome in ("role_refused", "cell_mismatch"):
            self._log.warning("call_refused", method=method, code=outcome)

    def broke(self, *, method: str, error: BaseException) -> None:
        self._log.failure("handler_broke", error, method=method)
