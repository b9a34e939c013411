"""`heptad up` without its printing: one home, one lock, one supervisor, one control socket."""

import asyncio
import dataclasses
import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypedDict, cast

from heptad.observability.logs import EventLog
from heptad.runtime.config.addresses import split_address
from heptad.runtime.config.cell import Cell
from heptad.runtime.config.files import load_node_config
from heptad.runtime.config.gateway import GatewayConfig
from heptad.runtime.config.ledger import LedgerConfig
from heptad.runtime.config.replica import ReplicaConfig
from heptad.runtime.config.validator import ValidatorConfig
from heptad.runtime.control import Answer, ControlServer, Order
from heptad.runtime.errors import HomeRefusedError
from heptad.runtime.identity import Role
from heptad.runtime.launcher import Launcher
from heptad.runtime.ports import require_free
from heptad.runtime.supervised import Supervised
from heptad.runtime.supervisor import Supervisor, health_by_grpc, specs_of
from heptad.runtime.tls import CA_FILE, CERTIFICATE_FILE, KEY_FILE, load_tls


class ProcessFacts(TypedDict):
    """A process in the status; see `supervisor.ProcessStatus`."""

    name: str
    role: str
    state: str
    pid: int | None
    address: str
    metrics: str
    restarts: int
    last_status: int | None
    usage: dict[str, float] | None
    awaited: str


class MeshStatus(TypedDict):
    """What `heptad status --json` prints."""

    home: str
    origin: str
    pid: int
    uptime_s: float
    gateway_url: str
    processes: list[ProcessFacts]


LOCK_FILE: Final = "up.lock"
SUPERVISOR_LOG_FILE: Final = "up.jsonl"

_NODE_KINDS: Final = {
    Role.REPLICA: ReplicaConfig,
    Role.VALIDATOR: ValidatorConfig,
    Role.LEDGER: LedgerConfig,
}


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the home for this process; the kernel lets go of it however the process ends.

    Raises: HomeRefusedError if another process holds it.
    """
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            raise HomeRefusedError(
                f"{home} is already up (process {holder}); stop it with `heptad down`"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def members_here(home: Path, cell: Cell) -> list[str]:
    """The members whose folders are in this home: all of them, or those of one authority."""
    return [name for name in cell.member_addresses() if (home / name).is_dir()]


def listeners_of(
    home: Path, cell: Cell, *, members: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """What listens where, as (what, address), for these members, or every one of the cell.

    Raises: ConfigInvalidError.
    """
    listeners = []
    for member_id in cell.member_addresses() if members is None else members:
        role = Role(member_id.rpartition("-")[0])
        if role is Role.GATEWAY:
            gateway = load_node_config(GatewayConfig, home=home, name=member_id)
            listeners.append((f"{member_id} http", gateway.http))
            listeners.append((f"{member_id} admin", gateway.admin))
            node = gateway.node
        else:
            node = load_node_config(_NODE_KINDS[role], home=home, name=member_id).node
        listeners.append((f"{member_id} grpc", node.listen))
        listeners.append((f"{member_id} metrics", node.metrics))
    return listeners


def scrape_targets(home: Path, cell: Cell) -> dict[str, str]:
    """host:port of the metrics of every member in this home, by member id.

    The port is the one that the member binds, the host the one by which others find it.
    Raises: ConfigInvalidError.
    """
    addresses, here = cell.member_addresses(), members_here(home, cell)
    listeners = dict(listeners_of(home, cell, members=here))
    targets = {}
    for member_id in here:
        port = split_address(listeners[f"{member_id} metrics"])[1]
        targets[member_id] = f"{addresses[member_id].rpartition(':')[0]}:{port}"
    return targets


def require_ports(home: Path, cell: Cell, *, elsewhere: Container[str] = ()) -> None:
    """See that the cell can listen, but for the members in `elsewhere`, who bind on their own.

    Raises: PortTakenError, naming each port that is taken and its holder.
    """
    require_free(
        (what, *split_address(address))
        for what, address in listeners_of(home, cell)
        if what.partition(" ")[0] not in elsewhere
    )


def supervisor_of(
    home: Path, cell: Cell, *, under: Mapping[str, Sequence[str]], log: EventLog
) -> Supervisor:
    """The supervisor of all of Heptad's services in this home; make it inside the event loop.

    `under` has the words of a command under which a member is run, by its id.
    Raises: ConfigInvalidError, OSError.
    """
    operator = home / "clients" / "operator"
    tls = partial(
        load_tls,
        ca=operator / CA_FILE,
        certificate=operator / CERTIFICATE_FILE,
        key=operator / KEY_FILE,
    )
    metrics = {
        what.partition(" ")[0]: address
        for what, address in listeners_of(home, cell)
        if what.endswith(" metrics")
    }
    return Supervisor(
        home=home,
        specs=specs_of(cell, metrics.__getitem__),
        launcher=Launcher(under=under),
        healthy=health_by_grpc(origin=cell.origin, tls=tls),
        log=log,
    )


class Mesh:
    """A cell that runs in this process' children."""

    def __init__(self, *, home: Path, cell: Cell, supervisor: Supervisor) -> None:
        """The caller holds the home's lock (`locked`)."""
        self.supervisor = supervisor
        self._home = home
        self._cell = cell
        self._control = ControlServer(home, self._orders())

    async def run(self, on_ready: Callable[[MeshStatus], None]) -> None:
        """Start, call `on_ready` with the status once all are ready, and stay until told to stop.

        SIGINT and SIGTERM stop it in order; a second one ends everything at once.
        Raises: SupervisionFault if a service does not stay up.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._asked_to_stop)
        try:
            self.supervisor.start()
            await self._control.start()
            if await self.supervisor.wait_ready():
                on_ready(self.status())
                await self.supervisor.run()
            await self.supervisor.drain()
        finally:
            await self.supervisor.close()
            await self._control.stop()

    def status(self) -> MeshStatus:
        """How every process is at this moment."""
        processes = [dataclasses.asdict(status) for status in self.supervisor.status()]
        return {
            "home": str(self._home),
            "origin": self._cell.origin,
            "pid": os.getpid(),
            "uptime_s": round(self.supervisor.uptime_s, 3),
            "gateway_url": f"http://{self._cell.gateways[0].http}",
            "processes": cast("list[ProcessFacts]", processes),
        }

    def _asked_to_stop(self) -> None:
        if self.supervisor.stopping.is_set():
            self.supervisor.abandon()
        self.supervisor.stopping.set()

    def _orders(self) -> Mapping[str, Order]:
        async def status(_name: str) -> Answer:
            return {**self.status()}

        async def down(_name: str) -> Answer:
            self.supervisor.stopping.set()
            return {}

        async def wait_ready(_name: str) -> Answer:
            await self.supervisor.wait_ready()
            return {**self.status()}

        return {
            "status": status,
            "wait_ready": wait_ready,
            "kill": self._order_on_process(Supervised.kill),
            "stop": self._order_on_process(Supervised.stop),
            "restart": self._order_on_process(Supervised.restart),
            "pause": self._order_on_process(_at_once(Supervised.pause)),
            "resume": self._order_on_process(_at_once(Supervised.resume)),
            "reload": self._order_on_process(_at_once(Supervised.reload)),
            "down": down,
        }

    def _order_on_process(self, act: Callable[[Supervised], Awaitable[None]]) -> Order:
        async def order(name: str) -> Answer:
            await act(self.supervisor.process(name))
            return {}

        return order


def _at_once(act: Callable[[Supervised], None]) -> Callable[[Supervised], Awaitable[None]]:
    async def order(process: Supervised) -> None:
        act(process)

    return order
