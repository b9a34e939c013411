"""The door: roles, garbage, and the small calls."""

import asyncio
import time
import uuid

import grpc
import pytest

from heptad.crypto.accesses import sign_access
from heptad.crypto.keys import KeyRole, load_service_key
from heptad.crypto.registration import sign_registration
from heptad.model.access import AccessRecord, PrivateRecord
from heptad.model.answers import RequestState, SubmitItem, Wait
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.model.requests import request_hash
from heptad.model.routing import ranked
from heptad.runtime.identity import Role
from heptad.wire.convert import validator as wire
from heptad.wire.convert.entry_facts import encode_duplicate
from heptad_validator.service import ROLES

NAMES = {
    Role.GATEWAY: "gateway-1",
    Role.REPLICA: "replica-1",
    Role.VALIDATOR: "validator-2",
    Role.LEDGER: "ledger-1",
    Role.SERVICE: "tax-portal",
    Role.OPERATOR: "operator",
    Role.AUDITOR: "auditor",
    Role.OFFICER: "officer",
}
UNARY = [method for method in ROLES if not method.endswith("/SubmitStream")]
GARBAGE = b"\xff" * 40


def test_each_call_admits_its_roles_and_no_other(wire_up, refusal):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        for role, name in NAMES.items():
            channel = wired.channel(role, name)
            for method, roles in ROLES.items():
                if role in roles:
                    continue
                async with refusal("role_refused"):
                    if method in UNARY:
                        await channel.unary_unary(method)(b"", timeout=10)
                    else:
                        await channel.stream_stream(method)().read()
        assert wired.entries == []

    wire_up(scenario)


def test_another_cells_certificate_opens_nothing(wire_up, refusal):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        channel = wired.channel(cell="other.example")
        for method in UNARY:
            async with refusal("cell_mismatch"):
                await channel.unary_unary(method)(b"", timeout=10)

    wire_up(scenario)


def test_garbage_is_refused_by_its_code_and_the_next_caller_is_served(
    wire_up, refusal, submit, ed_key
):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        gateway, ledger = wired.channel(), wired.channel(Role.LEDGER, "ledger-1")
        for name in ("Submit", "RegisterSubject", "GetPendingRequest"):
            async with refusal("frame_malformed"):
                await gateway.unary_unary(f"/{wire.SERVICE}/{name}")(GARBAGE, timeout=10)
        for name in ("RecordStatement", "RecordPrivate"):
            async with refusal("frame_malformed"):
                await ledger.unary_unary(f"/{wire.SERVICE}/{name}")(GARBAGE, timeout=10)
        async with refusal("frame_malformed"):
            stream = gateway.stream_stream(f"/{wire.SERVICE}/SubmitStream")()
            await stream.write(GARBAGE)
            await stream.read()
        subject = wired.subject(ed_key)
        recorded = await submit(gateway, wired.sign(ed_key, subject))
        assert recorded.state is RequestState.COMMITTED
        assert len(wired.entries) == 1

    wire_up(scenario)


