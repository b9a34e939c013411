"""The ledger's two doors over real connections: who may come in, and a validator's whole errand."""

import asyncio

import grpc
import pytest

from heptad.crypto import signatures
from heptad.crypto.derivation import request_ref
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registration import sign_registration
from heptad.crypto.requests import parse_request
from heptad.crypto.sealing import Routing, RoutingKey, commitment, seal_record
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.lending import (
    CellKeys,
    Leases,
    LeaseSubjects,
    LookUpRequest,
    RequestFound,
    ReserveSlots,
    ReturnLeases,
    Revoked,
    Slots,
    VaultRefusal,
)
from heptad.model.queries import EntryQuery
from heptad.model.requests import request_hash
from heptad.model.subjects import subject_id
from heptad.runtime.vkeys import cell_policy
from heptad.transparency.checkpoint import verify_checkpoint
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.receipt import Receipt
from heptad.vault.errors import VaultStorageError
from heptad.wire.convert import ledger as ledger_wire
from heptad.wire.convert import ledger_queries as queries_wire
from heptad.wire.convert import vault as vault_wire
from heptad.wire.convert.entry import encode_entry
from heptad_ledger import service as ledger_service
from heptad_ledger.lending import vault_door

LEASE = f"/{vault_wire.SERVICE}/Lease"
JTI = "00000000-0000-4000-8000-000000000001"


class Stream:
    """A validator's end of the lease stream."""

    def __init__(self, call):
        self.call = call
        self.number = 0

    async def ask(self, question):
        self.number += 1
        await self.call.write(vault_wire.encode_question(self.number, question))
        number, answer = await self.next()
        assert number == self.number
        return answer

    async def next(self):
        return vault_wire.decode_answer(await self.call.read())


@pytest.fixture
def lease_stream():
    async def open_stream(world, channel):
        stream = Stream(channel.stream_stream(LEASE)(wait_for_ready=True))
        number, keys = await stream.next()
        assert number == 0
        assert isinstance(keys, CellKeys)
        return stream, keys

    return open_stream


def registering_record(world, slot, keys, key):
    """What a validator makes of a registration: (entry, sealed), subject's id."""
    origin = world.cell.origin
    payload = sign_registration(key, aud=origin, jti=JTI, iat=1, exp=2, svc="heptad")
    witness = b"\x21" * 32
    entry = encode_entry(
        Entry(
            kind=Kind.SUBJECT_REGISTERED, service="heptad", action="subject.register",
            outcome=Outcome.ALLOWED, time_ms=1, validator=1,
            commitment=commitment(witness=witness, payload=payload),
        )
    )  # fmt: skip
    ref = request_ref(cell_index_key=keys.index_key, request_id=parse_request(payload).request_id)
    sealed = seal_record(
        entry=entry,
        witness=witness,
        payload=payload,
        lease=slot.lease_key,
        routing=Routing(slot.key_ref, slot.lease_id, ref),
        routing_key=RoutingKey(keys.routing_key_id, keys.routing_key),
    )
    name = subject_id(cell_code=world.cell.code, witness=witness, payload=payload)
    return (entry, sealed), name


def test_a_validator_registers_a_subject_and_gets_a_lease_that_it_can_prove(
    world, running_ledger, lease_stream, eventually
):
    async def scenario():
        async with running_ledger(world) as service, world.channel("validator-1") as channel:
            stream, keys = await lease_stream(world, channel)
            slots = await stream.ask(ReserveSlots(2))
            assert isinstance(slots, Slots)
            key = Ed25519Key(b"\x31" * 32)
            record, name = registering_record(world, slots.slots[0], keys, key)
            # when it asks for the lease before the registration is even committed
            question = asyncio.create_task(stream.ask(LeaseSubjects((name,), 5_000)))
            await asyncio.sleep(0)
            world.commit(world.group.batch([record]))
            leases = await question
            # then the answer comes with the checkpoint, and all of it can be proved
            assert isinstance(leases, Leases)
            [lease] = leases.leases
            assert (lease.refused_code, lease.key_ref) == ("", slots.slots[0].key_ref)
            [evidence] = lease.keys
            receipt = Receipt.parse(evidence.proof)
            checkpoint = verify_checkpoint(
                receipt.checkpoint, policy=cell_policy(world.cell), verify=signatures.verify
            )
            verify_inclusion(
                leaf_index=evidence.index, tree_size=checkpoint.size,
                leaf_hash=leaf_hash(evidence.entry), proof=receipt.proof,
                root_hash=checkpoint.root,
            )  # fmt: skip
            assert evidence.entry == record[0]
            # and the registration is found by its request
            request_id = request_hash(iss=key.public.kid, jti=JTI)
            found = await stream.ask(LookUpRequest(request_id, "", 1))
            assert isinstance(found, RequestFound)
            assert found.subject_id == name
            # and what is lent is on record until it is given back
            assert len(service._loans) == 3
            returned = ReturnLeases((lease.lease_id, slots.slots[1].lease_id))
            await stream.call.write(vault_wire.encode_question(99, returned))
            await eventually(lambda: len(service._loans) == 1)

    asyncio.run(scenario())


