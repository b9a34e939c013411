"""Orders, refusals and certificates: the published vectors, and each claim's rule."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.jwk import OKPKey

from heptad.crypto import strict_json
from heptad.crypto.derivation import erasure_salt
from heptad.crypto.erasures import (
    CERTIFICATE_TYP,
    ORDER_TYP,
    REFUSAL_TYP,
    AttestationKeyUnknownError,
    Attested,
    certificate_claims,
    order_claims,
    parse_certificate,
    parse_order,
    parse_refusal,
    refusal_claims,
    sign_certificate,
    sign_order,
    sign_refusal,
    verify_attested,
)
from heptad.crypto.errors import (
    ClaimInvalidError,
    ClaimMissingError,
    CryptoRefusalError,
    JwsHeaderRefusedError,
    RequestTooLargeError,
    SignatureInvalidError,
)
from heptad.crypto.jwk import jwk_of
from heptad.crypto.jws import sign_compact
from heptad.crypto.keys import Ed25519Key
from heptad.model import base64url
from heptad.model.erasure import (
    REMAINS,
    ErasureCertificate,
    ErasureGround,
    ErasureOrder,
    ErasureRefusal,
    OrderedBy,
    RefusalGround,
    Remainder,
    refusal_digest,
    request_digest,
    subject_pseudonym,
)

VECTORS: Final = json.loads(
    (Path(__file__).parents[3] / "docs" / "spec" / "erasure-vectors.json").read_text()
)
KEY: Final = Ed25519Key(bytes(range(32)))
KEYS: Final = {KEY.public.kid: KEY.public}

ORDER: Final = ErasureOrder(
    origin="cell.example",
    slot=4_711,
    ground=ErasureGround.CONSENT_WITHDRAWN,
    ordered_by=OrderedBy.SUBJECT,
    request_digest=b"q" * 32,
    ordered_at_ms=1_760_000_000_000,
)
REFUSAL: Final = ErasureRefusal(
    origin="cell.example",
    ground=RefusalGround.LEGAL_HOLD,
    refusal_digest=b"n" * 32,
    refused_at_ms=1_760_000_000_000,
)
CERTIFICATE: Final = ErasureCertificate(
    origin="cell.example",
    order_index=1_234,
    slot=4_711,
    ground=ErasureGround.CONSENT_WITHDRAWN,
    ordered_by=OrderedBy.SUBJECT,
    request_digest=b"q" * 32,
    subject_pseudonym=b"s" * 32,
    ordered_at_ms=1_760_000_000_000,
    erased_at_ms=1_760_000_065_000,
    epoch_old=7,
    epoch_new=8,
    root_hash=b"r" * 32,
    backend="two-slot file",
    caveat="a drive that remaps blocks may still hold the old block",
    read_back=True,
    ciphertexts=17,
    index_rows=36,
    leases_drained_at_ms=1_760_000_064_000,
    replicas_drop_by_ms=1_760_000_125_000,
    link_until_ms=1_760_090_000_000,
    beyond_use_until_ms=1_762_592_000_000,
    remains=REMAINS,
    software="heptad 0.1.0",
)

AnyAttested = Attested[ErasureOrder] | Attested[ErasureRefusal] | Attested[ErasureCertificate]
CLAIMS: Final = {
    ORDER_TYP: order_claims(ORDER),
    REFUSAL_TYP: refusal_claims(REFUSAL),
    CERTIFICATE_TYP: certificate_claims(CERTIFICATE),
}
PARSERS: Final[dict[str, Callable[[bytes], AnyAttested]]] = {
    ORDER_TYP: parse_order,
    REFUSAL_TYP: parse_refusal,
    CERTIFICATE_TYP: parse_certificate,
}


def parse(typ: str, **changes: object) -> object:
    claims = {**CLAIMS[typ], **changes}
    return PARSERS[typ](sign_compact(KEY, json.dumps(claims).encode(), typ=typ)).statement


def test_what_is_signed_is_read_back_and_verified() -> None:
    order = parse_order(sign_order(KEY, ORDER))
    refusal = parse_refusal(sign_refusal(KEY, REFUSAL))
    certificate = parse_certificate(sign_certificate(KEY, CERTIFICATE))

    verify_attested(order, KEYS)
    verify_attested(refusal, KEYS)
    verify_attested(certificate, KEYS)
    assert order.statement == ORDER
    assert refusal.statement == REFUSAL
    assert certificate.statement == CERTIFICATE


def test_the_published_vectors_follow_from_the_published_layouts() -> None:
    known = VECTORS["digests"]
    request_hash = base64url.decode(known["request_id"])
    salt = hashlib.blake2b(
        request_hash,
        key=bytes.fromhex(known["cell_index_key"]),
        person=b"heptad/v1/salt\0\0",
        digest_size=32,
    ).digest()
    subject = known["subject_id"].encode()

    def salted(domain: bytes, message: bytes) -> str:
        return base64url.encode(hashlib.sha256(domain + b"\0" + salt + message).digest())

    assert base64url.encode(salt) == known["salt"]
    assert salted(b"heptad/v1/erased-subject", subject) == known["subject_pseudonym"]
    assert salted(b"heptad/v1/erasure-request", request_hash) == known["request_digest"]
    assert salted(b"heptad/v1/erasure-refused", request_hash) == known["refusal_digest"]


def test_the_functions_make_the_published_digests() -> None:
    known = VECTORS["digests"]
    request_hash = base64url.decode(known["request_id"])
    salt = erasure_salt(
        cell_index_key=bytes.fromhex(known["cell_index_key"]), request_hash=request_hash
    )
    made = {
        "salt": salt,
        "subject_pseudonym": subject_pseudonym(salt=salt, subject_id=known["subject_id"]),
        "request_digest": request_digest(salt=salt, request_hash=request_hash),
        "refusal_digest": refusal_digest(salt=salt, request_hash=request_hash),
    }
    assert {name: base64url.encode(value) for name, value in made.items()} == {
        name: known[name] for name in made
    }


def test_the_published_statements_are_what_the_key_signs() -> None:
    assert sign_order(KEY, ORDER).decode() == VECTORS["order"]["jws"]
    assert sign_refusal(KEY, REFUSAL).decode() == VECTORS["refusal"]["jws"]
    assert sign_certificate(KEY, CERTIFICATE).decode() == VECTORS["certificate"]["jws"]


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("name", ["order", "refusal", "certificate"])
def test_a_jose_library_that_nobody_here_wrote_verifies_the_published_statements(
    name: str,
) -> None:
    key = OKPKey.import_key(VECTORS["jwk"])

    verified = joserfc_jws.deserialize_compact(VECTORS[name]["jws"], key, algorithms=["EdDSA"])

    assert json.loads(verified.payload) == VECTORS[name]["claims"]
    assert VECTORS["jwk"] == jwk_of(KEY.public)


@pytest.mark.parametrize("typ", CLAIMS)
def test_every_claim_is_required_and_none_other_allowed(typ: str) -> None:
    for name in CLAIMS[typ]:
        claims = {known: value for known, value in CLAIMS[typ].items() if known != name}
        with pytest.raises(ClaimMissingError) as caught:
            PARSERS[typ](sign_compact(KEY, json.dumps(claims).encode(), typ=typ))
        assert caught.value.field == name
    with pytest.raises(ClaimInvalidError):
        parse(typ, extra=1)


WRONG: Final = [
    ("v", 2), ("v", "1"), ("aud", ""), ("aud", ["cell.example"]),
    ("slot", -1), ("slot", 2**53), ("slot", 1.0), ("slot", True), ("order_index", -1),
    ("ground", "because"), ("ground", ""), ("ground", None), ("ground", "CONSENT_WITHDRAWN"),
    ("ordered_by", "ledger"), ("request_digest", "A" * 42), ("request_digest", "A" * 42 + "B"),
    ("refusal_digest", "A" * 44), ("subject_pseudonym", 1), ("root_hash", ""),
    ("ordered_at_ms", 0), ("ordered_at_ms", 253_402_300_799_001), ("refused_at_ms", "1"),
    ("erased_at_ms", None), ("epoch_old", 8), ("epoch_new", 7), ("backend", ""),
    ("backend", "a" * 65), ("backend", "a\nb"), ("caveat", "a" * 513), ("caveat", "\u202e"),
    ("read_back", 1), ("read_back", "yes"), ("ciphertexts", -1), ("index_rows", 0.0),
    ("leases_drained_at_ms", 0), ("replicas_drop_by_ms", 0), ("link_until_ms", -1),
    ("beyond_use_until_ms", 0), ("beyond_use_until_ms", False), ("remains", None),
    ("remains", ["name"]), ("remains", ["service", "entry_time"]),
    ("remains", ["service", "service"]), ("remains", [1]), ("software", "a" * 65),
]  # fmt: skip


@pytest.mark.parametrize(
    ("typ", "name", "value"),
    [(typ, name, value) for name, value in WRONG for typ in CLAIMS if name in CLAIMS[typ]],
)
def test_a_claim_of_another_shape_is_refused(typ: str, name: str, value: object) -> None:
    with pytest.raises(ClaimInvalidError) as caught:
        parse(typ, **{name: value})
    assert caught.value.field in (name, "epoch_new")


def test_where_no_backup_can_open_the_key_the_certificate_says_so() -> None:
    certificate = dataclasses.replace(CERTIFICATE, beyond_use_until_ms=None, remains=())

    assert parse_certificate(sign_certificate(KEY, certificate)).statement == certificate


@pytest.mark.parametrize("typ", CLAIMS)
def test_no_statement_is_taken_for_another(typ: str) -> None:
    raw = sign_compact(KEY, strict_json.encode(CLAIMS[typ]), typ=typ)
    for other in CLAIMS.keys() - {typ}:
        with pytest.raises(JwsHeaderRefusedError):
            PARSERS[other](raw)
        with pytest.raises(JwsHeaderRefusedError):
            PARSERS[other](sign_compact(KEY, b"{}", typ="heptad-request+jws"))


def test_a_statement_has_a_limit() -> None:
    with pytest.raises(RequestTooLargeError):
        parse_certificate(b"a" * 4_097)


def test_the_longest_certificate_fits() -> None:
    number, time_ms = 2**53 - 1, 253_402_300_799_000
    names = {
        field.name
        for field in dataclasses.fields(CERTIFICATE)
        if isinstance(getattr(CERTIFICATE, field.name), int)
    }
    numbers: dict[str, int] = {
        name: time_ms if name.endswith("_ms") else number for name in names - {"read_back"}
    }
    longest = dataclasses.replace(
        CERTIFICATE,
        **numbers | {"epoch_old": number - 1},  # type: ignore[arg-type]
        origin="o" * 255,
        backend="b" * 64,
        caveat="c" * 512,
        software="s" * 64,
        ground=max(ErasureGround, key=len),
    )

    assert parse_certificate(sign_certificate(KEY, longest)).statement == longest


def test_only_a_key_of_the_ledger_attests() -> None:
    stranger = Ed25519Key(bytes(32))
    attested = parse_order(sign_order(stranger, ORDER))
    with pytest.raises(AttestationKeyUnknownError):
        verify_attested(attested, KEYS)
    with pytest.raises(SignatureInvalidError):
        verify_attested(attested, {stranger.public.kid: KEY.public})


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_bit_of_a_certificate_may_change_unnoticed(data: st.DataObject) -> None:
    raw = bytearray(sign_certificate(KEY, CERTIFICATE))
    at = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[at // 8] ^= 1 << (at % 8)

    with pytest.raises(CryptoRefusalError):
        verify_attested(parse_certificate(bytes(raw)), KEYS)


def test_an_order_and_a_refusal_of_one_request_share_no_digest() -> None:
    salt, request_hash = b"s" * 32, b"h" * 32
    digests = {
        request_digest(salt=salt, request_hash=request_hash),
        refusal_digest(salt=salt, request_hash=request_hash),
        subject_pseudonym(salt=salt, subject_id="h" * 32),
        request_digest(salt=b"t" * 32, request_hash=request_hash),
    }
    assert len(digests) == 4
    with pytest.raises(ValueError, match="32 bytes"):
        request_digest(salt=b"short", request_hash=request_hash)


def test_every_ground_stands_in_the_regulation() -> None:
    for ground in (*ErasureGround, *RefusalGround):
        assert ground.article.startswith("Art. 1")
    assert RefusalGround.PUBLIC_TASK.article == "Art. 17(3)(b)"
    assert RefusalGround.LEGAL_HOLD.article == "Art. 17(3)(e)"
    assert len({ground.article for ground in ErasureGround}) == 6


def test_the_words_are_those_published() -> None:
    words = {
        "erasure_grounds": ErasureGround,
        "refusal_grounds": RefusalGround,
        "ordered_by": OrderedBy,
        "remains": Remainder,
    }
    assert {name: list(enum) for name, enum in words.items()} == VECTORS["words"]
