"""A whole gateway on loopback, with the rest of the cell played by plain objects."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from aiohttp import web

from heptad.model.answers import (
    BundleRecorded,
    PendingRequest,
    Recorded,
    Registered,
    RequestState,
    ValidatorStatus,
)
from heptad.model.log_reads import LedgerStatus, RequestStatus
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.runtime.config import (
    Cell,
    GatewayConfig,
    LedgerMember,
    Node,
    ReplicaMember,
    ValidatorMember,
)
from heptad_gateway.app import App, Ports

CELL = Cell(
    origin="cell.example",
    code="kn",
    epoch=0,
    replicas=tuple(
        ReplicaMember(
            f"replica-{n}", f"127.0.0.1:{7730 + n}", bytes([n]) * 32, bytes([10 + n]) * 32
        )
        for n in range(1, 8)
    ),
    validators=tuple(
        ValidatorMember(f"validator-{n}", f"127.0.0.1:{7710 + n}", bytes([20 + n]) * 32)
        for n in (1, 2)
    ),
    ledgers=(LedgerMember("ledger-1", "127.0.0.1:7720", bytes([30]) * 32, bytes([31]) * 32),),
    open_registration=True,
)
CONFIG = GatewayConfig(
    node=Node("gateway-1", "127.0.0.1:7702", "127.0.0.1:7800"),
    http="127.0.0.1:7700",
    admin="127.0.0.1:7701",
)
UNKNOWN = RequestStatus(RequestState.UNKNOWN, 0, b"", False, 0)


@dataclass
class FakeSubmissions:
    """Answers at once by `answer`; None leaves a request without an answer."""

    answer: Callable[[bytes], Recorded | Problem | None]
    sent: list[tuple[bytes, str, object]] = field(default_factory=list)
    open: list[asyncio.Future] = field(default_factory=list)
    room: int = 10_000
    ready: bool = True
    trouble: dict[int, str] = field(default_factory=dict)

    @property
    def in_flight(self):
        return len(self.open)

    def troubles(self):
        return self.trouble

    def require_room(self, requests):
        if requests > self.room:
            raise Problem("overloaded", "no room", retry_after_s=1)

    def submit(self, jws, *, iss, wait, trace=b""):
        self.require_room(1)
        self.sent.append((jws, iss, wait))
        future = asyncio.get_running_loop().create_future()
        outcome = self.answer(jws)
        if outcome is None:
            self.open.append(future)
        else:
            future.set_result(outcome)
        return future


@dataclass
class FakeValidators:
    registered: Registered | Problem
    numbers: tuple[int, ...] = (1, 2)
    known: PendingRequest | Problem = PendingRequest(RequestState.UNKNOWN, 0, 0)  # noqa: RUF009
    asked: list[tuple] = field(default_factory=list)
    bundles: list[tuple] = field(default_factory=list)
    bundled: BundleRecorded | Problem | None = None
    statuses: dict[int, ValidatorStatus | Problem] = field(
        default_factory=lambda: {n: ValidatorStatus(n, 1, 1, 0, 7, True, 0) for n in (1, 2)}
    )
    looked: int = 0

    async def register(self, jws, *, iss, terms):
        self.asked.append((jws, iss, terms))
        return returned(self.registered)

    async def submit_bundle(self, bundle, *, iss, wait, terms):
        self.bundles.append((bundle, iss, wait))
        return returned(self.bundled)

    async def pending(self, validator, request_id, *, terms):
        return returned(self.known)

    async def status(self, validator, *, terms):
        self.looked += 1
        return returned(self.statuses[validator])


@dataclass
class FakeLedger:
    """Answers each method by what `answers` has under its name: a value, a Problem, a function."""

    answers: dict[str, object] = field(default_factory=dict)
    asked: list[tuple] = field(default_factory=list)
    watching: int = 0

    async def watch(self, wanted, *, terms):
        """What `answers["watch"]` has, one after the other; a Problem ends it, None waits."""
        self.asked.append(("watch", wanted, terms))
        self.watching += 1
        try:
            for watched in self.answers["watch"]:
                if watched is None:
                    await asyncio.Event().wait()
                yield returned(watched)
        finally:
            self.watching -= 1

    async def export(self, call, *, terms):
        """What `answers["export"]` has, one part after the other; a Problem ends it."""
        self.asked.append(("export", call, terms))
        self.watching += 1
        try:
            for part in self.answers["export"]:
                yield returned(part)
        finally:
            self.watching -= 1

    def __getattr__(self, name):
        async def method(*arguments, terms, **_options):
            self.asked.append((name, *arguments, terms))
            answer = self.answers.get(name, Problem("ledger_unavailable", "down"))
            return returned(answer(*arguments) if callable(answer) else answer)

        return method


def returned(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


@dataclass
class Gateway:
    """A running gateway and a client of it."""

    app: App
    submissions: FakeSubmissions
    validators: FakeValidators
    ledger: FakeLedger
    http: aiohttp.ClientSession
    port: int
    admin_port: int
    logged: list[dict]

    async def call(self, method: str, path: str, **options: object) -> "Heard":
        """One request; the answer read to its end."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.http.request(method, url, **options) as response:
            return Heard(response.status, response.headers, await response.read())

    async def post(self, jws: bytes, path: str = "/v1/requests", **headers: str) -> "Heard":
        """A JOSE body; `Prefer` and such as keywords."""
        head = {"Content-Type": "application/jose", **headers}
        return await self.call("POST", path, data=jws, headers=head)

    async def raw(self, data: bytes) -> bytes:
        """Bytes to the socket, and everything that comes back until the gateway closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
        return answer


@dataclass(frozen=True)
class Heard:
    status: int
    headers: aiohttp.typedefs.LooseHeaders
    body: bytes

    def json(self):
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of problem details, which must be whole and agree with the head."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        details = self.json()
        assert details["status"] == self.status
        assert details["type"] == f"/errors/{details['code']}"
        assert details["title"]
        assert details["detail"]
        assert details["advice"]
        return details["code"]


@contextlib.asynccontextmanager
async def running(recorded, *, cell=CELL, policy=b"quorum none\n", **config):
    logged = []
    log = EventLog(bound={}, write=lambda line: logged.append(json.loads(line)))
    submissions = FakeSubmissions(lambda _: recorded(7))
    validators = FakeValidators(Registered("kn-" + "a" * 26, "k" * 43, recorded(3)))
    ledger = FakeLedger({
        "request_status": UNKNOWN,
        "status": LedgerStatus(1, 5, 20, bytes(32), 18, 7, 3, 0, 0),
    })  # fmt: skip
    metrics = Metrics(cell="cell.example", service="gateway-1")
    app = App(
        ports=Ports(submissions, validators, ledger, ledger, ledger, ledger),
        config=replace(CONFIG, **config),
        cell=cell,
        policy=policy,
        metrics=metrics,
        log=log,
    )
    ports, runners = [], []
    for server in (app.server, app.admin_server):
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        runners.append(runner)
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            yield Gateway(app, submissions, validators, ledger, http, *ports, logged)
    finally:
        for runner in runners:
            await runner.cleanup()
        metrics.close()


@pytest.fixture
def gateway(recorded):
    """Runs `async def story(gateway)` against a gateway with this configuration."""

    def run(story, **config):
        async def whole():
            async with running(recorded, **config) as running_gateway:
                await story(running_gateway)

        asyncio.run(whole())

    return run


@pytest.fixture
def cell():
    return CELL
