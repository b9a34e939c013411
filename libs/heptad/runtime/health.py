"""The standard gRPC health service, and the one switch behind it."""

from collections.abc import Callable
from typing import Final

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from heptad.observability.logs import EventLog

WAITS_EVENT: Final = "service_waits"
"""The log event of a start that waits for other members. Field: reason."""


class Health:
    """Whether this process is ready; starts as not ready.

    The same answer holds for the empty service name and for each gRPC service by its name.
    """

    def __init__(self, *, services: tuple[str, ...], log: EventLog) -> None:
        self.servicer = health_aio.HealthServicer()
        self._services = ("", *services)
        self._log = log
        self._ready = False
        self.note: Callable[[], str] = lambda: ""
        """What is to be known of a process that is ready: `state: why`, or nothing."""
        self.awaited = ""
        """What a process that is not ready yet waits for."""

    def waits_for(self, what: str) -> None:
        """Say for what this process waits while it starts, so that nobody takes it for hung."""
        self.awaited = what
        self._log.info(WAITS_EVENT, reason=what)

    @property
    def ready(self) -> bool:
        """What the health service says."""
        return self._ready

    def remark(self) -> str:
        """What is to be known of it now: the note, or what a start waits for."""
        return self.awaited or self.note()

    async def set_ready(self, ready: bool, *, reason: str) -> None:
        """Say SERVING or NOT_SERVING; `reason` goes to the log when the answer changes."""
        status = health_pb2.HealthCheckResponse.ServingStatus.Value(
            "SERVING" if ready else "NOT_SERVING"
        )
        changed = ready is not self._ready
        self.awaited = ""
        self._ready = ready
        for service in self._services:
            await self.servicer.set(service, status)
        if changed:
            self._log.info("health_changed", ready=ready, reason=reason)

    async def set_part(self, name: str, serving: bool) -> None:
        """Say of one part of this process, by a name of its own, whether it does its work."""
        status = "SERVING" if serving else "NOT_SERVING"
        await self.servicer.set(name, health_pb2.HealthCheckResponse.ServingStatus.Value(status))


def enable_reflection(server: grpc.aio.Server, services: tuple[str, ...]) -> None:
    """Describe `services` and health to operators' tools such as grpcurl."""
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415  off by default, slow to import

    names = (*services, "grpc.health.v1.Health", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
