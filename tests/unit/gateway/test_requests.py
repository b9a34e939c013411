"""Signed requests over HTTP: what was recorded, what was refused, and where to find it."""

import asyncio
import json
from dataclasses import replace

import pytest

from heptad.model import base64url
from heptad.model.answers import PendingRequest, RequestState, Wait
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import RequestReceipt, RequestStatus
from heptad.model.problems import PROBLEMS, Problem
from heptad.verification.receipt_file import FORMAT
from heptad.wire.convert.entry import encode_entry

ID = base64url.encode((7).to_bytes(32, "big"))
ISS = "kn-abcdefghijklmnopqrstuvwxyz"
JWS = b"aGVhZA." + base64url.encode_bytes(json.dumps({"iss": ISS}).encode()) + b".c2ln"


def test_a_committed_request_is_created_with_its_index_and_receipt(gateway):
    async def story(gateway):
        answer = await gateway.post(JWS)
        assert answer.status == 201
        assert answer.json() == {
            "request_id": ID,
            "state": "COMMITTED",
            "index": 7,
            "outcome": "allowed",
            "time_ms": 1_760_000_000_007,
            "receipt": f"/v1/requests/{ID}/receipt",
        }
        assert answer.headers["Location"] == f"/v1/requests/{ID}"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Idempotent-Replayed" not in answer.headers
        assert gateway.submissions.sent == [(JWS, ISS, Wait.COMMITTED)]

    gateway(story)


