"""A whole validator on loopback, over real mutual TLS; replicas and vault are played.

The group agrees at once: the first replica that gets a batch puts it into the log, and each tells
where it stands. It holds the validator to its promises: numbers without gaps, one batch under each.
"""

import asyncio
import contextlib
import json
import os
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc
import pytest

from heptad.crypto.keys import KeyRole, load_service_key
from heptad.crypto.requests import sign_request
from heptad.crypto.signatures import verify
from heptad.model.answers import SubmitItem, Wait
from heptad.model.batch import batch_signing_bytes, decode_batch
from heptad.model.entry import Kind
from heptad.model.lending import ReturnLeases
from heptad.model.routing import ranked
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.runtime import channels
from heptad.runtime.config import ValidatorConfig, load_node_config
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.guard import Guard
from heptad.runtime.health import Health
from heptad.runtime.identity import Identity, Role
from heptad.runtime.pki import CertificateAuthority, Issued
from heptad.runtime.ports import PortPlan, reserve_block
from heptad.runtime.service_kind import Context
from heptad.runtime.streams import add_frame_handlers
from heptad.runtime.tasks import TaskSet
from heptad.runtime.tls import TlsMaterial, load_member_tls
from heptad.wire.convert import validator as wire
from heptad.wire.convert.entry import decode_entry
from heptad.wire.convert.vault import SERVICE as VAULT_SERVICE
from heptad.wire.convert.vault import decode_question, encode_answer
from heptad.wire.replica.v1 import replica_pb2
from heptad.wire.streams import (
    CommittedBatch,
    CommittedFrame,
    StandingFrame,
    decode_from_validator,
    encode_to_validator,
)
from heptad_validator.lifecycle import KIND, build


class NoCalls:
    """A `guard.CallLog` that only keeps what broke."""

    def __init__(self):
        self.errors = []

    def began(self, *, method):
        pass

    def ended(self, *, method, outcome, duration_s):
        pass

    def broke(self, *, method, error):
        self.errors.append(error)


@dataclass
class Group:
    """What the replicas agree on."""

    wired: "Wired"
    rows: dict[tuple[int, int], CommittedBatch] = field(default_factory=dict)
    last: dict[int, tuple[int, int]] = field(default_factory=dict)

    def commit(self, encoded: bytes) -> CommittedBatch:
        batch = decode_batch(encoded)
        header = batch.header
        member = self.wired.cell.validator(f"validator-{header.validator}")
        message = batch_signing_bytes(origin=self.wired.cell.origin, digest=batch.digest)
        verify(public_key=member.batch_key, message=message, signature=batch.signature)
        number = (header.incarnation, header.sequence)
        row = self.rows.get(number)
        if row is None:
            last = self.last.get(header.validator, (0, -1))
            follows = (last[0], last[1] + 1) == number
            assert follows or (number[0] > last[0] and number[1] == 0), (last, number)
            first_index = self.wired.ledger.apply(batch)
            row = CommittedBatch(*number, batch.digest, first_index, b"b" * 32, 1)
            self.rows[number], self.last[header.validator] = row, number
        assert row.digest == batch.digest, "two batches under one number"
        return row


class FakeReplica:
    """One replica's door for validators. `is_mute` keeps notices back, `answer` changes them.

    `clock_off_s` is by how much its machine's clock is off.
    """

    def __init__(self, wired, member):
        self.wired, self.member = wired, member
        self.received: list[bytes] = []
        self.is_mute = False
        self.clock_off_s = 0
        self.answer = lambda row: CommittedFrame((row,))
        self._server = None

    async def start(self):
        server = channels.create_server()
        add_frame_handlers(
            server,
            service="heptad.replica.v1.ReplicaService",
            handlers={"SubmitBatches": self._serve},
        )
        status = grpc.unary_unary_rpc_method_handler(self._get_status)
        handlers = {"GetStatus": status}
        generic = grpc.method_handlers_generic_handler("heptad.replica.v1.ReplicaService", handlers)
        server.add_generic_rpc_handlers((generic,))
        tls = load_member_tls(home=self.wired.home, name=self.member.id)
        channels.listen(server, address=self.member.address, tls=tls)
        await server.start()
        self._server = server

    async def stop(self):
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def _get_status(self, _request, _context):
        time_ms = int((time.time() + self.clock_off_s) * 1000)
        return replica_pb2.GetStatusResponse(time_ms=time_ms).SerializeToString()

    async def _serve(self, stream, caller):
        assert caller.role is Role.VALIDATOR
        last = self.wired.group.last.get(int(caller.id.rpartition("-")[2]))
        standing = StandingFrame(last is not None, *(last or (0, 0)))
        await stream.write(encode_to_validator(standing))
        while (body := await stream.read()) is not None:
            batch = decode_from_validator(body).batch
            self.received.append(batch)
            if not self.is_mute:
                await stream.write(encode_to_validator(self.answer(self.wired.group.commit(batch))))


