"""The door that hands out personal data, over real TLS: who may, and that a caller may go."""

import asyncio

import grpc
import pytest

from heptad.model.exporting import OfficersExport, OpenReceipt, SubjectsExport
from heptad.runtime.status import problem_of
from heptad.wire.convert import exports as wire
from heptad_ledger.privacy.access_door import EXPORT, ROLES

OPEN = f"/{wire.SERVICE}/OpenReceipt"
CALL = wire.encode_export_call(OfficersExport("kn-" + "a" * 26, "why"))
OPENING = wire.encode_open_receipt_call(OpenReceipt(b"jws", b"i" * 32))


async def first_part(world, caller, request):
    """The first part of an export, or the code of the refusal."""
    async with world.channel(caller) as channel:
        stream = channel.unary_stream(EXPORT)(request, timeout=10, wait_for_ready=True)
        try:
            return await stream.read()
        except grpc.aio.AioRpcError as error:
            return problem_of(error, unavailable="ledger_unavailable").code


@pytest.mark.parametrize("caller", ["replica-1", "validator-1", "operator"])
def test_others_get_neither_exports_nor_receipts(world, running_ledger, call, caller):
    async def scenario():
        async with running_ledger(world):
            assert await first_part(world, caller, CALL) == "role_refused"
            assert await call(world, caller, OPEN, OPENING) == "role_refused"

    asyncio.run(scenario())


def test_a_gateway_has_no_reason_of_its_own(world, running_ledger):
    async def scenario():
        async with running_ledger(world):
            assert await first_part(world, "gateway-1", CALL) == "role_refused"
            word = wire.encode_export_call(SubjectsExport(b"rubbish"))
            assert await first_part(world, "gateway-1", word) == "jws_malformed"
            assert await first_part(world, "gateway-1", b"\xff\xff") == "frame_malformed"

    asyncio.run(scenario())


def test_every_call_of_the_door_is_for_some_roles():
    assert {EXPORT, OPEN} <= set(ROLES)
    assert all(ROLES.values())
