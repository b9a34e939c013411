"""Pieces that the runtime's tests share: a small certificate authority, servers, conditions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from heptad.runtime import channels
from heptad.runtime.config import Cell, load_cell
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.guard import Guard, RoleTable
from heptad.runtime.identity import Identity, Role, member
from heptad.runtime.pki import CertificateAuthority
from heptad.runtime.ports import PortPlan
from heptad.runtime.streams import FrameHandler, add_frame_handlers
from heptad.runtime.tls import TlsMaterial

ORIGIN = "cell.heptad.internal"
NOW = datetime.now(UTC)
"""TLS libraries judge certificates by the real clock, so these must be dated by it."""


@dataclass
class Calls:
    """A `guard.CallLog` that remembers."""

    begun: list[str] = field(default_factory=list)
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def began(self, *, method: str) -> None:
        self.begun.append(method)

    def ended(self, *, method: str, outcome: str, duration_s: float) -> None:
        assert duration_s >= 0
        self.outcomes.append((method, outcome))

    def broke(self, *, method: str, error: BaseException) -> None:
        self.errors.append(error)


class Authority:
    """Issues TLS material for tests."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.origin = origin
        self._authority = CertificateAuthority.generate(origin=origin, now=NOW)

    @property
    def ca_pem(self) -> bytes:
        return self._authority.issued.certificate_pem

    def of(self, identity: Identity, *, trusting: "Authority | None" = None) -> TlsMaterial:
        issued = self._authority.issue(identity, now=NOW)
        return TlsMaterial((trusting or self).ca_pem, issued.certificate_pem, issued.key_pem)

    def member(self, member_id: str) -> TlsMaterial:
        return self.of(member(self.origin, member_id))

    def client(self, role: Role, name: str) -> TlsMaterial:
        return self.of(Identity(self.origin, role, name))


@dataclass
class Door:
    """A running server with one raw stream, `/test.v1.Test/Echo`, and a unary `/…/Ask`."""

    address: str
    calls: Calls
    authority: Authority

    ECHO = "/test.v1.Test/Echo"
    ASK = "/test.v1.Test/Ask"

    async def until_ended(self, outcomes: list[tuple[str, str]]) -> None:
        """The caller has its answer a moment before the server has counted the call."""
        async with asyncio.timeout(20):
            while self.calls.outcomes != outcomes:  # noqa: ASYNC110  the server sets no event
                await asyncio.sleep(0)

    @asynccontextmanager
    async def dialled(
        self, tls: TlsMaterial, *, peer_id: str = "replica-3"
    ) -> AsyncIterator[grpc.aio.Channel]:
        channel = channels.open_channel(
            address=self.address, peer_id=peer_id, origin=ORIGIN, tls=tls
        )
        async with channel:
            yield channel


class _AskHandler(grpc.GenericRpcHandler):
    """Serves `Ask` with a coroutine over raw bytes."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != Door.ASK:
            return None

        async def ask(request: bytes, _context: object) -> bytes:
            return self._answer(request)

        return grpc.unary_unary_rpc_method_handler(ask)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def open_door(authority: Authority):
    """Make a `Door`: `async with open_door(roles, echo=…, ask=…) as door`."""

    @asynccontextmanager
    async def opened(
        roles: RoleTable,
        *,
        echo: FrameHandler | None = None,
        ask: Callable[[bytes], bytes] = lambda request: request,
        members: frozenset[str] | None = None,
        calls_max: dict[str, int] | None = None,
        tls: TlsMaterial | None = None,
    ) -> AsyncIterator[Door]:
        calls = Calls()
        guard = Guard(cell=ORIGIN, roles=roles, calls=calls, members=members, calls_max=calls_max)
        server = channels.create_server(interceptors=[guard])
        if echo is not None:
            add_frame_handlers(server, service="test.v1.Test", handlers={"Echo": echo})
        server.add_generic_rpc_handlers((_AskHandler(ask),))
        port = channels.listen(
            server, address="127.0.0.1:0", tls=tls or authority.member("replica-3")
        )
        await server.start()
        try:
            yield Door(f"127.0.0.1:{port}", calls, authority)
        finally:
            await server.stop(grace=0)

    return opened


@pytest.fixture
def eventually():
    """Wait until a condition holds, or fail after `deadline_s`: `await eventually(lambda: …)`."""

    async def wait(condition: Callable[[], object], *, deadline_s: float = 20.0) -> None:
        async with asyncio.timeout(deadline_s):
            while not condition():  # noqa: ASYNC110  other processes set no event of ours
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A default cell's home, to be read only."""
    folder = tmp_path_factory.mktemp("genesis") / "home"
    create_home(folder, GenesisPlan(PortPlan(7700)), now=NOW)
    return folder


@pytest.fixture(scope="session")
def cell(home: Path) -> Cell:
    return load_cell(home)


@pytest.fixture(scope="session")
def stranger() -> Authority:
    """Another authority that claims the same origin."""
    return Authority()
