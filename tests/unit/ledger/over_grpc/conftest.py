"""A real ledger over real gRPC with mutual TLS; the replicas are played, with their real keys."""

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field, replace

import grpc
import pytest

from heptad.crypto.keys import KeyRole, load_service_key
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.runtime.channels import PEER_MESSAGE_BYTES_MAX, create_server, listen, open_channel
from heptad.runtime.config import LedgerConfig, load_cell, load_node_config
from heptad.runtime.guard import Guard
from heptad.runtime.health import Health
from heptad.runtime.identity import Identity, Role
from heptad.runtime.service_kind import Context
from heptad.runtime.streams import FrameStream, add_frame_handlers
from heptad.runtime.tasks import TaskSet
from heptad.runtime.tls import load_member_tls, load_tls
from heptad.runtime.vkeys import log_vkey, witness_vkey
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.notes import Note
from heptad.wire.replica.v1 import replica_pb2
from heptad.wire.streams import (
    AppliedFrame,
    EvidenceFrame,
    FollowFrame,
    decode_from_ledger,
    encode_to_ledger,
)
from heptad_ledger.wiring import KIND, LedgerService

SERVICE = "heptad.replica.v1.ReplicaService"


@dataclass(eq=False)
class FakeReplica:
    """Serves what its group has committed, as a test wants it changed.

    `tamper` changes frames with batches, `tamper_headers` those without; `height_max` is how far
    it goes, up to `pruned` it holds no batches; `cosigns` is what it has cosigned.
    """

    replica_id: str
    group: object
    tamper: object = staticmethod(encode_to_ledger)
    tamper_headers: object = staticmethod(encode_to_ledger)
    height_max: int = 10**9
    pruned: int = 0
    cosigns: list = field(default_factory=list)
    follows: list = field(default_factory=list)
    applied: list = field(default_factory=list)
    accusations: list = field(default_factory=list)
    streams: int = 0
    _server: object = None
    _wakeups: set = field(default_factory=set)

    async def start(self, world):
        ledger = frozenset({Role.LEDGER})
        roles = {f"/{SERVICE}/Follow": ledger, f"/{SERVICE}/GetStatus": ledger}
        guard = Guard(cell=world.cell.origin, roles=roles, calls=Silent())
        self._server = create_server(interceptors=[guard], message_bytes_max=PEER_MESSAGE_BYTES_MAX)
        add_frame_handlers(self._server, service=SERVICE, handlers={"Follow": self._serve})
        status = {"GetStatus": grpc.unary_unary_rpc_method_handler(self._status)}
        handler = grpc.method_handlers_generic_handler(SERVICE, status)
        self._server.add_generic_rpc_handlers((handler,))
        address = world.cell.member_addresses()[self.replica_id]
        listen(self._server, address=address, tls=world.tls_of(self.replica_id))
        await self._server.start()

    async def stop(self):
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def news(self):
        for wakeup in self._wakeups:
            wakeup.set()

    async def _status(self, _request, _context):
        height = min(self.height_max, len(self.group.frames))
        return replica_pb2.GetStatusResponse(height=height).SerializeToString()

    async def _serve(self, stream: FrameStream, caller: Identity):
        self.streams += 1
        position, wakeup = [FollowFrame(0, want_batches=False)], asyncio.Event()
        self._wakeups.add(wakeup)
        feeder = asyncio.create_task(self._feed(stream, position, wakeup))
        try:
            while (body := await stream.read()) is not None:
                match decode_from_ledger(body):
                    case FollowFrame() as follow:
                        self.follows.append(follow)
                        if follow.want_batches and follow.height <= self.pruned:
                            raise Problem("not_found", f"no block from {follow.height} on is here")
                        position[0] = follow
                        wakeup.set()
                    case AppliedFrame() as applied:
                        self.applied.append(applied)
                    case EvidenceFrame(evidence):
                        self.accusations.append(evidence)
        finally:
            feeder.cancel()
            self._wakeups.discard(wakeup)

    async def _feed(self, stream, position, wakeup):
        cosigned = 0
        while True:
            wakeup.clear()
            follow = position[0]
            last = min(self.height_max, len(self.group.frames))
            while follow.height and follow.height <= last and position[0] is follow:
                await stream.write(self._body(self.group.frames[follow.height - 1], follow))
                if position[0] is follow:
                    position[0] = follow = replace(follow, height=follow.height + 1)
            for frame in self.cosigns[cosigned:]:
                await stream.write(encode_to_ledger(frame))
            cosigned = len(self.cosigns)
            if position[0] is follow:
                await wakeup.wait()

    def _body(self, frame, follow):
        if follow.want_batches:
            return self.tamper(frame)
        return self.tamper_headers(replace(frame, batches=()))


