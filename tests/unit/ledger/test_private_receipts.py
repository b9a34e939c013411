"""Receipts with their private half: for their subject, on its fresh word, and for nobody else."""

import pytest
from unit.ledger.bundle_records import bundle_records
from unit.ledger.export_desk import NOW_S, Desk

from heptad.crypto.bundles import parse_statement
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import parse_request
from heptad.model import base64url
from heptad.model.exporting import OpenReceipt
from heptad.model.problems import Problem
from heptad.model.requests import request_hash


@pytest.fixture
def desk(ledger, group, office):
    desk = Desk(ledger, group, office)
    yield desk
    desk.exports.close()


def opening(desk, person, request_id, *, event=None, **claims):
    data = {"request_id": base64url.encode(request_id)}
    if event is not None:
        data["event"] = event
    jws = desk.sign(person, **{"act": "receipt.open", "data": data, **claims})
    return OpenReceipt(jws, request_id, event)


@pytest.fixture
def asked(desk):
    """A request of Anna's in the log: its id, and its JWS."""
    record, jws = desk.office.request(desk.anna)
    desk.commit([record])
    request = parse_request(jws)
    return request_hash(iss=request.iss, jti=request.jti), jws


def test_a_subject_gets_its_receipt_with_the_private_half(desk, asked):
    request_id, jws = asked
    opened = desk.receipts.open(opening(desk, desk.anna, request_id))
    assert opened.payload == jws
    assert opened.witness == b"\x33" * 32
    assert opened.receipt.index == 2


def test_nobody_else_gets_it(desk, asked):
    with pytest.raises(Problem, match="request_unknown"):
        desk.receipts.open(opening(desk, desk.bob, asked[0]))


def test_a_subject_gets_the_event_that_is_about_it(desk):
    bundle, records = bundle_records(desk.office, [desk.bob, desk.anna])
    desk.commit(records)
    statement = parse_statement(bundle.statement)
    name = request_hash(iss=statement.iss, jti=statement.jti)
    opened = desk.receipts.open(opening(desk, desk.anna, name, event=1))
    assert opened.payload.startswith(desk.anna.subject_id.encode())
    assert opened.receipt.bundle is not None
    with pytest.raises(Problem, match="request_unknown"):
        desk.receipts.open(opening(desk, desk.anna, name, event=0))


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"act": "subject.export"}, "claim_invalid"),
        ({"svc": "tax"}, "claim_invalid"),
        ({"aud": "other.example"}, "audience_mismatch"),
        ({"data": {}}, "claim_invalid"),
        ({"data": {"request_id": base64url.encode(b"x" * 32)}}, "claim_invalid"),
        ({"exp": NOW_S - 31, "iat": NOW_S - 60}, "request_expired"),
        ({"iat": NOW_S + 31}, "request_from_the_future"),
        ({"exp": NOW_S + 301}, "lifetime_too_long"),
        ({"key": Ed25519Key(b"z" * 32)}, "key_unknown"),
    ],
)
def test_a_request_for_something_else_opens_no_receipt(desk, asked, claims, code):
    with pytest.raises(Problem) as caught:
        desk.receipts.open(opening(desk, desk.anna, asked[0], **claims))
    assert caught.value.code == code


def test_a_receipt_request_whose_signature_is_spoiled_opens_nothing(desk, asked):
    good = opening(desk, desk.anna, asked[0])
    spoiled = good.jws[:-4] + (b"AAAA" if good.jws[-4:] != b"AAAA" else b"BAAA")
    with pytest.raises(Problem, match="signature_invalid"):
        desk.receipts.open(OpenReceipt(spoiled, good.request_id))
