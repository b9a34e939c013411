"""Asking for an erasure, following it, and its certificate: for programs and for people."""

import dataclasses
import json
import re

import pytest
from unit.verification.conftest import NOW_S, policy_of
from unit.verification.erasure_log import CERTIFICATE, KEYS, SUBJECT, made

from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import sign_request
from heptad.model.answers import RequestState, Wait
from heptad.model.entry import Outcome
from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround
from heptad.model.problems import Problem
from heptad.model.requests import request_id_of
from heptad.runtime.deadlines import one_month_after
from heptad.verification import CertificateFile, examine_certificate_file
from heptad_gateway.erasure_page import page_of

PATH = "/v1/subjects/me/erasure"
MADE = made()
ID = request_id_of(MADE.request_id)
RECEIVED = dataclasses.replace(
    MADE,
    state=ErasureState.RECEIVED,
    received_at_ms=1_760_000_000_000,
    decide_by_ms=one_month_after(1_760_000_000_000),
    order_index=None,
    certificate=None,
)
ORDERED = dataclasses.replace(RECEIVED, state=ErasureState.ORDERED, order_index=10)
ERASED = dataclasses.replace(MADE, received_at_ms=1_760_000_000_000)
UNPROVED = dataclasses.replace(ERASED, certificate=None)
REFUSED = dataclasses.replace(
    RECEIVED,
    state=ErasureState.REFUSED,
    refusal_ground=RefusalGround.LEGAL_HOLD,
    refusal_index=11,
)
REFUSING = dataclasses.replace(REFUSED, refusal_index=None)
UNKNOWN = Problem("erasure_unknown", "nobody asked for it")


def signed(act="subject.erase", svc="heptad", **data):
    return sign_request(
        Ed25519Key(b"k" * 32), iss=SUBJECT, aud="cell.example",
        jti="0b8f1f9e-6c1f-4c39-9c57-52a0d2fdd8a1", iat=1_000, exp=1_300, svc=svc, act=act,
        data=data,
    )  # fmt: skip


JWS = signed()


def ask(gateway, jws=JWS, **headers):
    return gateway.call(
        "POST", PATH, headers={"Authorization": f"Heptad {jws.decode()}", **headers}
    )


def told(erasure):
    """A story whose ledger tells this of any erasure."""

    def wrap(story):
        async def told_story(gateway):
            gateway.ledger.answers["erasure"] = erasure
            await story(gateway)

        return told_story

    return wrap


def test_a_request_is_recorded_as_it_was_signed_and_followed_by_its_id(gateway):
    @told(RECEIVED)
    async def story(gateway):
        answer = await ask(gateway)
        assert answer.status == 202
        assert answer.json() == {
            "request_id": ID,
            "state": "received",
            "ordered_by": "subject",
            "ground": "consent_withdrawn",
            "received_at_ms": 1_760_000_000_000,
            "decide_by_ms": one_month_after(1_760_000_000_000),
            "location": f"/v1/erasures/{ID}",
        }
        assert answer.headers["Location"] == f"/v1/erasures/{ID}"
        assert answer.headers["Retry-After"] == "5"
        assert answer.headers["Cache-Control"] == "no-store"
        assert gateway.submissions.sent == [(JWS, SUBJECT, Wait.COMMITTED)]
        [(name, request_id, _)] = gateway.ledger.asked
        assert (name, request_id) == ("erasure", (7).to_bytes(32, "big"))

    gateway(story)


@pytest.mark.parametrize("problem", [UNKNOWN, Problem("ledger_unavailable", "down")])
def test_what_is_recorded_is_received_whatever_the_ledger_knows(gateway, problem, recorded):
    @told(problem)
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(7, state=RequestState.PENDING)
        answer = await ask(gateway, signed(ground="objection"))
        assert answer.status == 202
        assert answer.json()["state"] == "received"
        assert answer.json()["ground"] == "objection"
        assert answer.json()["request_id"] == request_id_of((7).to_bytes(32, "big"))

    gateway(story)


def test_a_subject_that_is_erased_gets_the_certificate_of_then(gateway):
    @told(ERASED)
    async def story(gateway):
        gateway.submissions.answer = lambda _: Problem("subject_erased", "gone")
        answer = await ask(gateway)
        assert answer.status == 200
        assert answer.json()["certificate"]["request_id"] == ID
        [(name, subject, _)] = gateway.ledger.asked
        assert (name, subject) == ("erasure", SUBJECT)

    gateway(story)


