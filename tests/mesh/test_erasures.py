"""A person is erased, from the outside: by HTTP with a JOSE library of others, and by officers.

The story: two people use the cell. One is put on hold, asks, is refused, and is let go again. The
other asks to be erased and gets a certificate that proves itself off line; every receipt from
before still holds, the log still hashes to its root, the neighbour goes on, and who is erased stays
erased. An officer erases a third.
"""

import asyncio
import json
import time
from functools import partial

import pytest

from heptad.client import connect, connect_officer
from heptad.crypto.keys import Ed25519Key
from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround
from heptad.model.problems import Problem
from heptad.model.requests import request_id_of
from heptad.runtime.attestation import attestation_keys_at
from heptad.transparency.policy import Policy
from heptad.verification import (
    CertificateFile,
    ReceiptFile,
    examine_certificate_file,
    open_source,
    verify_log,
    verify_receipt_file,
)

ERASED_S_MAX = 170.0
"""Leases of a cell that has just begun run out after 65 s; the machine may be busy."""


@pytest.fixture(scope="module")
def policy(mesh):
    return Policy.parse((mesh.home / "policy").read_bytes())


async def ask(http, tools, mesh, person):
    """`POST /v1/subjects/me/erasure`, signed by the person: status and members."""
    jws = person.jws(
        tools.claims_of(person, mesh.cell.origin, svc="heptad", act="subject.erase", data={})
    )
    headers = {"Authorization": f"Heptad {jws.decode()}"}
    async with http.post("/v1/subjects/me/erasure", headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def stands(http, tools, location, *states):
    """How an erasure stands once its state is one of these, with the proof where there is one."""

    async def there():
        async with http.get(location) as response:
            members = await response.json(content_type=None)
        is_there = response.status == 200 and members["state"] in states
        is_shown = not {"certificate", "refusal"}.isdisjoint(members)
        return members if is_there and is_shown else None

    return await tools.eventually(there, within_s=ERASED_S_MAX)


def judged(mesh, policy, certificate, subject):
    return examine_certificate_file(
        CertificateFile.parse(json.dumps(certificate).encode()), policy=policy,
        keys=partial(attestation_keys_at, mesh.cell), now_s=int(time.time()), subject_id=subject,
    )  # fmt: skip


def hold_of(mesh, subject, *, lift=False):
    async def decide():
        async with connect_officer(mesh.home / "clients" / "officer") as officer:
            act = officer.lift_hold if lift else officer.set_hold
            return await act(subject, ground=RefusalGround.LEGAL_HOLD, reason="a law suit")

    return decide()


def test_a_person_is_erased_and_everything_else_holds(mesh, tools, policy):
    async def story():
        anna, ben = await tools.new_people(mesh, 2)
        crowd = tools.Crowd(mesh, [anna, ben])
        async with tools.session(mesh) as http:
            for person in (anna, ben, ben):
                await crowd.insist(http, person.jws(tools.claims_of(person, mesh.cell.origin)))
            receipts = await tools.receipts_of(mesh, list(crowd.acknowledged))
            status, members = await ask(http, tools, mesh, ben)
            assert status == 202, members
            assert members["state"] in ("received", "ordered")
            assert ben.subject not in json.dumps(members)
            members = await stands(http, tools, members["location"], "erased", "refused")
            report = judged(mesh, policy, members["certificate"], ben.subject)
            report.require()
            certificate = report.certificate
            assert certificate.ordered_by is OrderedBy.SUBJECT
            # The registration, two requests, the request to be erased.
            assert certificate.ciphertexts == 4
            assert certificate.read_back
            assert not judged(mesh, policy, members["certificate"], anna.subject).holds

            for data in receipts.values():
                file = ReceiptFile.parse(data)
                verify_receipt_file(file, policy=policy, now_s=int(time.time()))

            jws = ben.jws(tools.claims_of(ben, mesh.cell.origin))
            async with http.post(
                "/v1/requests", data=jws, headers={"Content-Type": "application/jose"}
            ) as response:
                assert (response.status, (await response.json(content_type=None))["code"]) == (
                    410, "subject_erased",
                )  # fmt: skip
            status, again = await ask(http, tools, mesh, ben)
            assert (status, again) == (200, members)
            await crowd.insist(http, anna.jws(tools.claims_of(anna, mesh.cell.origin)))

            headers = {"Accept": "text/html"}
            async with http.get(members["location"], headers=headers) as response:
                page = await response.text()
            assert "Certificate of erasure" in page
            assert ben.subject not in page
            return await tools.checkpoint(http, size_min=report.in_log.leaf_index + 1)

    note = asyncio.run(story())
    with open_source(mesh.gateway_url) as source:
        verify_log(source.read, policy=policy, now_s=int(time.time()), note=note)


def test_a_person_on_hold_is_refused_with_the_ground_and_not_erased(mesh, tools):
    async def story():
        [anna] = await tools.new_people(mesh, 1)
        [hold] = await hold_of(mesh, anna.subject)
        assert hold.ground is RefusalGround.LEGAL_HOLD
        async with tools.session(mesh) as http:
            _, members = await ask(http, tools, mesh, anna)
            members = await stands(http, tools, members["location"], "erased", "refused")
            assert (members["state"], members["refusal_ground"]) == ("refused", "legal_hold")
            assert "decide_by_ms" not in members
            assert "certificate" not in members
            crowd = tools.Crowd(mesh, [anna])
            await crowd.insist(http, anna.jws(tools.claims_of(anna, mesh.cell.origin)))
            entry = await stands_in_log(http, tools, members)
            assert entry["kind"] == "ERASURE_REFUSED"
        assert await hold_of(mesh, anna.subject, lift=True) == ()

    asyncio.run(story())


async def stands_in_log(http, tools, members):
    async def published():
        async with http.get(members["refusal"]) as response:
            return await response.json(content_type=None) if response.status == 200 else None

    return await tools.eventually(published)


def test_an_officer_erases_and_the_sdk_brings_the_certificate(mesh, tools, policy):
    async def story():
        key = Ed25519Key.generate()
        async with connect(mesh.home / "clients" / "tax-portal") as client:
            carol = (await client.register(key)).subject_id
        async with connect_officer(mesh.home / "clients" / "officer") as officer:
            unknown = "xx-" + "a" * 26
            ordered, refused = await officer.order(
                [carol, unknown], ground=ErasureGround.NO_LONGER_NEEDED, reason="asked by letter"
            )
            assert refused.refused_code == "subject_unknown"
            told = await officer.erasure(ordered.request_id)
            assert told.ordered_by is OrderedBy.OFFICER
            file = await officer.certificate(ordered.request_id, wait_s=ERASED_S_MAX)
            report = judged(mesh, policy, json.loads(file.encode()), carol)
            report.require()
            assert report.certificate.ground is ErasureGround.NO_LONGER_NEEDED
            assert (await officer.erasure(carol)).state is ErasureState.ERASED
            [again] = await officer.order(
                [carol], ground=ErasureGround.OBJECTION, reason="once more"
            )
            assert again.refused_code == "subject_erased"
        async with connect(mesh.home / "clients" / "tax-portal") as client:
            with pytest.raises(Problem, match="subject_erased"):
                await client.erase(subject=carol, key=key)
            told = await client.erasure(request_id_of(ordered.request_id))
            assert told.state is ErasureState.ERASED
            assert told.subject_id == ""

    asyncio.run(story())


def test_an_officers_call_is_nobody_elses(mesh):
    async def story():
        for name in ("tax-portal", "operator", "auditor"):
            async with connect_officer(mesh.home / "clients" / name) as other:
                with pytest.raises(Problem, match="role_refused"):
                    await other.order(
                        ["kn-" + "a" * 26], ground=ErasureGround.OBJECTION, reason="no officer"
                    )

    asyncio.run(story())