def test_a_message_over_its_limits_is_refused_item_by_item(wire_up, submit_many, ed_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        subject = wired.subject(ed_key)
        jws = wired.sign(ed_key, subject)
        for jwss in ([jws] * 1_001, [b"x" * 16_000] * 70):
            answers = await submit_many(wired.channel(), jwss, per_message=2_000)
            assert {answer.code for answer in answers} == {"batch_too_large"}
        assert wired.entries == []

    wire_up(scenario)


def test_a_message_that_grpc_will_not_carry_ends_that_stream_only(wire_up, submit, ed_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        channel = wired.channel()
        call = channel.unary_unary(f"/{wire.SERVICE}/Submit")
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call(bytes(5 << 20), timeout=10)
        assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        subject = wired.subject(ed_key)
        recorded = await submit(channel, wired.sign(ed_key, subject))
        assert recorded.state is RequestState.COMMITTED

    wire_up(scenario)


def test_a_single_call_ends_with_the_requests_own_code(wire_up, submit, refusal, ed_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        channel, subject = wired.channel(), wired.subject(ed_key)
        async with refusal("audience_mismatch"):
            await submit(channel, wired.sign(ed_key, subject, aud="other.example"))
        async with refusal("jws_malformed"):
            await submit(channel, b"rubbish")
        denied = await submit(channel, wired.sign(ed_key, subject, svc="nobody"))
        assert denied.denied_code == "service_unknown"

    wire_up(scenario)


def test_a_caller_with_little_time_is_told_pending_before_it_is_over(wire_up, submit, ed_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        for replica in wired.replicas:
            replica.is_mute = True
        subject = wired.subject(ed_key)
        recorded = await submit(wired.channel(), wired.sign(ed_key, subject), timeout_s=0.7)
        assert recorded.state is RequestState.PENDING

    wire_up(scenario)


def test_before_its_fence_a_validator_denies_knowing_no_request(wire_up, refusal):
    """A batch of its former life may still be committed."""

    async def scenario(wired):
        await wired.start()
        running = await wired.run_validator()
        running.service._validator.parts.dispatcher.fence = None
        ask = wired.channel().unary_unary(f"/{wire.SERVICE}/GetPendingRequest")
        async with refusal("quorum_unavailable"):
            await ask(wire.encode_pending_call(bytes(32)))

    wire_up(scenario)


def test_what_is_under_way_can_be_asked_for(wire_up, submit, refusal, ed_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        channel, subject = wired.channel(), wired.subject(ed_key)
        ask = channel.unary_unary(f"/{wire.SERVICE}/GetPendingRequest")
        jti, exp_s = str(uuid.uuid4()), int(time.time()) + 40
        name = request_hash(iss=subject, jti=jti)
        for replica in wired.replicas:
            replica.is_mute = True
        jws = wired.sign(ed_key, subject, jti=jti, exp=exp_s)
        await submit(channel, jws, wait=Wait.ADMITTED)
        pending = wire.decode_pending(await ask(wire.encode_pending_call(name)))
        assert (pending.state, pending.exp_s) == (RequestState.PENDING, exp_s)
        unknown = wire.decode_pending(await ask(wire.encode_pending_call(bytes(32))))
        assert unknown.state is RequestState.UNKNOWN
        async with refusal("parameter_invalid"):
            await ask(wire.encode_pending_call(b"short"))

    wire_up(scenario)


def test_an_operator_sees_how_the_validator_is(wire_up, submit, until, ed_key):
    async def scenario(wired):
        await wired.start(replicas=5)
        running = await wired.run_validator()
        subject = wired.subject(ed_key)
        await submit(wired.channel(), wired.sign(ed_key, subject))
        call = wired.channel(Role.OPERATOR, "operator").unary_unary(f"/{wire.SERVICE}/GetStatus")
        await until(lambda: running.service.status().replicas_connected == 5)
        status = wire.decode_status(await call(wire.encode_status_call(), timeout=10))
        assert (status.validator, status.sequence, status.pending) == (1, 2, 0)
        assert (status.replicas_connected, status.vault_connected, status.leases) == (5, True, 1)
        assert abs(status.incarnation - time.time() * 1000) < 60_000

    wire_up(scenario)


def test_a_ledger_records_a_duplicate_once(wire_up):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        call = wired.channel(Role.LEDGER, "ledger-1").unary_unary(
            f"/{wire.SERVICE}/RecordStatement"
        )
        message = wire.encode_statement(Kind.DUPLICATE, encode_duplicate(index=9, first_index=4))
        indexes = {wire.decode_stated(await call(message, timeout=10)) for _ in range(2)}
        assert len(indexes) == 1
        assert [entry.kind for entry in wired.entries] == [Kind.DUPLICATE]

    wire_up(scenario)


def test_a_ledger_records_an_access_once(wire_up, ed_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        subject = wired.subject(ed_key)
        key = load_service_key(wired.home / "ledger-1" / "keys" / KeyRole.ATTESTATION.file_name)
        said = AccessRecord(
            ledger="ledger-1", origin=wired.cell.origin, jti=str(uuid.uuid4()),
            time_s=int(time.time()), subject_id=subject, action="subject.export", role="officer",
            caller="dpo", ground="", reason="asked for in writing",
        )  # fmt: skip
        record = PrivateRecord(Kind.ACCESS, said.action, subject, sign_access(key, said))
        call = wired.channel(Role.LEDGER, "ledger-1").unary_unary(f"/{wire.SERVICE}/RecordPrivate")
        answers = [await call(wire.encode_private(record), timeout=10) for _ in range(2)]
        assert len({wire.decode_private_recorded(answer) for answer in answers}) == 1
        assert [entry.kind for entry in wired.entries] == [Kind.ACCESS]

    wire_up(scenario)


def test_a_registered_subject_is_served_by_every_validator(wire_up, submit, any_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator("validator-1")
        await wired.run_validator("validator-2")
        now_s = int(time.time())
        jws = sign_registration(
            any_key, aud=wired.cell.origin, jti=str(uuid.uuid4()), iat=now_s, exp=now_s + 60,
            svc="heptad",
        )  # fmt: skip
        call = wired.channel().unary_unary(f"/{wire.SERVICE}/RegisterSubject")
        answer = wire.decode_registered(await call(wire.encode_register(jws), timeout=10))
        assert answer.recorded.state is RequestState.COMMITTED
        request = wired.sign(any_key, answer.subject_id)
        recorded = [
            await submit(wired.channel(to=f"validator-{number}"), request)
            for number in ranked(answer.subject_id, (1, 2))
        ]
        assert [r.replayed for r in recorded] == [False, True]
        assert recorded[0].index == recorded[1].index
        assert len(wired.entries) == 1

    wire_up(scenario)


def test_a_caller_that_never_reads_its_answers_harms_nobody(wire_up, submit, ed_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        deaf = wired.channel().stream_stream(f"/{wire.SERVICE}/SubmitStream")()
        for _ in range(30):
            await deaf.write(wire.encode_items([SubmitItem(n, b"x", Wait.COMMITTED)
                                                for n in range(1_000)]))  # fmt: skip
        subject = wired.subject(ed_key)
        recorded = await submit(wired.channel(), wired.sign(ed_key, subject))
        assert recorded.state is RequestState.COMMITTED
        deaf.cancel()

    wire_up(scenario)


def test_a_stream_that_breaks_loses_its_answers_and_nothing_else(wire_up, submit, until, ed_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        subject = wired.subject(ed_key)
        jws = wired.sign(ed_key, subject)
        for replica in wired.replicas:
            replica.is_mute = True
        stream = wired.channel().stream_stream(f"/{wire.SERVICE}/SubmitStream")()
        await stream.write(wire.encode_items([SubmitItem(1, jws, Wait.COMMITTED)]))
        await until(lambda: wired.has_everywhere(1))
        stream.cancel()
        for replica in wired.replicas:
            replica.is_mute = False
        recorded = await submit(wired.channel(), jws)
        assert recorded.state is RequestState.COMMITTED
        assert recorded.replayed
        assert len(wired.entries) == 1

    wire_up(scenario)


def test_while_draining_new_requests_are_refused_and_leases_go_back(
    wire_up, submit_many, until, ed_key
):
    async def scenario(wired):
        await wired.start()
        running = await wired.run_validator()
        subject = wired.subject(ed_key)
        channel = wired.channel()
        first = await submit_many(channel, [wired.sign(ed_key, subject)])
        assert first[0].state is RequestState.COMMITTED
        await asyncio.wait_for(running.service.drain(), 10)
        await until(lambda: len(wired.ledger.returned) == 1)
        assert wired.ledger.leases[wired.ledger.returned[0]] == wired.ledger.subjects[subject][1]
        late = await submit_many(channel, [wired.sign(ed_key, subject)])
        assert isinstance(late[0], Problem)
        assert late[0].code == "draining"

    wire_up(scenario)