@pytest.mark.parametrize(
    ("erasure", "status"),
    [
        (RECEIVED, 202),
        (ORDERED, 202),
        (UNPROVED, 200),
        (ERASED, 200),
        (REFUSED, 200),
        (REFUSING, 200),
    ],
)
def test_the_status_says_whether_anything_is_left_to_do(gateway, erasure, status):
    @told(erasure)
    async def story(gateway):
        answer = await ask(gateway)
        assert answer.status == status
        waits = status == 202 or erasure in (UNPROVED, REFUSING)
        assert ("Retry-After" in answer.headers) is waits
        shown = await gateway.call("GET", f"/v1/erasures/{ID}")
        assert shown.status == 200
        assert shown.json() == answer.json()
        assert shown.headers["Vary"] == "Accept"

    gateway(story)


def test_a_refusal_is_told_with_its_ground(gateway):
    @told(REFUSED)
    async def story(gateway):
        said = (await gateway.call("GET", f"/v1/erasures/{ID}")).json()
        assert (said["state"], said["refusal_ground"]) == ("refused", "legal_hold")
        assert said["refusal"] == "/v1/entries/11"
        assert "decide_by_ms" not in said

    gateway(story)


@pytest.mark.parametrize(
    "header", [None, "", "Heptad", "Heptad ", "Bearer x.y.z", "heptad" + "\t" + "x"]
)
def test_a_call_that_is_not_signed_is_refused(gateway, header):
    async def story(gateway):
        headers = {} if header is None else {"Authorization": header}
        answer = await gateway.call("POST", PATH, headers=headers)
        assert (answer.status, answer.code) == (401, "authorization_missing")
        assert not gateway.submissions.sent

    gateway(story)


@pytest.mark.parametrize(
    ("jws", "field"), [(signed(act="subject.export"), "act"), (signed(svc="tax-portal"), "svc")]
)
def test_a_request_for_something_else_is_refused_and_not_recorded(gateway, jws, field):
    async def story(gateway):
        answer = await ask(gateway, jws)
        assert (answer.status, answer.code) == (400, "claim_invalid")
        assert answer.json()["field"] == field
        assert not gateway.submissions.sent

    gateway(story)


def test_what_cannot_be_read_the_validator_refuses(gateway):
    async def story(gateway):
        gateway.submissions.answer = lambda jws: Problem("jws_malformed", f"{len(jws)} bytes")
        answer = await ask(gateway, b"x")
        assert (answer.status, answer.code) == (400, "jws_malformed")
        assert gateway.submissions.sent == [(b"x", "", Wait.COMMITTED)]

    gateway(story)


def test_a_refusal_of_the_validator_is_answered_as_of_any_request(gateway):
    async def story(gateway):
        gateway.submissions.answer = lambda _: Problem("request_expired", "late")
        assert (await ask(gateway)).code == "request_expired"
        gateway.submissions.answer = lambda _: Problem("subject_rate_limited", "x", retry_after_s=9)
        answer = await ask(gateway)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "9")

    gateway(story)


def test_a_denial_is_a_denial(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(
            7, outcome=Outcome.DENIED, denied_code="action_not_allowed"
        )
        answer = await ask(gateway)
        assert (answer.status, answer.code) == (403, "action_not_allowed")

    gateway(story)


def test_the_certificate_is_a_file_that_proves_itself(gateway):
    @told(ERASED)
    async def story(gateway):
        path = f"/v1/erasures/{ID}/certificate"
        answer = await gateway.call("GET", path)
        assert answer.status == 200
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert "immutable" in answer.headers["Cache-Control"]
        report = examine_certificate_file(
            CertificateFile.parse(answer.body), policy=policy_of(), keys=KEYS, now_s=NOW_S,
            subject_id=SUBJECT,
        )  # fmt: skip
        report.require()
        again = await gateway.call("GET", path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
        shown = (await gateway.call("GET", f"/v1/erasures/{ID}")).json()["certificate"]
        assert shown == json.loads(answer.body)

    gateway(story)


@pytest.mark.parametrize("erasure", [RECEIVED, ORDERED, UNPROVED, REFUSED])
def test_there_is_no_certificate_before_it_is_proved(gateway, erasure):
    @told(erasure)
    async def story(gateway):
        answer = await gateway.call("GET", f"/v1/erasures/{ID}/certificate")
        assert (answer.status, answer.code) == (404, "certificate_pending")
        assert answer.headers["Retry-After"] == "5"

    gateway(story)


@pytest.mark.parametrize("more", ["", "/certificate"])
def test_an_id_of_another_form_or_of_nothing_is_refused(gateway, more):
    @told(UNKNOWN)
    async def story(gateway):
        answer = await gateway.call("GET", f"/v1/erasures/{SUBJECT}{more}")
        assert (answer.status, answer.code) == (400, "parameter_invalid")
        answer = await gateway.call("GET", f"/v1/erasures/{ID}{more}")
        assert (answer.status, answer.code) == (404, "erasure_unknown")
        answer = await gateway.call("GET", f"/v1/erasures/{ID}{more}?x=1")
        assert (answer.status, answer.code) == (400, "parameter_invalid")

    gateway(story)


# The page.

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER["Accept"], True), ("text/html", True), ("*/*", False), ("", False),
        ("application/json", False), ("application/json, text/html", False),
        ("application/json;q=0.5", False),
    ],
)  # fmt: skip
def test_browsers_get_the_page_and_programs_json(gateway, accept, is_page):
    @told(RECEIVED)
    async def story(gateway):
        answer = await gateway.call("GET", f"/v1/erasures/{ID}", headers={"Accept": accept})
        assert answer.headers["Content-Type"].startswith(
            "text/html" if is_page else "application/json"
        )
        assert answer.headers["Vary"] == "Accept"

    gateway(story)


