"""A subject is erased on a running cell: by its own request, to the certificate, and for good."""

import asyncio
import base64

import pytest
from mesh.conftest import JOSE, Person, claims_of, eventually, register, session

from heptad.crypto.erasures import parse_certificate, parse_order, verify_attested
from heptad.runtime.attestation import attestation_keys
from heptad.wire.convert.entry import decode_entry

pytestmark = pytest.mark.timeout(240)


async def post(http, jws):
    async with http.post("/v1/requests", data=jws, headers=JOSE) as response:
        return response.status, await response.json(content_type=None)


async def stated(http, kind):
    """Statements of entries of that kind."""
    async with http.get(f"/v1/entries?kind={kind}") as response:
        found = (await response.json())["entries"]
    return [decode_entry(base64.b64decode(row["entry"])).statement for row in found]


def test_a_subject_that_asks_to_be_erased_is_erased_and_does_not_come_back(mesh):
    async def scenario():
        async with session(mesh) as http:
            anna, bert = Person.new(0), Person.new(1)
            for person in (anna, bert):
                await register(http, mesh.cell.origin, person)
            before, _ = await post(http, anna.jws(claims_of(anna, mesh.cell.origin)))
            assert before == 201
            asked = claims_of(anna, mesh.cell.origin, svc="heptad", act="subject.erase", data={})
            status, told = await post(http, anna.jws(asked))
            assert status == 201, told
            keys = attestation_keys(mesh.cell)

            async def ordered():
                return await stated(http, "ERASURE_ORDERED")

            [order] = await eventually(ordered)
            verify_attested(parse_order(order), keys)

            async def refused():
                status, told = await post(http, anna.jws(claims_of(anna, mesh.cell.origin)))
                return status == 410 and told["code"] == "subject_erased"

            await eventually(refused)

            async def erased():
                return await stated(http, "ERASED")

            [raw] = await eventually(erased, within_s=120)
            certificate = parse_certificate(raw)
            verify_attested(certificate, keys)
            assert certificate.statement.ciphertexts == 3
            assert (await post(http, bert.jws(claims_of(bert, mesh.cell.origin))))[0] == 201

    asyncio.run(scenario())