def test_pushes_reach_every_validator_and_the_stream_ends_with_the_ledger(
    world, running_ledger, lease_stream
):
    async def scenario():
        async with (
            running_ledger(world) as service,
            world.channel("validator-1") as one,
            world.channel("validator-2") as two,
        ):
            streams = [(await lease_stream(world, channel))[0] for channel in (one, two)]
            service._vault_door.push_revoked(("ab-x",))
            assert [await s.next() for s in streams] == [(0, Revoked(("ab-x",)))] * 2
            service._parts.vault.rotate_routing_key(now_ms=1)
            service._vault_door.push_cell_keys()
            pushed = [(await stream.next())[1] for stream in streams]
            assert [keys.routing_key_id for keys in pushed] == [2, 2]
            await service.drain()
            for stream in streams:
                assert await stream.call.read() is grpc.aio.EOF
            assert service._vault_door.session_count == 0

    asyncio.run(scenario())


def test_whose_stream_was_down_is_told_what_was_revoked_meanwhile(
    world, running_ledger, lease_stream
):
    async def scenario():
        async with running_ledger(world) as service:
            service._vault_door.push_revoked(("ab-x", "ab-y"))
            async with world.channel("validator-1") as channel:
                stream, _ = await lease_stream(world, channel)
                assert await stream.next() == (0, Revoked(("ab-x", "ab-y")))

    asyncio.run(scenario())


def test_changed_keys_are_pushed_to_validators_that_can_then_lease_them(
    world, running_ledger, lease_stream, kit
):
    async def scenario():
        async with running_ledger(world) as service, world.channel("validator-1") as channel:
            stream, _ = await lease_stream(world, channel)
            cell, group = world.cell, world.group
            office = kit.Office(service._parts.vault, origin=cell.origin, cell_code=cell.code)
            anna, phone = office.register(1), Ed25519Key(b"p" * 32)
            world.commit(group.batch([anna.registration]))
            world.commit(group.batch([office.add_key(anna, phone)]))
            assert await stream.next() == (0, Revoked((anna.subject_id,)))
            leases = await stream.ask(LeaseSubjects((anna.subject_id,)))
            kids = [key.kid for key in leases.leases[0].keys]
            assert kids == [anna.key.public.kid, phone.public.kid]
            world.commit(group.batch([office.revoke_key(anna, anna.key, by=phone)]))
            assert await stream.next() == (0, Revoked((anna.subject_id,)))
            leases = await stream.ask(LeaseSubjects((anna.subject_id,)))
            assert [key.revoked for key in leases.leases[0].keys] == [True, False]

    asyncio.run(scenario())


def test_a_question_beyond_its_limits_is_refused_by_its_number(world, running_ledger, lease_stream):
    async def scenario():
        async with running_ledger(world), world.channel("validator-1") as channel:
            stream, _ = await lease_stream(world, channel)
            refusal = await stream.ask(ReserveSlots(5_000))
            assert isinstance(refusal, VaultRefusal)
            assert refusal.code == "parameter_invalid"
            late = await stream.ask(LookUpRequest(b"x" * 32, "", 2**40))
            assert late.code == "vault_unavailable"
            assert isinstance(await stream.ask(ReserveSlots(1)), Slots)

    asyncio.run(scenario())


def test_a_vault_that_has_failed_ends_the_process(world, running_ledger, lease_stream, monkeypatch):
    """What a failed commit has left, only opening the vault again can tell."""

    async def scenario():
        async with running_ledger(world) as service, world.channel("validator-1") as channel:
            stream, _ = await lease_stream(world, channel)

            def fail(count):
                raise VaultStorageError("commit of unknown outcome")

            monkeypatch.setattr(service._parts.vault, "allocate", fail)
            refusal = await stream.ask(ReserveSlots(1))
            assert refusal.code == "vault_unavailable"
            await service._context.tasks.failed.wait()
            assert isinstance(service._context.tasks.error, VaultStorageError)
            service._context.tasks._error = None

    asyncio.run(scenario())


@pytest.mark.parametrize("garbage", [b"\xff\xff", b"\x08\x07"])
def test_garbage_ends_a_lease_stream_with_its_code(world, running_ledger, lease_stream, garbage):
    async def scenario():
        async with running_ledger(world), world.channel("validator-1") as channel:
            stream, _ = await lease_stream(world, channel)
            await stream.call.write(garbage)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.call.read()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(scenario())


