"""Signed requests: each claim's rule, what "the same request" means, and no crash."""

import json
import string
from collections.abc import Callable, Mapping
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.crypto.errors import (
    ClaimInvalidError,
    ClaimMissingError,
    ClaimsMalformedError,
    CryptoRefusalError,
    RequestTooLargeError,
    SignatureInvalidError,
)
from heptad.crypto.jws import sign_compact
from heptad.crypto.keys import Ed25519Key, RequestKey
from heptad.crypto.requests import (
    SignedRequest,
    claims_digest,
    parse_request,
    sign_request,
    verify_request,
)

Forge = Callable[[Mapping[str, object] | bytes, bytes], bytes]
Parse = Callable[[Mapping[str, object]], SignedRequest]
CLAIMS: Final = ("iss", "aud", "jti", "iat", "exp", "svc", "act", "data")


@pytest.fixture
def parse(forge: Forge, header: dict[str, object]) -> Parse:
    """Parses a correctly signed request with any claims whatever."""
    return lambda claims: parse_request(forge(header, json.dumps(claims).encode()))


def test_a_signed_request_says_what_was_signed(
    request_key: RequestKey, claims: dict[str, object]
) -> None:
    raw = sign_request(request_key, **claims)  # type: ignore[arg-type]  # the fixture fits

    request = parse_request(raw)

    verify_request(request, request_key.public)
    assert {name: getattr(request, name) for name in CLAIMS} == claims
    assert request.raw == raw
    assert request.kid == request_key.public.kid


def test_one_changed_claim_breaks_the_signature(
    request_key: RequestKey, claims: dict[str, object]
) -> None:
    raw = sign_request(request_key, **claims)  # type: ignore[arg-type]  # the fixture fits
    other = sign_request(request_key, **{**claims, "svc": "bank"})  # type: ignore[arg-type]
    head, _, signature = raw.split(b".")
    spliced = b".".join([head, other.split(b".")[1], signature])

    with pytest.raises(SignatureInvalidError):
        verify_request(parse_request(spliced), request_key.public)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_missing_claim_is_named(parse: Parse, claims: dict[str, object], name: str) -> None:
    del claims[name]

    with pytest.raises(ClaimMissingError, match=name) as refusal:
        parse(claims)

    assert (refusal.value.code, refusal.value.field) == ("claim_missing", name)


@pytest.mark.parametrize("name", ["nbf", "sub", "Iss", "scope", ""])
def test_a_further_claim_is_refused(parse: Parse, claims: dict[str, object], name: str) -> None:
    with pytest.raises(ClaimInvalidError, match="only these"):
        parse({**claims, name: 1})


@pytest.mark.parametrize("name", ["iat", "exp"])
@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        1_700_000_100.0,
        1.7e9,
        "1700000100",
        None,
        [1_700_000_100],
        0,
        -1,
        10**12,
        10**30,
    ],
)
def test_a_time_is_an_integer_of_seconds(
    parse: Parse, claims: dict[str, object], name: str, value: object
) -> None:
    with pytest.raises(ClaimInvalidError) as refusal:
        parse({**claims, name: value})

    assert (refusal.value.code, refusal.value.field) == ("claim_invalid", name)


def test_true_is_no_time_even_where_one_would_be(parse: Parse, claims: dict[str, object]) -> None:
    with pytest.raises(ClaimInvalidError, match="iat is not an integer"):
        parse({**claims, "iat": True, "exp": 300})


@pytest.mark.parametrize("exp", [1_700_000_000, 1_699_999_999])
def test_a_request_ends_after_it_begins(parse: Parse, claims: dict[str, object], exp: int) -> None:
    with pytest.raises(ClaimInvalidError, match="exp does not lie after iat"):
        parse({**claims, "exp": exp})


@pytest.mark.parametrize("name", ["iss", "aud", "jti", "svc", "act"])
@pytest.mark.parametrize("value", [None, 1, True, ["heptad.example/c1"], {"a": 1}, "", "a\n", " a"])
def test_a_name_is_one_well_formed_string(
    parse: Parse, claims: dict[str, object], name: str, value: object
) -> None:
    with pytest.raises(ClaimInvalidError) as refusal:
        parse({**claims, name: value})

    assert refusal.value.field == name


