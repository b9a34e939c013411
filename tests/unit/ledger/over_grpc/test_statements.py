"""A later copy of a request ends as one public statement in the log, whatever validators do."""

import asyncio

import grpc

from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.problems import Problem
from heptad.runtime.channels import create_server, listen
from heptad.runtime.guard import peer_identity
from heptad.runtime.status import status_of
from heptad.wire.convert import validator as wire
from heptad.wire.convert.entry import encode_entry
from heptad.wire.convert.entry_facts import decode_duplicate
from heptad_ledger import duplicates


class FakeValidator:
    """Records statements: commits an entry for each, as the real one would."""

    def __init__(self, world, number):
        self.world, self.number = world, number
        self.recorded = []
        self.is_draining = False
        self._server = None

    async def start(self):
        name = f"validator-{self.number}"
        self._server = create_server()
        table = {"RecordStatement": grpc.unary_unary_rpc_method_handler(self._record)}
        handler = grpc.method_handlers_generic_handler(wire.SERVICE, table)
        self._server.add_generic_rpc_handlers((handler,))
        address = self.world.cell.member_addresses()[name]
        listen(self._server, address=address, tls=self.world.tls_of(name))
        await self._server.start()

    async def stop(self):
        await self._server.stop(None)

    async def _record(self, data, context):
        assert peer_identity(context).id == "ledger-1"
        if self.is_draining:
            await context.abort_with_status(status_of(Problem("draining", "about to stop")))
        kind, statement = wire.decode_statement(data)
        self.recorded.append((kind, decode_duplicate(statement)))
        index = len(self.world.group.entries)
        entry = encode_entry(Entry(kind, "heptad", "", Outcome.NONE, 1, 1, b"", statement))
        self.world.commit(self.world.group.batch([(entry, b"")]))
        return wire.encode_stated(index)


def test_a_copy_is_stated_once_although_the_first_validator_refuses(
    world, running_ledger, eventually, kit, monkeypatch
):
    monkeypatch.setattr(duplicates, "START_PAUSE_S", 0.0)
    monkeypatch.setattr(duplicates, "RETRY_S", 0.05)

    async def scenario():
        validators = [FakeValidator(world, number) for number in (1, 2)]
        for validator in validators:
            await validator.start()
        validators[0].is_draining = True
        async with running_ledger(world) as service:
            # given a ledger that finds one request twice in the log
            vault = service._parts.vault
            office = kit.Office(vault, origin=world.cell.origin, cell_code=world.cell.code)
            anna, jti = office.register(1), office.jti()
            assert isinstance(anna.key, Ed25519Key)
            copies = [office.request(anna, jti=jti, witness=bytes([n]) * 32)[0] for n in (1, 2)]
            world.commit(world.group.batch([anna.registration, *copies]))
            # then the second validator records it, and the queue is empty
            await eventually(lambda: service._store.state.size == 4)
            with service._store.snapshot() as snapshot:
                assert snapshot.duplicates(count_max=9) == []
            assert service._status().duplicates == 1
            await asyncio.sleep(0.2)
        assert validators[0].recorded == []
        assert validators[1].recorded == [(Kind.DUPLICATE, (2, 1))]
        for validator in validators:
            await validator.stop()

    asyncio.run(scenario())
