"""Bundles: the published vectors, each claim's rule, and no bit that may change unnoticed."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.crypto.bulk_sealing import Unsealed, seal_records
from heptad.crypto.bundles import (
    BUNDLE_TYP,
    Bundle,
    Event,
    bundle_digest,
    bundle_root,
    parse_statement,
    public_events,
    sign_bundle,
    sign_statement,
    verify_statement,
)
from heptad.crypto.errors import (
    ClaimInvalidError,
    ClaimMissingError,
    CryptoRefusalError,
    JwsHeaderRefusedError,
    RequestTooLargeError,
    SignatureInvalidError,
)
from heptad.crypto.jws import sign_compact
from heptad.crypto.keys import Ed25519Key, RequestKey
from heptad.crypto.sealing import NO_REQUEST_REF, RoutingKey, open_record, open_routing
from heptad.model.bundles import EVENTS_MAX, event_leaves, private_half, split_private_half
from heptad.model.entry import Outcome

VECTORS: Final = json.loads(
    (Path(__file__).parents[3] / "docs" / "spec" / "bundles-vectors.json").read_text()
)
JTI: Final = "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e"
KEY: Final = Ed25519Key(bytes(range(32)))
SUBJECT: Final = "kn-" + "a" * 26


def event(n: int, **changes: object) -> Event:
    known = Event(SUBJECT, "record.access", b"R-%d" % n, 1_760_000_000_000 + n)
    return dataclasses.replace(known, **changes)  # type: ignore[arg-type]


def signed(*events: Event, key: RequestKey = KEY) -> Bundle:
    return sign_bundle(
        key,
        events or (event(1), event(2)),
        iss="tax-portal",
        aud="cell.example",
        jti=JTI,
        iat=1_760_000_001,
        exp=1_760_000_241,
    )


def root_of(bundle: Bundle, service: str = "tax-portal") -> bytes:
    return bundle_root(event_leaves(public_events(bundle.events), service=service))


def rfc_6962_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word by word."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    halves = rfc_6962_root(leaves[:split]) + rfc_6962_root(leaves[split:])
    return hashlib.sha256(b"\1" + halves).digest()


def test_the_published_vectors_follow_from_the_published_layouts() -> None:
    service = VECTORS["service"].encode()
    leaves = []
    for vector in VECTORS["events"]:
        payload, witness = bytes.fromhex(vector["payload"]), bytes.fromhex(vector["witness"])
        half = vector["subject"].encode() + b"\n" + payload
        committed = hashlib.sha256(b"heptad/v1/commitment\0" + witness + half).digest()
        action = vector["action"].encode()
        leaf = b"".join(
            (
                b"heptad/v1/event\0",
                len(service).to_bytes(2, "big"), service,
                len(action).to_bytes(2, "big"), action,
                bytes((vector["outcome"],)), vector["time_ms"].to_bytes(8, "big"), committed,
            )
        )  # fmt: skip
        assert half.hex() == vector["private_half"]
        assert committed.hex() == vector["commitment"]
        assert leaf.hex() == vector["leaf"]
        assert hashlib.sha256(b"\0" + leaf).hexdigest() == vector["leaf_hash"]
        leaves.append(leaf)
    assert rfc_6962_root(leaves).hex() == VECTORS["root"]


def test_the_published_statement_is_read_as_it_was_signed() -> None:
    statement = parse_statement(VECTORS["statement"].encode())

    verify_statement(statement, KEY.public)
    assert statement.root.hex() == VECTORS["root"]
    assert statement.count == len(VECTORS["events"])
    assert statement.request_id == VECTORS["request_id"]
    assert statement.kid == VECTORS["kid"]
    assert bundle_digest(statement).hex() == VECTORS["bundle_digest"]


def test_a_bundle_is_signed_over_exactly_its_events(request_key: RequestKey) -> None:
    bundle = signed(event(1), event(2, outcome=Outcome.DENIED), event(3), key=request_key)

    statement = parse_statement(bundle.statement)
    verify_statement(statement, request_key.public)
    assert (statement.iss, statement.count) == ("tax-portal", 3)
    assert statement.root == root_of(bundle)
    assert len({known.witness for known in bundle.events}) == 3


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 65, EVENTS_MAX])
def test_the_root_is_that_of_rfc_6962_for_any_number_of_events(count: int) -> None:
    bundle = signed(*(event(n) for n in range(count)))
    leaves = event_leaves(public_events(bundle.events), service="tax-portal")

    assert parse_statement(bundle.statement).root == rfc_6962_root(leaves)


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "kn-" + "b" * 26},
        {"action": "record.acces"},
        {"outcome": Outcome.DENIED},
        {"time_ms": 1},
        {"witness": b"w" * 32},
        {"payload": b""},
    ],
)
def test_whatever_changes_in_an_event_changes_the_root(change: dict[str, object]) -> None:
    bundle = signed()
    first = dataclasses.replace(bundle.events[0], **change)  # type: ignore[arg-type]

    changed = dataclasses.replace(bundle, events=(first, *bundle.events[1:]))

    assert root_of(changed) != root_of(bundle)


def test_the_root_binds_the_service_and_the_order() -> None:
    bundle = signed()
    turned = dataclasses.replace(bundle, events=bundle.events[::-1])

    assert len({root_of(bundle), root_of(bundle, "bank"), root_of(turned)}) == 3


@pytest.mark.parametrize("count", [0, EVENTS_MAX + 1])
def test_a_bundle_of_another_size_is_not_signed(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 999"):
        sign_bundle(
            KEY, [event(n) for n in range(count)],
            iss="tax-portal", aud="cell.example", jti=JTI, iat=1, exp=2,
        )  # fmt: skip


CLAIMS: Final = {
    "iss": "tax-portal",
    "aud": "cell.example",
    "jti": JTI,
    "iat": 1_760_000_001,
    "exp": 1_760_000_241,
    "root": "A" * 43,
    "count": 2,
}


def parse_claims(**changes: object) -> None:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    parse_statement(sign_compact(KEY, json.dumps(claims).encode(), typ=BUNDLE_TYP))


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_is_required(name: str) -> None:
    with pytest.raises(ClaimMissingError) as caught:
        parse_claims(**{name: None})
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "Tax"), ("iss", "tax.portal"), ("iss", ""), ("iss", "a" * 64), ("iss", 1),
        ("aud", ["cell.example"]), ("jti", JTI.upper()), ("iat", 1.0), ("iat", True), ("exp", 1),
        ("root", "A" * 42), ("root", "A" * 42 + "B"), ("root", "A" * 43 + "="), ("root", 0),
        ("count", 0), ("count", 1_000), ("count", 2.0), ("count", True), ("count", "2"),
        ("extra", 1),
    ],
)  # fmt: skip
def test_a_claim_of_another_shape_is_refused(name: str, value: object) -> None:
    with pytest.raises(ClaimInvalidError):
        parse_claims(**{name: value})


def test_a_request_is_no_statement_and_a_statement_no_request() -> None:
    with pytest.raises(JwsHeaderRefusedError):
        parse_statement(sign_compact(KEY, json.dumps(CLAIMS).encode(), typ="heptad-request+jws"))


def test_a_statement_has_a_limit() -> None:
    with pytest.raises(RequestTooLargeError):
        parse_statement(b"a" * 2_049)


def test_the_same_bundle_signed_anew_is_the_same_and_any_other_claim_is_not() -> None:
    def digest(**changes: object) -> bytes:
        claims = {**CLAIMS, "root": b"r" * 32, **changes}
        return bundle_digest(parse_statement(sign_statement(KEY, **claims)))  # type: ignore[arg-type]

    assert digest() == digest(iat=1_760_000_100, exp=1_760_000_300)
    others = {
        digest(iss="bank"), digest(aud="b.example"), digest(jti=JTI[:-1] + "0"),
        digest(root=b"s" * 32), digest(count=3),
    }  # fmt: skip
    assert len({digest()} | others) == 6


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_bit_of_a_statement_may_change_unnoticed(data: st.DataObject) -> None:
    raw = bytearray(signed().statement)
    at = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[at // 8] ^= 1 << (at % 8)

    with pytest.raises((CryptoRefusalError, SignatureInvalidError)):
        verify_statement(parse_statement(bytes(raw)), KEY.public)


def test_the_private_half_says_whom_it_is_about() -> None:
    half = private_half(subject=SUBJECT, payload=b"a\nb")

    assert split_private_half(half) == (SUBJECT, b"a\nb")
    for broken in (b"", b"kn", "kn-é\n".encode()):
        with pytest.raises(ValueError, match="line feed"):
            split_private_half(broken)


def test_records_sealed_together_open_one_by_one() -> None:
    lease, lease_id = b"l" * 32, b"i" * 16
    plains = [b"w" * 32 + b"p" * size for size in (0, 500, 3, 16_384)]
    records = [
        Unsealed(b"entry %d" % n, plain, n.to_bytes(8, "big") + lease_id + NO_REQUEST_REF, lease)
        for n, plain in enumerate(plains)
    ]

    sealed = seal_records(records, routing_key=RoutingKey(3, b"r" * 32))

    for n, (record, box) in enumerate(zip(records, sealed, strict=True)):
        routing = open_routing(box, entry=record.entry, routing_key=b"r" * 32)
        opened = open_record(box, entry=record.entry, lease=lease)
        assert (routing.key_ref, routing.lease_id) == (n, lease_id)
        assert routing.request_ref == NO_REQUEST_REF
        assert opened.witness + opened.payload == record.plain
    assert len({box[5:29] for box in sealed} | {box[85:109] for box in sealed}) == 8


@pytest.mark.parametrize("change", [{"plain": b"w" * 31}, {"routing": b""}, {"lease": b"l" * 31}])
def test_lengths_that_libsodium_would_trust_are_checked(change: dict[str, bytes]) -> None:
    record = Unsealed(b"e", b"w" * 32, bytes(40), b"l" * 32)._replace(**change)
    with pytest.raises(ValueError, match="length"):
        seal_records([record], routing_key=RoutingKey(1, b"r" * 32))
    with pytest.raises(ValueError, match="routing key"):
        seal_records([], routing_key=RoutingKey(1, b"r"))