@pytest.mark.parametrize(
    "jti",
    [
        "6F1D1A0E-4A34-4F57-9F0E-0C1F2B3A4D5E",
        "6f1d1a0e4a344f579f0e0c1f2b3a4d5e",
        "{6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e}",
        "urn:uuid:6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e",
        "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5",
        "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e\n",
        "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5\u0665",
    ],
)
def test_a_jti_is_a_uuid_in_one_spelling(parse: Parse, claims: dict[str, object], jti: str) -> None:
    with pytest.raises(ClaimInvalidError, match="UUID"):
        parse({**claims, "jti": jti})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "a" * 129),
        ("iss", ".leading"),
        ("iss", "a/b"),
        ("aud", "a" * 256),
        ("aud", "heptad.ex\u00e4mple"),
        ("svc", "Tax"),
        ("svc", "a" * 65),
        ("act", "a" * 65),
        ("act", "consent..grant"),
        ("act", "consent."),
        ("act", ".grant"),
        ("act", "Consent"),
    ],
)
def test_a_name_keeps_to_its_letters_and_length(
    parse: Parse, claims: dict[str, object], name: str, value: str
) -> None:
    with pytest.raises(ClaimInvalidError) as refusal:
        parse({**claims, name: value})

    assert refusal.value.field == name
    assert value not in str(refusal.value)


@pytest.mark.parametrize("data", [None, [], "text", 1, True])
def test_data_is_an_object(parse: Parse, claims: dict[str, object], data: object) -> None:
    with pytest.raises(ClaimInvalidError, match="data"):
        parse({**claims, "data": data})


def test_data_is_limited_on_its_own(parse: Parse, claims: dict[str, object]) -> None:
    overhead = len('{"t":""}')
    fits = {"t": "x" * (8_192 - overhead)}

    assert parse({**claims, "data": fits}).data == fits
    with pytest.raises(RequestTooLargeError, match="8193") as refusal:
        parse({**claims, "data": {"t": "x" * (8_193 - overhead)}})
    assert refusal.value.field == "data"


def test_a_request_over_16_kib_is_refused_whatever_it_is() -> None:
    with pytest.raises(RequestTooLargeError, match="16385"):
        parse_request(b"x" * 16_385)


@pytest.mark.parametrize(
    "payload",
    [b"[]", b"null", b"text", b"{}{}", b"\xff", b'{"iss":"a","iss":"a"}', b'{"a":[{"b":1,"b":1}]}',
     b"[" * 9_000, b'{"data":' * 1_000],
)  # fmt: skip
def test_claims_are_one_strict_json_object(
    forge: Forge, header: dict[str, object], payload: bytes
) -> None:
    with pytest.raises(ClaimsMalformedError) as refusal:
        parse_request(forge(header, payload))

    assert refusal.value.code == "claims_malformed"


def test_shape_comes_before_algorithm_and_algorithm_before_claims(
    forge: Forge, header: dict[str, object]
) -> None:
    bad_claims = b"no claims"
    raw = forge({**header, "alg": "none"}, bad_claims)

    codes = [
        _code_of(raw + b"="),
        _code_of(raw),
        _code_of(forge(header, bad_claims)),
    ]

    assert codes == ["jws_malformed", "algorithm_refused", "claims_malformed"]


def _code_of(raw: bytes) -> str:
    with pytest.raises(CryptoRefusalError) as refusal:
        parse_request(raw)
    return refusal.value.code


# --- the same request ---