class FakeVault:
    """The ledger's door for validators, over the ledger in memory."""

    def __init__(self, wired):
        self.wired = wired
        self._server = None
        self._streams = []

    async def start(self):
        server = channels.create_server(message_bytes_max=16 << 20)
        handlers = {"Lease": grpc.stream_stream_rpc_method_handler(self._serve)}
        generic = grpc.method_handlers_generic_handler(VAULT_SERVICE, handlers)
        server.add_generic_rpc_handlers((generic,))
        tls = load_member_tls(home=self.wired.home, name="ledger-1")
        channels.listen(server, address=self.wired.cell.ledger.address, tls=tls)
        await server.start()
        self._server = server

    async def stop(self):
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def push(self, answer):
        for context in self._streams:
            await context.write(encode_answer(0, answer))

    async def send(self, data):
        for context in self._streams:
            await context.write(data)

    async def _serve(self, _requests, context):
        ledger = self.wired.ledger
        await context.write(encode_answer(0, ledger.cell_keys))
        self._streams.append(context)
        try:
            while isinstance(data := await context.read(), bytes):
                number, question = decode_question(data)
                ledger.questions.append(question)
                if isinstance(question, ReturnLeases):
                    ledger.returned += question.lease_ids
                elif not ledger.is_silent:
                    await context.write(encode_answer(number, ledger.answer(question)))
        finally:
            self._streams.remove(context)


class RunningValidator:
    """The real service in this process, as `heptad.runtime.service` would run it."""

    def __init__(self, wired, name):
        self.wired, self.name = wired, name
        self.lines = []

    async def start(self):
        wired = self.wired
        config = load_node_config(ValidatorConfig, home=wired.home, name=self.name)
        log = EventLog(bound={}, write=lambda line: self.lines.append(json.loads(line)))
        self.calls = NoCalls()
        guard = Guard(cell=wired.cell.origin, roles=KIND.roles, calls=self.calls)
        self.context = Context(
            home=wired.home,
            name=self.name,
            config=config,
            cell=wired.cell,
            tls=load_member_tls(home=wired.home, name=self.name),
            server=channels.create_server(interceptors=[guard]),
            health=Health(services=KIND.services, log=log),
            log=log,
            metrics=Metrics(cell=wired.cell.origin, service=self.name),
            tasks=TaskSet(),
        )
        self.service = await build(self.context)
        channels.listen(self.context.server, address=config.node.listen, tls=self.context.tls)
        await self.context.server.start()
        await self.service.start()

    async def stop(self):
        """Without a word to anybody, as a crash would."""
        await self.context.server.stop(None)
        await self.service.stop()
        self.context.metrics.close()
        assert self.calls.errors == []
        assert self.context.tasks.error is None


