"""Bundles over HTTP: taken apart without a loss, answered like requests, garbage named."""

import dataclasses
import json
from base64 import b64encode

import pytest

from heptad.crypto.bundles import Event, sign_bundle
from heptad.crypto.keys import Ed25519Key
from heptad.model.answers import BundleRecorded, Recorded, RequestState, Wait
from heptad.model.entry import Outcome
from heptad.model.log_reads import BundleMembership, RequestReceipt
from heptad.model.problems import Problem
from heptad_gateway.bundles import read_bundle

EVENTS = [
    Event("kn-" + "a" * 26, "record.access", b"\x00\xff", 5),
    Event("kn-" + "b" * 26, "record.access", b"", 6, Outcome.DENIED),
]
BUNDLE = sign_bundle(
    Ed25519Key(b"V" * 32), EVENTS, iss="tax-portal", aud="cell.example",
    jti="6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e", iat=1, exp=2,
)  # fmt: skip
RECORDED = Recorded(b"r" * 32, RequestState.COMMITTED, 17, Outcome.NONE, "", 99, False)
ID = "cnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI"
HEAD = {"Content-Type": "application/json"}


def members(bundle=BUNDLE):
    return {
        "statement": bundle.statement.decode(),
        "events": [
            {
                "subject": event.subject,
                "action": event.action,
                "outcome": event.outcome.name.lower(),
                "time_ms": event.time_ms,
                "witness": b64encode(event.witness).decode(),
                "payload": b64encode(event.payload).decode(),
            }
            for event in bundle.events
        ],
    }


def post(gateway, body, **head):
    return gateway.call(
        "POST", "/v1/bundles", data=json.dumps(body).encode(), headers={**HEAD, **head}
    )


def test_a_bundle_goes_to_its_services_validator_as_it_was_signed(gateway):
    async def story(gateway):
        gateway.validators.bundled = BundleRecorded(RECORDED, 2)
        answer = await post(gateway, members())
        assert gateway.validators.bundles == [(BUNDLE, "tax-portal", Wait.COMMITTED)]
        assert answer.status == 201
        assert answer.headers["Location"] == f"/v1/requests/{ID}"
        assert answer.json() == {
            "request_id": ID, "state": "COMMITTED", "count": 2, "time_ms": 99, "index": 17,
            "receipt": f"/v1/requests/{ID}/receipt",
        }  # fmt: skip

    gateway(story)


def test_a_bundle_that_is_pending_or_known_says_so(gateway):
    async def story(gateway):
        pending = dataclasses.replace(RECORDED, state=RequestState.PENDING, replayed=True)
        gateway.validators.bundled = BundleRecorded(pending, 2)
        answer = await post(gateway, members(), Prefer="respond-async")
        assert gateway.validators.bundles[0][2] is Wait.ADMITTED
        assert (answer.status, answer.json()["state"]) == (202, "PENDING")
        assert answer.headers["Idempotent-Replayed"] == "true"
        assert answer.headers["Retry-After"] == "1"
        assert "index" not in answer.json()

    gateway(story)


def test_a_validators_refusal_names_the_event(gateway):
    async def story(gateway):
        gateway.validators.bundled = Problem(
            "event_subject_unknown", "no such subject", field="events[1].subject"
        )
        answer = await post(gateway, members())
        assert answer.status == 422
        assert answer.json()["field"] == "events[1].subject"

    gateway(story)


@pytest.mark.parametrize(
    "body",
    [
        [], "text", {}, {"statement": "a"}, {"statement": 1, "events": []},
        {"statement": "a", "events": {}}, {"statement": "a", "events": [], "more": 1},
    ],
)  # fmt: skip
def test_what_is_no_bundle_is_refused_and_goes_nowhere(gateway, body):
    async def story(gateway):
        answer = await post(gateway, body)
        assert (answer.status, answer.json()["code"]) == (400, "body_malformed")
        assert gateway.validators.bundles == []

    gateway(story)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"subject": 1}, ".subject"), ({"subject": "é"}, ".subject"), ({"action": None}, ".action"),
        ({"outcome": "maybe"}, ".outcome"), ({"outcome": 1}, ".outcome"),
        ({"outcome": []}, ".outcome"), ({"time_ms": 1.0}, ".time_ms"),
        ({"time_ms": True}, ".time_ms"), ({"time_ms": -1}, ".time_ms"),
        ({"time_ms": 2**63}, ".time_ms"), ({"witness": "?"}, ".witness"),
        ({"witness": 1}, ".witness"), ({"payload": "YQ"}, ".payload"), ({"more": 1}, ""),
    ],
)  # fmt: skip
def test_an_event_that_is_none_is_named_by_its_place(change, field):
    body = members()
    body["events"][1] |= change
    with pytest.raises(Problem) as caught:
        read_bundle(json.dumps(body).encode())
    assert (caught.value.code, caught.value.field) == ("event_invalid", f"events[1]{field}")


def test_too_many_events_and_too_large_a_body_are_refused(gateway):
    async def story(gateway):
        body = members()
        body["events"] *= 500
        assert (await post(gateway, body)).json()["code"] == "bundle_too_large"
        body = members() | {"statement": "a" * (2 << 20)}
        assert (await post(gateway, body)).status == 413
        assert gateway.validators.bundles == []

    gateway(story)


def test_the_receipt_of_an_event_brings_its_place_in_the_bundle(gateway):
    async def story(gateway):
        membership = BundleMembership(3, b"e", (b"i" * 32,), (b"p" * 32,))
        gateway.ledger.answers["receipt"] = RequestReceipt(b"entry", b"proof", 5, membership)
        answer = await gateway.call("GET", f"/v1/requests/{ID}/receipt?event=1")
        assert gateway.ledger.asked[-1][:3] == ("receipt", b"r" * 32, 1)
        assert answer.json()["bundle"]["index"] == 3
        assert answer.json()["links"]["self"].endswith("/receipt?event=1")
        for event in ("999", "-1", "x"):
            refused = await gateway.call("GET", f"/v1/requests/{ID}/receipt?event={event}")
            assert refused.json()["code"] == "parameter_invalid"

    gateway(story)