def test_a_retry_signed_anew_is_the_same_request(
    request_key: RequestKey, claims: dict[str, object]
) -> None:
    first = parse_request(sign_request(request_key, **claims))  # type: ignore[arg-type]
    later = {**claims, "iat": 1_700_000_060, "exp": 1_700_000_200}
    retry = parse_request(sign_request(request_key, **later))  # type: ignore[arg-type]

    assert retry.raw != first.raw
    assert claims_digest(retry) == claims_digest(first)
    assert retry.request_id == first.request_id


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "c1-bbcdefghijklmnopqrstuvwxyz"),
        ("aud", "heptad.example/c2"),
        ("jti", "00000000-4a34-4f57-9f0e-0c1f2b3a4d5e"),
        ("svc", "bank"),
        ("act", "consent.withdraw"),
        ("data", {"purpose": "a loan", "scope": ["income"], "years": 4}),
        ("data", {"purpose": "a loan", "scope": ["income"], "years": "3"}),
        ("data", {"purpose": "a loan", "scope": "income", "years": 3}),
        ("data", {}),
    ],
)
def test_any_other_claim_makes_it_another_request(
    ed25519_key: Ed25519Key, claims: dict[str, object], name: str, value: object
) -> None:
    first = parse_request(sign_request(ed25519_key, **claims))  # type: ignore[arg-type]
    changed = parse_request(sign_request(ed25519_key, **{**claims, name: value}))  # type: ignore[arg-type]

    assert claims_digest(changed) != claims_digest(first)


def test_the_order_and_spacing_of_claims_do_not_matter(
    parse: Parse, forge: Forge, header: dict[str, object], claims: dict[str, object]
) -> None:
    respelled = json.dumps(dict(reversed(claims.items())), indent=1).encode()

    assert claims_digest(parse_request(forge(header, respelled))) == claims_digest(parse(claims))


def test_a_request_does_not_show_its_personal_data(parse: Parse, claims: dict[str, object]) -> None:
    shown = repr(parse(claims))

    assert "a loan" not in shown
    assert str(claims["iss"]) not in shown


# --- properties ---

RAW = sign_request(
    Ed25519Key(bytes(range(32))),
    iss="c1-abcdefghijklmnopqrstuvwxyz",
    aud="heptad.example/c1",
    jti="6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e",
    iat=1_700_000_000,
    exp=1_700_000_300,
    svc="tax-office",
    act="consent.grant",
    data={"purpose": "a loan"},
)
KEY = Ed25519Key(bytes(range(32))).public


def _judge(raw: bytes) -> None:
    """Parse and verify; anything but a refusal of this room is a failure."""
    try:
        verify_request(parse_request(raw), KEY)
    except CryptoRefusalError:
        return
    assert raw == RAW, "changed bytes were accepted"


@settings(max_examples=600)
@given(position=st.integers(0, len(RAW) - 1), byte=st.integers(0, 255))
def test_no_changed_byte_is_accepted_or_crashes(position: int, byte: int) -> None:
    _judge(RAW[:position] + bytes([byte]) + RAW[position + 1 :])


@settings(max_examples=300)
@given(
    start=st.integers(0, len(RAW)),
    length=st.integers(0, 40),
    replacement=st.binary(max_size=40) | st.text(string.ascii_letters + ".-_=").map(str.encode),
)
def test_no_changed_stretch_is_accepted_or_crashes(
    start: int, length: int, replacement: bytes
) -> None:
    _judge(RAW[:start] + replacement + RAW[start + length :])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    changes=st.dictionaries(st.sampled_from((*CLAIMS, "nbf")), JSON_VALUES, max_size=3),
    removed=st.sets(st.sampled_from(CLAIMS), max_size=1),
)
def test_no_claims_whatever_crash_the_parser(changes: dict[str, object], removed: set[str]) -> None:
    key = Ed25519Key(bytes(range(32)))
    claims = {
        "iss": "c1-a",
        "aud": "x",
        "jti": "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e",
        "iat": 1,
        "exp": 2,
        "svc": "s",
        "act": "a",
        "data": {},
        **changes,
    }
    payload = json.dumps({k: v for k, v in claims.items() if k not in removed}).encode()
    raw = sign_compact(key, payload, typ="heptad-request+jws")

    try:
        request = parse_request(raw)
    except CryptoRefusalError:
        return
    assert len(claims_digest(request)) == 32