class Wired:
    """A home with its cell, the played parts, and channels as any role."""

    def __init__(self, home, new_ledger):
        self.home = home
        self._ports = reserve_block(start_hint=os.getpid())
        plan = GenesisPlan(ports=PortPlan(self._ports.base))
        self.cell = create_home(home, plan, now=datetime.now(UTC))
        self.ledger = new_ledger(
            origin=self.cell.origin,
            code=self.cell.code,
            log_key=load_service_key(home / "ledger-1" / "keys" / KeyRole.LOG.file_name),
            cosign_keys=[
                load_service_key(home / member.id / "keys" / KeyRole.COSIGN.file_name)
                for member in self.cell.replicas
            ],
        )
        self.group = Group(self)
        self.replicas = [FakeReplica(self, member) for member in self.cell.replicas]
        self.vault = FakeVault(self)
        self.validators: list[RunningValidator] = []
        self._channels = []

    async def start(self, *, replicas=7, vault=True):
        for replica in self.replicas[:replicas]:
            await replica.start()
        if vault:
            await self.vault.start()

    async def run_validator(self, name="validator-1") -> RunningValidator:
        running = RunningValidator(self, name)
        self.validators.append(running)
        await running.start()
        return running

    async def stop(self):
        for channel in self._channels:
            await channel.close()
        for running in self.validators:
            await running.stop()
        for part in (*self.replicas, self.vault):
            await part.stop()
        self._ports.close()

    def channel(self, role=Role.GATEWAY, name="gateway-1", *, to="validator-1", cell=None):
        """A channel to a validator with a certificate of this role."""
        pki = self.home / "pki"
        authority = CertificateAuthority.load(
            Issued((pki / "ca.pem").read_bytes(), (pki / "ca.key").read_bytes())
        )
        identity = Identity(cell or self.cell.origin, role, name)
        issued = authority.issue(identity, now=datetime.now(UTC))
        channel = channels.open_channel(
            address=self.cell.validator(to).address,
            peer_id=to,
            origin=self.cell.origin,
            tls=TlsMaterial((pki / "ca.pem").read_bytes(), issued.certificate_pem, issued.key_pem),
        )
        self._channels.append(channel)
        return channel

    def subject(self, key, *, home=1):
        """A registered subject whose first validator is `home`."""
        while True:
            subject = self.ledger.register(key)
            if ranked(subject, (1, 2))[0] == home:
                return subject

    def sign(self, key, subject, **claims):
        now_s = int(time.time())
        values = {
            "iss": subject, "aud": self.cell.origin, "jti": str(uuid.uuid4()), "iat": now_s,
            "exp": now_s + 60, "svc": "tax-portal", "act": "authenticate", "data": {},
        }  # fmt: skip
        return sign_request(key, **{**values, **claims})

    def has_everywhere(self, sequence, *, replicas=7):
        """Whether so many replicas have got a batch of that number."""
        return all(
            any(decode_batch(batch).header.sequence == sequence for batch in replica.received)
            for replica in self.replicas[:replicas]
        )

    @property
    def entries(self):
        """The log's requests and statements, read."""
        read = [decode_entry(entry) for entry in self.ledger.entries]
        return [entry for entry in read if entry.kind is not Kind.SUBJECT_REGISTERED]


async def submit(channel, jws, *, wait=Wait.COMMITTED, timeout_s=10.0):
    """One request by the unary call."""
    call = channel.unary_unary(f"/{wire.SERVICE}/Submit")
    return wire.decode_submitted(await call(wire.encode_submit(jws, wait), timeout=timeout_s))


async def submit_many(channel, jwss, *, per_message=100):
    """Many requests by one stream; their answers in the order of the requests."""
    stream = channel.stream_stream(f"/{wire.SERVICE}/SubmitStream")()
    items = [SubmitItem(n, jws, Wait.COMMITTED) for n, jws in enumerate(jwss)]
    for start in range(0, len(items), per_message):
        await stream.write(wire.encode_items(items[start : start + per_message]))
    await stream.done_writing()
    answers = {}
    while isinstance(data := await stream.read(), bytes):
        for outcome in wire.decode_outcomes(data):
            assert outcome.id not in answers
            answers[outcome.id] = outcome.result
    return [answers[n] for n in range(len(jwss))]


@pytest.fixture(name="submit")
def _submit():
    return submit


@pytest.fixture(name="submit_many")
def _submit_many():
    return submit_many


@pytest.fixture(name="wire_up")
def _wire_up(tmp_path, new_ledger):
    """Run a scenario in a wired cell whose parts end with it."""

    def run(scenario):
        async def main():
            wired = Wired(tmp_path / "home", new_ledger)
            try:
                await scenario(wired)
            finally:
                await wired.stop()

        asyncio.run(main())

    return run


@pytest.fixture(name="until")
def _until():
    async def until(condition):
        """Wait for what happens in other parts' sockets; the test's time-out ends a vain wait."""
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    return until


@pytest.fixture(name="refusal")
def _refusal():
    @contextlib.asynccontextmanager
    async def refusal(code):
        """The call inside must fail with this code of the table."""
        from heptad.runtime.status import problem_of

        with pytest.raises(grpc.aio.AioRpcError) as failure:
            yield
        assert problem_of(failure.value, unavailable="validator_unavailable").code == code

    return refusal