def test_a_pending_request_is_accepted_and_never_called_failed(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(7, state=RequestState.PENDING)
        answer = await gateway.post(JWS)
        assert answer.status == 202
        assert answer.json()["state"] == "PENDING"
        assert answer.json()["location"] == answer.headers["Location"] == f"/v1/requests/{ID}"
        assert answer.headers["Retry-After"] == "1"

    gateway(story)


@pytest.mark.parametrize(
    "prefer", ["respond-async", "Respond-Async, wait=5", "a=b, respond-async;x=y"]
)
def test_who_prefers_not_to_wait_does_not(gateway, recorded, prefer):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(7, state=RequestState.PENDING)
        answer = await gateway.post(JWS, Prefer=prefer)
        assert answer.status == 202
        assert answer.headers["Preference-Applied"] == "respond-async"
        assert gateway.submissions.sent[0][2] is Wait.ADMITTED

    gateway(story)


def test_a_replay_is_marked(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(7, replayed=True)
        answer = await gateway.post(JWS)
        assert answer.status == 201
        assert answer.headers["Idempotent-Replayed"] == "true"

    gateway(story)


def test_a_denial_is_a_problem_that_names_its_record(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(
            7, outcome=Outcome.DENIED, denied_code="action_not_allowed"
        )
        answer = await gateway.post(JWS)
        assert (answer.status, answer.code) == (403, "action_not_allowed")
        details = answer.json()
        assert details["recorded"] is True
        assert details["retryable"] is False
        assert (details["index"], details["outcome"]) == (7, "denied")
        assert details["receipt"] == f"/v1/requests/{ID}/receipt"
        assert answer.headers["Location"] == f"/v1/requests/{ID}"

    gateway(story)


def test_a_recorded_denial_is_final_whatever_its_code_says_elsewhere(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(
            7, outcome=Outcome.DENIED, denied_code="subject_rate_limited"
        )
        answer = await gateway.post(JWS)
        assert answer.status == 429
        assert answer.json()["retryable"] is False

    gateway(story)


def test_a_denial_that_is_not_committed_yet_names_no_index(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(
            7, outcome=Outcome.DENIED, denied_code="unheard_of", state=RequestState.PENDING
        )
        answer = await gateway.post(JWS)
        assert answer.code == "action_not_allowed"
        assert answer.json()["state"] == "PENDING"
        assert "index" not in answer.json()

    gateway(story)


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_every_refusal_keeps_its_code_and_status(gateway, code):
    async def story(gateway):
        gateway.submissions.answer = lambda _: Problem(code, "because", field="exp")
        answer = await gateway.post(JWS)
        assert (answer.status, answer.code) == (PROBLEMS[code].http, code)
        assert answer.json()["field"] == "exp"
        if answer.status in (429, 503):
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.headers["RateLimit"]
            assert answer.headers["RateLimit-Policy"]

    gateway(story)


def test_the_waiting_time_of_a_refusal_is_passed_on(gateway):
    async def story(gateway):
        gateway.submissions.answer = lambda _: Problem(
            "subject_rate_limited", "too many", retry_after_s=17
        )
        answer = await gateway.post(JWS)
        assert answer.headers["Retry-After"] == "17"
        assert answer.headers["RateLimit"] == '"subject";r=0;t=17'
        assert answer.headers["RateLimit-Policy"] == '"subject";q=600;w=60'

    gateway(story)


def batch(gateway, items, **headers):
    head = {"Content-Type": "application/json", **headers}
    body = items if isinstance(items, bytes) else json.dumps(items).encode()
    return gateway.call("POST", "/v1/requests:batch", data=body, headers=head)


def test_a_batch_has_an_outcome_for_each_request_in_order(gateway, recorded):
    async def story(gateway):
        outcomes = {
            b"a": recorded(1),
            b"b": Problem("request_expired", "old", field="exp"),
            b"c": recorded(3, state=RequestState.PENDING),
            b"d": recorded(4, outcome=Outcome.DENIED, denied_code="service_unknown"),
            b"e": recorded(5, replayed=True),
        }
        gateway.submissions.answer = outcomes.get
        answer = await batch(gateway, ["a", "b", "c", "d", "e"])
        assert answer.status == 200
        heard = answer.json()["outcomes"]
        assert [one["status"] for one in heard] == [201, 401, 202, 403, 201]
        assert heard[0]["index"] == 1
        assert (heard[1]["code"], heard[1]["field"]) == ("request_expired", "exp")
        assert heard[2]["state"] == "PENDING"
        assert (heard[3]["code"], heard[3]["recorded"]) == ("service_unknown", True)
        assert heard[4]["replayed"] is True

    gateway(story)


def test_a_batch_may_be_answered_at_once_too(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(1, state=RequestState.PENDING)
        answer = await batch(gateway, ["a", "b"], Prefer="respond-async")
        assert answer.status == 202
        assert [wait for _, _, wait in gateway.submissions.sent] == [Wait.ADMITTED] * 2

    gateway(story)


def test_an_oversized_request_of_a_batch_is_refused_alone(gateway):
    async def story(gateway):
        answer = await batch(gateway, ["x" * 16_385, "y"])
        assert [one["status"] for one in answer.json()["outcomes"]] == [413, 201]
        assert [jws for jws, _, _ in gateway.submissions.sent] == [b"y"]

    gateway(story)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "body_malformed"),
        (b"[", 400, "body_malformed"),
        (b"[]", 400, "body_malformed"),
        (b"{}", 400, "body_malformed"),
        (b'"a.b.c"', 400, "body_malformed"),
        (b"[7]", 400, "body_malformed"),
        (b'["a", null]', 400, "body_malformed"),
        (b"\xff\xfe[", 400, "body_malformed"),
        (b"[" * 100_000, 400, "body_malformed"),
        (json.dumps(["x"] * 1_001).encode(), 413, "batch_too_large"),
        (b'["' + b"x" * (2 << 20) + b'"]', 413, "batch_too_large"),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused_whole(gateway, body, status, code):
    async def story(gateway):
        answer = await batch(gateway, body)
        assert (answer.status, answer.code) == (status, code)
        assert gateway.submissions.sent == []

    gateway(story)


def test_a_batch_for_which_there_is_no_room_is_refused_whole(gateway):
    async def story(gateway):
        gateway.submissions.room = 2
        answer = await batch(gateway, ["a", "b", "c"])
        assert answer.code == "overloaded"
        assert gateway.submissions.sent == []

    gateway(story)


def test_text_that_is_no_ascii_reaches_the_validator_as_no_jws(gateway):
    async def story(gateway):
        await batch(gateway, ["ä.ö.ü", "\ud800"])
        assert [jws for jws, _, _ in gateway.submissions.sent] == [b"?.?.?", b"?"]

    gateway(story)


ENTRY = encode_entry(Entry(Kind.REQUEST, "s", "a", Outcome.ALLOWED, 5, 1, bytes(32)))


def test_the_status_of_a_committed_request_has_index_and_outcome(gateway):
    async def story(gateway):
        gateway.ledger.answers["request_status"] = RequestStatus(
            RequestState.COMMITTED, 9, ENTRY, True, 0
        )
        answer = await gateway.call("GET", f"/v1/requests/{ID}")
        assert answer.json() == {
            "request_id": ID,
            "state": "COMMITTED",
            "index": 9,
            "outcome": "allowed",
            "receipt_ready": True,
            "receipt": f"/v1/requests/{ID}/receipt",
        }
        assert gateway.ledger.asked[0][:2] == ("request_status", base64url.decode(ID))

    gateway(story)


@pytest.mark.parametrize("state", [RequestState.UNKNOWN, RequestState.PENDING])
def test_the_status_of_what_is_not_committed_is_its_state_alone(gateway, state):
    async def story(gateway):
        gateway.validators.known = PendingRequest(state, 0, 0)
        answer = await gateway.call("GET", f"/v1/requests/{ID}")
        assert (answer.status, answer.json()) == (200, {"request_id": ID, "state": state.name})
        assert answer.headers["Cache-Control"] == "no-store"

    gateway(story)


def test_what_has_run_out_and_is_nowhere_is_invalid_for_who_says_its_expiry(gateway):
    async def story(gateway):
        gateway.ledger.answers["request_status"] = RequestStatus(
            RequestState.UNKNOWN, 0, b"", False, 1_061_000
        )
        for query, state in (("", "UNKNOWN"), ("?exp=1000", "INVALID"), ("?exp=1001", "UNKNOWN")):
            answer = await gateway.call("GET", f"/v1/requests/{ID}{query}")
            assert answer.json()["state"] == state, query
        for bad in ("?exp=x", "?exp=-1", "?exp=1&exp=2", "?expiry=1"):
            answer = await gateway.call("GET", f"/v1/requests/{ID}{bad}")
            assert (answer.status, answer.code) == (400, "parameter_invalid"), bad

    gateway(story)


@pytest.mark.parametrize("path", ["", "/receipt"])
@pytest.mark.parametrize("bad", ["x", "A" * 44, "A" * 42 + "B", "ä" * 43, "A" * 42 + "="])
def test_what_is_no_request_id_is_refused(gateway, bad, path):
    async def story(gateway):
        answer = await gateway.call("GET", f"/v1/requests/{bad}{path}")
        assert (answer.status, answer.code) == (400, "parameter_invalid")
        assert answer.json()["field"] == "request_id"

    gateway(story)


RECEIPT = RequestReceipt(b"entry", b"c2sp.org/tlog-proof@v1\nindex 9\n\nnote", 9)


def test_a_receipt_never_changes_and_says_so(gateway):
    async def story(gateway):
        gateway.ledger.answers["receipt"] = RECEIPT
        answer = await gateway.call("GET", f"/v1/requests/{ID}/receipt")
        assert answer.status == 200
        members = answer.json()
        assert members["format"] == FORMAT
        assert members["entry"] == "ZW50cnk="
        assert members["proof"] == RECEIPT.proof.decode()
        assert members["links"]["entry"] == "/v1/entries/9"
        assert "immutable" in answer.headers["Cache-Control"]
        again = await gateway.call(
            "GET", f"/v1/requests/{ID}/receipt", headers={"If-None-Match": answer.headers["ETag"]}
        )
        assert (again.status, again.body) == (304, b"")

    gateway(story)


def test_no_shared_cache_keeps_which_entry_a_request_became(gateway):
    async def story(gateway):
        gateway.ledger.answers["receipt"] = RECEIPT
        answer = await gateway.call("GET", f"/v1/requests/{ID}/receipt")
        assert "private" in answer.headers["Cache-Control"]

    gateway(story)


@pytest.mark.parametrize("state", [RequestState.PENDING, RequestState.COMMITTED])
def test_a_receipt_on_its_way_is_pending_and_not_unknown(gateway, state):
    async def story(gateway):
        gateway.ledger.answers["receipt"] = Problem("request_unknown", "not here")
        gateway.validators.known = PendingRequest(state, 4, 0)
        answer = await gateway.call("GET", f"/v1/requests/{ID}/receipt")
        assert (answer.status, answer.code) == (404, "receipt_pending")
        assert answer.headers["Retry-After"] == "1"

    gateway(story)


def test_a_receipt_that_waits_for_its_checkpoint_is_pending(gateway):
    async def story(gateway):
        gateway.ledger.answers["receipt"] = Problem("receipt_pending", "soon")
        answer = await gateway.call("GET", f"/v1/requests/{ID}/receipt")
        assert (answer.status, answer.code) == (404, "receipt_pending")
        assert answer.headers["Retry-After"] == "1"

    gateway(story)


def test_the_receipt_of_what_nobody_knows_is_unknown(gateway):
    async def story(gateway):
        gateway.ledger.answers["receipt"] = Problem("request_unknown", "not here")
        answer = await gateway.call("GET", f"/v1/requests/{ID}/receipt")
        assert (answer.status, answer.code) == (404, "request_unknown")

    gateway(story)


def test_requests_do_not_wait_for_each_other(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda jws: None if jws == b"slow" else recorded(1)
        slow = asyncio.create_task(gateway.post(b"slow"))
        while not gateway.submissions.open:  # noqa: ASYNC110  until the request is at its port
            await asyncio.sleep(0)
        assert (await gateway.post(b"fast")).status == 201
        gateway.submissions.open[0].set_result(recorded(2))
        assert (await slow).json()["index"] == 2

    gateway(story)


def test_a_registration_answers_with_the_new_subject(gateway):
    async def story(gateway):
        answer = await gateway.post(JWS, "/v1/subjects")
        assert answer.status == 201
        members = answer.json()
        assert members["subject_id"] == "kn-" + "a" * 26
        assert members["kid"] == "k" * 43
        assert members["index"] == 3
        assert answer.headers["Location"] == f"/v1/requests/{members['request_id']}"
        assert gateway.validators.asked[0][:2] == (JWS, ISS)

    gateway(story)


def test_a_registration_that_is_not_committed_yet_is_accepted(gateway, recorded):
    async def story(gateway):
        gateway.validators.registered = replace(
            gateway.validators.registered, recorded=recorded(3, state=RequestState.PENDING)
        )
        answer = await gateway.post(JWS, "/v1/subjects")
        assert answer.status == 202
        assert answer.json()["subject_id"]

    gateway(story)


def test_a_refused_registration_says_why(gateway):
    async def story(gateway):
        gateway.validators.registered = Problem("registration_closed", "not here")
        answer = await gateway.post(JWS, "/v1/subjects")
        assert (answer.status, answer.code) == (403, "registration_closed")

    gateway(story)
