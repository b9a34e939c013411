"""Canaries through every door of a cell: in what is recorded, and in what is refused.

Whatever a person or a service can put a text into gets one: payloads, names, ids, addresses,
headers, bodies, metadata. What is refused matters as much as what is recorded, since an error's
path is where a text is copied into a message, a line of log, a label.
"""

import gzip
import json
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from heptad.client import Bundle, Event, sign_new_subject
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.model import base64url
from heptad.model.answers import Wait
from heptad.model.entry import Kind
from heptad.model.own_actions import OWN_SERVICE
from heptad.model.requests import request_hash, request_id_of
from heptad.trials.privacy import own_calls
from heptad.trials.privacy.raw_http import send
from heptad.trials.privacy.ways import JOSE, JSON, LEDGER, VALIDATOR, Key, Ways
from heptad.wire.convert import validator as validator_wire

BATCH: Final = 20
EVENTS: Final = 9
_HEADER: Final = {"alg": "EdDSA", "typ": "heptad-request+jws", "kid": "A" * 43}
_TEXT_HEADERS: Final = (
    "Authorization", "Cookie", "User-Agent", "Referer", "traceparent", "Prefer", "Accept",
    "If-None-Match", "X-Forwarded-For", "Last-Event-ID", "X-Note",
)  # fmt: skip


async def plant(ways: Ways) -> None:
    """All of it. Raises: TrialFault if the cell does not take what is good."""
    anna, ben = P256Key.generate(), Ed25519Key.generate()
    for key in (anna, ben):
        await _register(ways, key)
    await _record_requests(ways, anna, ben)
    await _record_bundles(ways, ways.subjects[anna])
    await own_calls.change_keys(ways, anna)
    await own_calls.hold(ways, anna)
    await own_calls.take_out(ways, anna)
    await _refuse_requests(ways, anna, ben)
    await _refuse_bodies(ways)
    await _refuse_heads(ways)
    await _refuse_calls(ways)
    await own_calls.refuse_own_calls(ways, ben)
    await own_calls.erase(ways, ben, anna)


# What is recorded.


async def _register(ways: Ways, key: Key) -> None:
    public = key.public
    ways.secret("a device's key id", public.kid.encode())
    # The x coordinate is what a JWK spells; an Ed25519 key is nothing but that.
    ways.secret("a device's public key", public.raw[-64:][:32])
    jws = sign_new_subject(key, audience=ways.mesh.cell.origin, service=ways.service)
    members = await ways.accepted("/v1/subjects", jws)
    subject = str(members["subject_id"])
    ways.subjects[key] = subject
    ways.secret("a subject's id", subject.encode())


async def _record_requests(ways: Ways, anna: Key, ben: Key) -> None:
    """One by one and many at once over HTTP, on a stream over gRPC; and one that is denied."""
    first = ways.signed(anna, "payload", is_secret=True)
    recorded = await ways.accepted("/v1/requests", first)
    request_id = str(recorded["request_id"])
    batch = [ways.signed(ben, f"batch-{number}").decode() for number in range(BATCH)]
    await ways.accepted("/v1/requests:batch", json.dumps(batch).encode(), JSON)
    await ways.client.submit(ways.signed(ben, "stream", is_secret=True))
    # Denied by policy: an entry that must not carry the name that it was denied for.
    denied = ways.signed(anna, "denied", action=ways.text("action"))
    await ways.posted("/v1/requests", denied, what="denied")
    ways.recorded += 2
    await ways.client.receipt(request_id)
    for path in ("", "/receipt"):
        async with ways.http.get(f"/v1/requests/{request_id}{path}") as reply:
            await reply.read()


async def _record_bundles(ways: Ways, subject: str) -> None:
    """The same events over gRPC and, as another bundle, over HTTP."""
    now_ms = time.time_ns() // 1_000_000
    payloads = [json.dumps({"note": ways.text("event"), "n": n}).encode() for n in range(EVENTS)]
    events = [Event(subject, ways.action, payload, now_ms) for payload in payloads]
    bundle = ways.client.sign_bundle(events)
    await ways.client.submit_bundle(bundle)
    # The statement is public, signature and all.
    ways.public = bundle.statement.rpartition(b".")[2]
    await ways.accepted("/v1/bundles", _bundle_body(ways.client.sign_bundle(events)), JSON)
    ways.recorded += 1 + 2 * EVENTS


# What is refused.


async def _refuse_requests(ways: Ways, anna: Key, ben: Key) -> None:
    """Requests with something wrong in each of their parts, and a canary in that part."""
    text, good = ways.text, ways.signed(ben, "refused")
    past_s = int(time.time()) - 7_200
    wrong = {
        "service": ways.signed(ben, "x", service=text("service")),
        "own service": ways.signed(ben, "x", service=OWN_SERVICE, action=text("own-action")),
        "signature": good[:-8] + b"AAAAAAAA",
        "expired": ways.signed(ben, "expired", now_s=past_s),
        "audience": ways.signed(ben, "x", audience=text("audience")),
        "subject": ways.signed(ben, "x", subject=text("subject")),
        "key of another": ways.signed(ben, "stolen", subject=ways.subjects[anna]),
        "header": _spelt({**_HEADER, "typ": text("typ"), text("member"): "x"}, {}),
        "kid": _spelt({**_HEADER, "kid": text("kid")}, _claims_of(good)),
        "algorithm": _spelt({**_HEADER, "alg": text("alg")}, _claims_of(good)),
        "claims": _spelt(_HEADER, {text("claim"): text("value")}),
        "jti": _spelt(_HEADER, {**_claims_of(good), "jti": text("jti")}),
        "member twice": _spelt(_HEADER, b'{"a":1,"a":"%b"}' % text("twice").encode()),
        "no JWS": text("body").encode(),
    }
    for what, jws in wrong.items():
        await ways.posted("/v1/requests", jws, what=what)
        await ways.posted("/v1/subjects", jws, what=f"registration, {what}")
        call = validator_wire.encode_submit(jws, Wait.COMMITTED)
        await ways.called(f"{VALIDATOR}/Submit", call, what=what)
        await ways.called(f"{VALIDATOR}/RegisterSubject", call, what=f"registration, {what}")


