"""Fakes of a validator's and a ledger's gRPC door, for the rooms that speak to them.

They are real gRPC servers on loopback, with the real messages; only what they answer is made up.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from heptad.model.answers import (
    PendingRequest,
    Recorded,
    Registered,
    RequestState,
    SubmitItem,
)
from heptad.model.entry import Outcome
from heptad.model.log_reads import RequestStatus
from heptad.model.problems import Problem
from heptad.runtime.config import load_cell
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan, reserve_block
from heptad.runtime.status import status_of
from heptad.runtime.tls import TlsMaterial, load_member_tls, server_credentials
from heptad.wire.convert import ledger as ledger_wire
from heptad.wire.convert import validator as validator_wire


def recorded(number: int, **changes: object) -> Recorded:
    """What a validator answers to the request of this number: committed, at the index `number`."""
    values = {
        "request_id": number.to_bytes(32, "big"),
        "state": RequestState.COMMITTED,
        "index": number,
        "outcome": Outcome.ALLOWED,
        "denied_code": "",
        "time_ms": 1_760_000_000_000 + number,
        "replayed": False,
    }
    return Recorded(**{**values, **changes})


UNKNOWN = PendingRequest(RequestState.UNKNOWN, 0, 0)
Answer = Recorded | Problem | None
Unary = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


def bound(server: grpc.aio.Server, port: int, tls: TlsMaterial | None) -> int:
    """Bind a server to loopback, with mutual TLS where material is given."""
    address = f"127.0.0.1:{port}"
    if tls is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, server_credentials(tls))


@dataclass
class FakeValidator:
    """Answers each item by `answer` (None: never); remembers messages and open streams."""

    answer: Callable[[SubmitItem], Answer] = lambda item: recorded(item.id)
    registered: Callable[[bytes], Registered | Problem] = lambda _: Registered(
        "kn-" + "a" * 26, "k" * 43, recorded(3)
    )
    pending: PendingRequest | Problem = UNKNOWN
    messages: list[list[SubmitItem]] = field(default_factory=list)
    metadata: list[dict[str, object]] = field(default_factory=list)
    streams: int = 0
    is_hung: bool = False
    before_answer: Callable[[], Awaitable[object]] | None = None
    port: int = 0
    _server: grpc.aio.Server | None = None

    @property
    def items(self) -> list[SubmitItem]:
        return [item for message in self.messages for item in message]

    async def start(self, *, tls: TlsMaterial | None = None) -> None:
        """Listen: on a free port first, on the same one after a `stop`."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        methods = {
            "SubmitStream": grpc.stream_stream_rpc_method_handler(self._submit_stream),
            "RegisterSubject": grpc.unary_unary_rpc_method_handler(self._register),
            "GetPendingRequest": grpc.unary_unary_rpc_method_handler(self._pending),
        }
        handler = grpc.method_handlers_generic_handler(validator_wire.SERVICE, methods)
        self._server.add_generic_rpc_handlers((handler,))
        self.port = bound(self._server, self.port, tls)
        await self._server.start()

    async def stop(self) -> None:
        """Die: streams break without an answer."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def _submit_stream(self, _requests: object, context: grpc.aio.ServicerContext) -> None:
        self.streams += 1
        if self.is_hung:
            await asyncio.Event().wait()
        await context.send_initial_metadata(())
        while isinstance(message := await context.read(), bytes):
            items = validator_wire.decode_items(message)
            self.messages.append(items)
            if self.before_answer is not None:
                await self.before_answer()
            writer = validator_wire.OutcomeWriter()
            for item in items:
                self._write(writer, item.id, self.answer(item))
            if writer.count:
                await context.write(writer.take())

    @staticmethod
    def _write(writer: validator_wire.OutcomeWriter, number: int, answer: Answer) -> None:
        if isinstance(answer, Problem):
            writer.add_refusal(number, answer)
        elif answer is not None:
            fields = {name: getattr(answer, name) for name in answer.__slots__}
            writer.add_recorded(number, **fields)

    async def _register(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.metadata.append(dict(context.invocation_metadata() or ()))
        answer = self.registered(validator_wire.decode_register(request))
        if isinstance(answer, Problem):
            await context.abort_with_status(status_of(answer))
        return validator_wire.encode_registered(answer)

    async def _pending(self, _request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if isinstance(self.pending, Problem):
            await context.abort_with_status(status_of(self.pending))
        return validator_wire.encode_pending(self.pending)


@dataclass
class FakeLedger:
    """Answers each RPC by the bytes or the Problem in `answers`, by the RPC's name."""

    answers: dict[str, bytes | Problem] = field(
        default_factory=lambda: {
            "GetRequestStatus": ledger_wire.encode_request_status(
                RequestStatus(RequestState.UNKNOWN, 0, b"", False, 0)
            )
        }
    )
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    metadata: list[dict[str, object]] = field(default_factory=list)
    port: int = 0
    _server: grpc.aio.Server | None = None

    async def start(self, *, tls: TlsMaterial | None = None) -> None:
        """Listen: on a free port first, on the same one after a `stop`."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        names = (
            *("GetCheckpoint", "GetEntry", "ListEntries", "GetInclusionProof"),
            *("GetConsistencyProof", "GetReceipt", "GetRequestStatus", "GetTile", "GetStatus"),
        )
        methods = {name: grpc.unary_unary_rpc_method_handler(self._serve(name)) for name in names}
        handler = grpc.method_handlers_generic_handler(ledger_wire.SERVICE, methods)
        self._server.add_generic_rpc_handlers((handler,))
        self.port = bound(self._server, self.port, tls)
        await self._server.start()

    async def stop(self) -> None:
        """Stop at once."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def _serve(self, name: str) -> Unary:
        async def serve(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            self.asked.append((name, request))
            self.metadata.append(dict(context.invocation_metadata() or ()))
            answer = self.answers.get(name, Problem("not_found", f"no answer to {name}"))
            if isinstance(answer, Problem):
                await context.abort_with_status(status_of(answer))
            return answer

        return serve


@dataclass
class FakeCell:
    """Fake validators by number, a fake ledger, and channels to them."""

    validators: dict[int, FakeValidator]
    ledger: FakeLedger
    channels: dict[int, grpc.aio.Channel] = field(default_factory=dict)
    ledger_channel: grpc.aio.Channel | None = None


OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
]


