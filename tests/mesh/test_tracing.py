"""One trace id from HTTP to the checkpoint, on a whole cell; and nothing for who did not ask."""

import asyncio
import json
import secrets
import subprocess
import sys

import pytest
from mesh.conftest import (
    JOSE,
    Person,
    claims_of,
    eventually,
    new_people,
    registration_of,
    session,
)

from heptad.observability.trace_files import in_order, spans_of_trace

pytestmark = pytest.mark.timeout(240)

CANARY = "zebra-crossing-4711"


def trace_files(mesh):
    return sorted(mesh.home.glob("*/data/traces.jsonl*"))


def new_traceparent(flags="01"):
    trace_id = secrets.token_hex(16)
    return trace_id, f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"


async def post(http, mesh, person, traceparent):
    jws = person.jws(claims_of(person, mesh.cell.origin, data={"note": CANARY}))
    headers = {**JOSE, "traceparent": traceparent}
    async with http.post("/v1/requests", data=jws, headers=headers) as response:
        members = await response.json(content_type=None)
        assert response.status == 201, members
        assert response.headers["traceparent"] == traceparent
        return members["request_id"], jws


async def spans_within(mesh, trace_id, *, replicas=5):
    """The spans, once the ledger has published and so many replicas have committed."""

    async def whole():
        spans = spans_of_trace(trace_files(mesh), trace_id)
        committed = {span.service for span in spans if span.name == "replica.batch"}
        names = {span.name for span in spans}
        is_whole = len(committed) >= replicas and {"ledger.block", "gateway.request"} <= names
        return spans if is_whole and "validator.request" in names else None

    return await eventually(whole)


def test_one_trace_shows_a_requests_way_from_http_to_the_checkpoint(mesh):
    trace_id, traceparent = new_traceparent()

    async def story():
        (person,) = await new_people(mesh, 1)
        async with session(mesh) as http:
            request_id, jws = await post(http, mesh, person, traceparent)
        return person, request_id, jws, await spans_within(mesh, trace_id)

    person, request_id, jws, spans = asyncio.run(story())
    by_id = {span.span_id: span for span in spans}
    above = {span.span_id: by_id.get(span.parent_id) for span in spans}
    parents = {}
    for span in spans:
        parent = above[span.span_id]
        parents.setdefault(span.name, set()).add(parent.name if parent else None)
        assert span.end_ns >= span.start_ns
        assert parent is None or span.start_ns >= parent.start_ns
    assert parents["gateway.request"] == {None}
    assert parents["validator.request"] == {"gateway.request"}
    assert parents["validator.admission"] == parents["validator.seal"] == {"validator.request"}
    assert parents["validator.batch"] == {"validator.request"}
    assert parents["replica.batch"] == {"validator.batch"}
    assert parents["replica.order"] == parents["replica.commit"] == {"replica.batch"}
    assert parents["replica.cosign"] == {"replica.batch"}
    assert parents["ledger.block"] == {"replica.batch"}
    assert parents["ledger.fetch"] == parents["ledger.publish"] == {"ledger.block"}
    roots = [span.parent_id for depth, span in in_order(spans) if not depth]
    assert roots == [traceparent.split("-")[2]]

    shown = heptad("trace", trace_id, "--home", mesh.home)
    assert "gateway.request" in shown
    assert "ledger.publish" in shown
    found = json.loads(heptad("trace", request_id, "--home", mesh.home, "--json"))
    assert trace_id in {row["trace_id"] for row in found["spans"]}

    written = b"".join(path.read_bytes() for path in trace_files(mesh))
    for secret in (CANARY, request_id, person.subject, jws.decode(), person.key.thumbprint()):
        assert secret.encode() not in written


def test_a_registration_is_traced_too(mesh):
    trace_id, traceparent = new_traceparent()

    async def story():
        data = registration_of(Person.new(), mesh.cell.origin)
        headers = {**JOSE, "traceparent": traceparent}
        async with (
            session(mesh) as http,
            http.post("/v1/subjects", data=data, headers=headers) as response,
        ):
            assert response.status == 201
        await spans_within(mesh, trace_id)

    asyncio.run(story())


def test_what_is_not_sampled_leaves_no_span_anywhere(mesh):
    unsampled_id, unsampled = new_traceparent("00")
    trace_id, traceparent = new_traceparent()

    async def story():
        (person,) = await new_people(mesh, 1)
        async with session(mesh) as http:
            await post(http, mesh, person, unsampled)
            # one that is sampled comes after it: once that is whole, the other had its time
            await post(http, mesh, person, traceparent)
        await spans_within(mesh, trace_id)

    asyncio.run(story())
    assert spans_of_trace(trace_files(mesh), unsampled_id) == []


def heptad(*arguments):
    command = [sys.executable, "-m", "heptad.cli.main", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