async def _refuse_bodies(ways: Ways) -> None:
    text = ways.text
    canary = text("body").encode()
    bodies: list[tuple[str, bytes, Mapping[str, str]]] = [
        ("/v1/requests", canary, {"Content-Type": f"text/{text('type')}"}),
        ("/v1/requests", canary * 2_000, JOSE),
        ("/v1/requests", gzip.compress(canary), {**JOSE, "Content-Encoding": "gzip"}),
        ("/v1/requests:batch", canary, JSON),
        ("/v1/requests:batch", json.dumps({text("member"): 1}).encode(), JSON),
        ("/v1/requests:batch", json.dumps([text("jws"), {text("item"): 1}]).encode(), JSON),
        ("/v1/requests:batch", json.dumps([text("jws")]).encode(), JSON),
        ("/v1/bundles", canary, JSON),
        ("/v1/bundles", json.dumps({"statement": text("jws"), "events": []}).encode(), JSON),
        ("/v1/bundles", _bundle_of_a_stranger(ways), JSON),
        ("/v1/subjects", canary, JSON),
        (f"/v1/{text('path')}", canary, JSON),
    ]
    for path, body, headers in bodies:
        await ways.posted(path, body, headers)


async def _refuse_heads(ways: Ways) -> None:
    """Addresses, headers and bytes that are no HTTP."""
    text = ways.text
    unknown = request_id_of(request_hash(iss="nobody", jti=text("jti")))
    ways.secret("an unknown request's handle", request_hash(iss="nobody", jti=text("jti")))
    paths = (
        f"/{text('path')}",
        f"/v1/requests/{text('id')}",
        f"/v1/requests/{unknown}",
        f"/v1/requests/{unknown}/receipt",
        f"/v1/entries?service={text('service')}",
        f"/v1/entries?page_token={text('token')}",
        f"/v1/entries?{text('parameter')}=1",
        f"/v1/entries/{text('index')}",
        f"/tile/{text('tile')}",
        f"/errors/{text('code')}",
        f"/web/{text('name')}",
    )
    headers = "".join(f"{name}: {text('header')}\r\n" for name in _TEXT_HEADERS)
    heads = [
        *(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" for path in paths),
        f"GET /v1 HTTP/1.1\r\nHost: h\r\n{headers}Connection: close\r\n\r\n",
        f"GET /nowhere HTTP/1.1\r\nHost: h\r\n{headers}Connection: close\r\n\r\n",
        f"{text('method').upper()} / HTTP/1.1\r\nHost: h\r\n\r\n",
        f"GET /{text('path')} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: h\r\n{text('no colon')}\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: {text('host')}\r\nContent-Length: {text('length')}\r\n\r\n",
        f"GET /{text('long') * 2_000} HTTP/1.1\r\nHost: h\r\n\r\n",
    ]
    for number, head in enumerate(heads):
        answer = await send(ways.mesh.cell.gateways[0].http, head.encode())
        ways.refused(f"HTTP, head {number}", answer)


async def _refuse_calls(ways: Ways) -> None:
    """gRPC: garbage, methods that do not exist, a role that is not ours."""
    garbage = ways.text("garbage").encode()
    framed = b"\x0a" + bytes((len(garbage),)) + garbage
    own = ways.text("method")
    methods = [
        *(f"{VALIDATOR}/{name}" for name in ("Submit", "RegisterSubject", "SubmitBundle")),
        *(f"{VALIDATOR}/{name}" for name in ("GetPendingRequest", "GetStatus", own)),
        *(f"{LEDGER}/{name}" for name in ("ListEntries", "CountEntries", "ListCheckpoints")),
        *(f"{LEDGER}/{name}" for name in ("GetTile", "GetReceipt", "GetRequestStatus", own)),
    ]
    for method in methods:
        await ways.called(method, garbage)
        await ways.called(method, framed)
    statement = validator_wire.encode_statement(Kind.DUPLICATE, garbage)
    await ways.called(f"{VALIDATOR}/RecordStatement", statement, what="a ledger's call")


# Spelling.


def _bundle_of_a_stranger(ways: Ways) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    event = Event(ways.text("stranger"), ways.action, ways.text("event").encode(), now_ms)
    return _bundle_body(ways.client.sign_bundle([event]))


def _bundle_body(bundle: Bundle) -> bytes:
    """A bundle as JSON, for the gateway."""
    events = [
        {
            "subject": event.subject,
            "action": event.action,
            "outcome": event.outcome.name.lower(),
            "time_ms": event.time_ms,
            "witness": b64encode(event.witness).decode(),
            "payload": b64encode(event.payload).decode(),
        }
        for event in bundle.events
    ]
    return json.dumps({"statement": bundle.statement.decode(), "events": events}).encode()


def _claims_of(jws: bytes) -> dict[str, object]:
    claims: dict[str, object] = json.loads(base64url.decode(jws.split(b".")[1].decode()))
    return claims


def _spelt(header: Mapping[str, object], payload: Mapping[str, object] | bytes) -> bytes:
    """A JWS of the right shape whose signature is none."""
    claims = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    parts = (json.dumps(header).encode(), claims, bytes(64))
    return ".".join(base64url.encode(part) for part in parts).encode()