@contextlib.asynccontextmanager
async def fake_cell(validators: int = 2):
    cell = FakeCell({n: FakeValidator() for n in range(1, validators + 1)}, FakeLedger())
    try:
        for number, validator in cell.validators.items():
            await validator.start()
            address = f"127.0.0.1:{validator.port}"
            cell.channels[number] = grpc.aio.insecure_channel(address, options=OPTIONS)
        await cell.ledger.start()
        cell.ledger_channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{cell.ledger.port}", options=OPTIONS
        )
        yield cell
    finally:
        for channel in (*cell.channels.values(), cell.ledger_channel):
            if channel is not None:
                await channel.close()
        for door in (*cell.validators.values(), cell.ledger):
            await door.stop()


@contextlib.asynccontextmanager
async def fake_members(home: Path):
    """The validators and the ledger of a real home, played by fakes behind real mutual TLS."""
    addresses = load_cell(home).member_addresses()
    cell = FakeCell({}, FakeLedger())
    try:
        for name, address in addresses.items():
            role, _, number = name.rpartition("-")
            door = {"validator": FakeValidator(), "ledger": cell.ledger}.get(role)
            if door is not None:
                door.port = int(address.rpartition(":")[2])
                await door.start(tls=load_member_tls(home=home, name=name))
            if isinstance(door, FakeValidator):
                cell.validators[int(number)] = door
        yield cell
    finally:
        for door in (*cell.validators.values(), cell.ledger):
            await door.stop()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A real home of a cell, with keys and certificates; nothing runs, and no test changes it."""
    folder = tmp_path_factory.mktemp("cell") / "home"
    with reserve_block(start_hint=os.getpid()) as block:
        create_home(folder, GenesisPlan(ports=PortPlan(block.base)), now=datetime.now(UTC))
        yield folder


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; the test's own time-out ends a wait in vain."""
    while not condition():  # noqa: ASYNC110  what is waited for happens in other parts' sockets
        await asyncio.sleep(0.005)


@pytest.fixture(name="fake_cell")
def _fake_cell():
    return fake_cell


@pytest.fixture(name="fake_members")
def _fake_members():
    return fake_members


@pytest.fixture(name="recorded")
def _recorded():
    return recorded


@pytest.fixture(name="eventually")
def _eventually():
    return eventually
