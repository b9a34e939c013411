"""What a service package tells the runtime, and what it is given in return."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol

import grpc

from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.observability.traces import Tracer
from heptad.runtime import channels
from heptad.runtime.config.cell import Cell
from heptad.runtime.config.files import NodeConfigT
from heptad.runtime.guard import RoleTable
from heptad.runtime.health import Health
from heptad.runtime.tasks import TaskSet
from heptad.runtime.tls import TlsMaterial


class Service(Protocol):
    """What a service's `build` returns."""

    async def start(self) -> None:
        """Connect to others and recover; the server listens already. Returning means ready."""

    async def drain(self) -> None:
        """Take nothing new and finish what is in flight; cut off after `drain_s_max`."""

    async def stop(self) -> None:
        """Release everything. Called once, also when `start` failed or `drain` was cut off."""


@dataclass(frozen=True, slots=True)
class Context(Generic[NodeConfigT]):
    """What a service is built from."""

    home: Path
    # `replica-3`.
    name: str
    config: NodeConfigT
    cell: Cell
    tls: TlsMaterial
    # Add handlers to it in `build`; it is not listening yet.
    server: grpc.aio.Server
    health: Health
    log: EventLog
    metrics: Metrics
    # Long-lived work; its first failure ends the process.
    tasks: TaskSet
    # Accepts nothing where nobody wants traces.
    tracer: Tracer = field(default_factory=Tracer)

    @property
    def number(self) -> int:
        """3 of `replica-3`."""
        return int(self.name.rpartition("-")[2])

    @property
    def keys(self) -> Path:
        """Folder of this member's private keys."""
        return self.home / self.name / "keys"

    @property
    def data(self) -> Path:
        """Folder of everything that this service keeps; it exists, with mode 0700."""
        return self.home / self.name / self.config.node.data

    def open_channel(
        self,
        peer_id: str,
        *,
        message_bytes_max: int = channels.MESSAGE_BYTES_MAX,
        window_bytes: int = channels.WINDOW_BYTES,
    ) -> grpc.aio.Channel:
        """A channel to another member, found and checked by its id in `cell.toml`."""
        return channels.open_channel(
            address=self.cell.member_addresses()[peer_id],
            peer_id=peer_id,
            origin=self.cell.origin,
            tls=self.tls,
            message_bytes_max=message_bytes_max,
            window_bytes=window_bytes,
        )


@dataclass(frozen=True, slots=True)
class ServiceKind(Generic[NodeConfigT]):
    """A service, as `run` needs to know it."""

    config: type[NodeConfigT]
    build: Callable[[Context[NodeConfigT]], Awaitable[Service]]
    # Full method to roles; health and reflection have theirs already.
    roles: RoleTable
    # Full names of the gRPC services (`heptad.replica.v1.ReplicaService`), for health, reflection.
    services: tuple[str, ...]
    message_bytes_max: int = channels.MESSAGE_BYTES_MAX
    # Where nobody has to send it messages as large as its own; None: the same.
    receive_bytes_max: int | None = None
    # Calls of one caller under way at a time, where a method should have fewer than the default.
    calls_max: Mapping[str, int] = field(default_factory=dict)