def test_many_questions_at_once_are_all_answered(world, running_ledger, lease_stream):
    async def scenario():
        async with running_ledger(world), world.channel("validator-1") as channel:
            stream, _ = await lease_stream(world, channel)
            count = 3 * vault_door.QUESTIONS_MAX

            async def write():
                for number in range(1, count + 1):
                    question = LookUpRequest(number.to_bytes(32, "big"), "ab-x")
                    await stream.call.write(vault_wire.encode_question(number, question))

            writer = asyncio.create_task(write())
            answers = dict([await stream.next() for _ in range(count)])
            await writer
            assert sorted(answers) == list(range(1, count + 1))
            assert set(answers.values()) == {RequestFound(False)}

    asyncio.run(scenario())


@pytest.mark.parametrize("caller", ["gateway-1", "replica-3", "operator"])
def test_only_validators_may_lease(world, running_ledger, caller):
    async def scenario():
        async with running_ledger(world), world.channel(caller) as channel:
            stream = channel.stream_stream(LEASE)(wait_for_ready=True)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED

    asyncio.run(scenario())


def test_reads_are_for_gateways_services_auditors_and_operators_only(world, running_ledger, call):
    async def scenario():
        async with running_ledger(world):
            for method in ledger_service.METHODS:
                path = f"/{ledger_wire.SERVICE}/{method}"
                for caller in ("validator-1", "replica-2"):
                    assert await call(world, caller, path) == "role_refused"
                for caller in ("gateway-1", "operator"):
                    assert await call(world, caller, path) != "role_refused"

    asyncio.run(scenario())


def test_reads_answer_with_stable_codes(world, running_ledger, call, eventually):
    async def scenario():
        async with running_ledger(world) as service:

            async def ask(method, request=b""):
                return await call(world, "operator", f"/{ledger_wire.SERVICE}/{method}", request)

            assert await ask("GetCheckpoint") == "checkpoint_pending"
            assert await ask("GetEntry", ledger_wire.encode_entry_call(0)) == "checkpoint_pending"
            world.commit(world.group.batch([(b"a", b""), (b"b", b"")]))
            await eventually(lambda: service._publisher.size.value == 2)
            status = ledger_wire.decode_status(await ask("GetStatus"))
            assert (status.ledger, status.height, status.size) == (1, 1, 2)
            assert (status.checkpoint_size, status.root) == (2, world.group.head().root)
            assert status.replicas_connected == 7
            entry = await ask("GetEntry", ledger_wire.encode_entry_call(1))
            assert ledger_wire.decode_entry(entry) == (1, b"b")
            page = await ask("ListEntries", queries_wire.encode_list_call(EntryQuery()))
            found = queries_wire.decode_page(page).entries
            assert [entry.data for entry in found] == [b"a", b"b"]
            tile = await ask("GetTile", ledger_wire.encode_tile_call("tile/entries/000.p/2"))
            assert ledger_wire.decode_tile(tile) == b"\0\1a\0\1b"
            proof = await ask("GetInclusionProof", ledger_wire.encode_inclusion_call(0))
            assert ledger_wire.decode_inclusion(proof).hashes == (leaf_hash(b"b"),)
            for method, request, code in [
                ("GetEntry", ledger_wire.encode_entry_call(2), "index_out_of_range"),
                ("GetTile", ledger_wire.encode_tile_call("tile/0/000.p/1"), "not_found"),
                ("GetTile", ledger_wire.encode_tile_call("../x"), "parameter_invalid"),
                ("GetReceipt", ledger_wire.encode_receipt_call(b"x" * 32), "request_unknown"),
                ("GetReceipt", ledger_wire.encode_receipt_call(b"x"), "parameter_invalid"),
                ("GetCheckpoint", ledger_wire.encode_checkpoint_call(1), "not_found"),
                ("GetConsistencyProof", b"\xff", "frame_malformed"),
            ]:
                assert await ask(method, request) == code

    asyncio.run(scenario())


def test_the_metrics_say_how_far_the_ledger_is(world, running_ledger, eventually):
    async def scenario():
        async with running_ledger(world) as service:
            world.commit(world.group.batch([(b"a", b"")]))
            await eventually(lambda: service._publisher.size.value == 1)
            text = service._context.metrics.exposition().decode()
            lines = dict(
                line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")
            )
            assert lines["ledger_log_size"] == "1.0"
            assert lines["ledger_published_size"] == "1.0"
            assert float(lines["ledger_checkpoint_cosignatures"]) >= 5
            assert float(lines["ledger_checkpoint_time_seconds"]) > 1.7e9
            assert lines['ledger_lag_blocks{replica="replica-4"}'] == "0.0"
            assert 'ledger_cosignatures_total{replica="replica-1",verdict="good"}' in lines
            assert lines["vault_leases_active"] == "0.0"

    asyncio.run(scenario())