@dataclass
class World:
    """A home, its group, and the replicas that play it."""

    home: object
    cell: object
    group: object
    replicas: list
    log_lines: list = field(default_factory=list)

    def commit(self, *batches, cosigners=range(7), **how):
        """Commit a block; the replicas send it, and these cosign its head."""
        frame = self.group.commit(*batches, **how)
        for member in cosigners:
            self.replicas[member].cosigns.append(self.group.cosign(member, self.group.head()))
        for replica in self.replicas:
            replica.news()
        return frame

    def note(self, head, *, time_s=1_700_000_000):
        """A checkpoint of any head with everybody's signature."""
        checkpoint = Checkpoint(self.cell.origin, head.size, head.root)
        key = load_service_key(self.home / "ledger-1" / "keys" / KeyRole.LOG.file_name)
        lines = [sign_checkpoint(checkpoint, key=log_vkey(self.cell), sign=key.sign)]
        for replica, cosigner in zip(self.cell.replicas, self.group.cosign_keys, strict=True):
            name = witness_vkey(self.cell, replica)
            lines.append(cosign_checkpoint(checkpoint, key=name, time_s=time_s, sign=cosigner.sign))
        return Note(checkpoint.body(), tuple(lines)).encode()

    def tls_of(self, name):
        """The certificate of a member, or of the client `operator`."""
        if name == "operator":
            folder = self.home / "clients" / name
            return load_tls(
                ca=folder / "ca.pem", certificate=folder / "tls.pem", key=folder / "tls.key"
            )
        return load_member_tls(home=self.home, name=name)

    def channel(self, caller):
        """A channel to the ledger as that member or client."""
        cell = self.cell
        return open_channel(
            address=cell.ledger.address,
            peer_id=cell.ledger.id,
            origin=cell.origin,
            tls=self.tls_of(caller),
        )


@pytest.fixture
def world(home, kit):
    """Seven replicas with the keys of the home, none of them started."""

    def keys(duty):
        names = [f"replica-{n}" for n in range(1, 8)]
        return [load_service_key(home / name / "keys" / duty.file_name) for name in names]

    cell = load_cell(home)
    batch_keys = {
        n: load_service_key(home / f"validator-{n}" / "keys" / KeyRole.BATCH.file_name)
        for n in (1, 2)
    }
    group = kit.Group(
        vote_keys=keys(KeyRole.VOTE),
        cosign_keys=keys(KeyRole.COSIGN),
        batch_keys=batch_keys,
        origin=cell.origin,
    )
    replicas = [FakeReplica(replica.id, group) for replica in cell.replicas]
    return World(home, on_free_ports(cell), group, replicas)


def on_free_ports(cell):
    """The cell at addresses of this test's own: the home's may have been taken meanwhile."""
    with contextlib.ExitStack() as open_sockets:

        def moved(member):
            listener = open_sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            return replace(member, address=f"127.0.0.1:{listener.getsockname()[1]}")

        return replace(
            cell,
            replicas=tuple(map(moved, cell.replicas)),
            validators=tuple(map(moved, cell.validators)),
            ledgers=tuple(map(moved, cell.ledgers)),
        )


class Silent:
    """A guard's call log that says nothing."""

    def began(self, *, method):
        pass

    def ended(self, *, method, outcome, duration_s):
        pass

    def broke(self, *, method, error):
        raise error


@contextlib.asynccontextmanager
async def running_ledger(world, folder, *, stall_s=0.2, replicas=range(7), **settings):
    """The real service with its data in `folder`, and the replicas that are up."""
    config = load_node_config(LedgerConfig, home=world.home, name="ledger-1")
    config = replace(config, node=replace(config.node, data=str(folder)), **settings)
    metrics = Metrics(cell=world.cell.origin, service="ledger-1")
    log = EventLog(bound={}, write=world.log_lines.append, level="debug")
    guard = Guard(cell=world.cell.origin, roles=KIND.roles, calls=Silent())
    context = Context(
        home=world.home,
        name="ledger-1",
        config=config,
        cell=world.cell,
        tls=world.tls_of("ledger-1"),
        server=create_server(interceptors=[guard]),
        health=Health(services=KIND.services, log=log),
        log=log,
        metrics=metrics,
        tasks=TaskSet(),
    )
    folder.mkdir(exist_ok=True)
    for number in replicas:
        await world.replicas[number].start(world)
    service = LedgerService(context)
    service._follower._stall_s = stall_s
    try:
        listen(context.server, address=world.cell.ledger.address, tls=context.tls)
        await context.server.start()
        await service.start()
        yield service
        assert context.tasks.error is None, context.tasks.error
        await service.drain()
    finally:
        await context.server.stop(grace=0.5)
        await service.stop()
        metrics.close()
        for replica in world.replicas:
            await replica.stop()


@pytest.fixture(name="running_ledger")
def _running_ledger(tmp_path):
    def run(world, folder=tmp_path / "data", **how):
        return running_ledger(world, folder, **how)

    return run


@pytest.fixture
def call():
    """Calls an RPC with bytes, as that caller; the answer, or the code of the refusal."""

    async def call(world, caller, method, request=b""):
        from heptad.model.problems import Problem
        from heptad.runtime.status import problem_of

        async with world.channel(caller) as channel:
            try:
                return await channel.unary_unary(method)(request, timeout=10, wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                problem = problem_of(error, unavailable="ledger_unavailable")
                assert isinstance(problem, Problem)
                return problem.code

    return call