@pytest.mark.parametrize("erasure", [RECEIVED, ORDERED, UNPROVED, ERASED, REFUSED])
def test_the_page_has_the_pages_policy_and_loads_only_what_is_here(gateway, erasure):
    @told(erasure)
    async def story(gateway):
        answer = await gateway.call("GET", f"/v1/erasures/{ID}", headers=BROWSER)
        plain = await gateway.call("GET", "/")
        for name in ("Content-Security-Policy", "Referrer-Policy", "Content-Type"):
            assert answer.headers[name] == plain.headers[name]
        assert answer.headers["Cache-Control"] == "no-store"
        text = answer.body.decode()
        assert "<script" not in text
        assert "style=" not in text
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            assert link.startswith(("/", "data:,"))
            if link.startswith("/web/"):
                assert (await gateway.call("GET", link)).status == 200

    gateway(story)


@pytest.mark.parametrize("erasure", [RECEIVED, ORDERED, UNPROVED, REFUSING])
def test_a_page_of_what_is_not_done_looks_again_by_itself(gateway, erasure):
    @told(erasure)
    async def story(gateway):
        answer = await gateway.call("GET", f"/v1/erasures/{ID}", headers=BROWSER)
        assert answer.headers["Refresh"] == "5"

    gateway(story)


@pytest.mark.parametrize("erasure", [ERASED, REFUSED])
def test_a_page_of_what_is_done_stays(gateway, erasure):
    @told(erasure)
    async def story(gateway):
        answer = await gateway.call("GET", f"/v1/erasures/{ID}", headers=BROWSER)
        assert "Refresh" not in answer.headers

    gateway(story)


@pytest.mark.parametrize(
    ("erasure", "now"),
    [(RECEIVED, "Received"), (ORDERED, "Ordered"), (ERASED, "Erased"), (REFUSED, "Refused")],
)
def test_the_state_is_seen_at_a_glance(erasure, now):
    [current] = re.findall(r'aria-current="step">(\w+)<', page_of(erasure).decode())
    assert current == now


def test_the_page_says_what_is_proved_and_what_is_not():
    text = page_of(ERASED).decode()
    for words in (
        "It is not proved", "slot 4711", "Art. 17(1)(b)", "none can restore the key",
        "heptad verify", f"/v1/erasures/{ID}/certificate",
    ):  # fmt: skip
        assert words in text
    assert SUBJECT not in text


def test_a_received_request_shows_its_deadline_and_a_refused_one_the_remedy():
    assert (
        "8 November 2025"
        in page_of(dataclasses.replace(RECEIVED, decide_by_ms=1_762_592_000_000)).decode()
    )
    assert "supervisory authority" in page_of(REFUSED).decode()
    assert "Art. 17(3)(e)" in page_of(REFUSED).decode()


@pytest.mark.parametrize("ground", ErasureGround)
def test_every_ground_has_words(ground):
    page_of(dataclasses.replace(RECEIVED, ground=ground, ordered_by=OrderedBy.OFFICER))


@pytest.mark.parametrize("ground", RefusalGround)
def test_every_refusal_has_words(ground):
    assert ground.article in page_of(dataclasses.replace(REFUSED, refusal_ground=ground)).decode()


def test_what_a_ledger_says_cannot_become_markup():
    evil = dataclasses.replace(
        CERTIFICATE, caveat="<script>alert(1)</script>", backend="<b>", software="&<i>"
    )
    text = page_of(made(certificate=evil)).decode()
    assert "<script" not in text
    assert "<b>" not in text
    assert "&amp;&lt;i&gt;" in text


def test_an_entry_that_states_no_certificate_shows_none():
    parts = dataclasses.replace(MADE.certificate, entry=b"\xff")
    text = page_of(dataclasses.replace(ERASED, certificate=parts)).decode()
    assert "attests" not in text
    assert "Erased" in text
