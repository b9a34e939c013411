"""A key is added by two signatures: one of a key that the subject has, and the new key's own."""

import json
from collections.abc import Callable

import pytest

from heptad.crypto.device_keys import (
    PROOF_TYP,
    addition_data,
    read_addition,
    read_revocation,
    sign_key_addition,
    sign_key_proof,
    sign_key_revocation,
    verify_addition,
)
from heptad.crypto.errors import ClaimInvalidError, KeyInvalidError, KeyProofInvalidError
from heptad.crypto.jwk import jwk_of
from heptad.crypto.jws import sign_compact
from heptad.crypto.keys import Ed25519Key, P256Key, RequestKey
from heptad.crypto.requests import SignedRequest, parse_request, sign_request
from heptad.model import base64url

ISS, AUD = "c1-abcdefghijklmnopqrstuvwxyz", "heptad.example/c1"
JTI = "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e"
OTHER_JTI = "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5f"
NEW = Ed25519Key(b"n" * 32)
PHONE = P256Key.generate()


@pytest.fixture
def adding(ed25519_key: Ed25519Key) -> Callable[..., SignedRequest]:
    """A request to add `NEW`, with some claims changed."""

    def request(**changes: object) -> SignedRequest:
        proof = sign_key_proof(NEW, iss=ISS, aud=AUD, jti=JTI)
        claims: dict[str, object] = {
            "iss": ISS,
            "aud": AUD,
            "jti": JTI,
            "iat": 1,
            "exp": 60,
            "svc": "heptad",
            "act": "key.add",
            "data": addition_data(NEW.public, proof),
        }
        return parse_request(sign_request(ed25519_key, **{**claims, **changes}))  # type: ignore[arg-type]

    return request


def with_proof(adding: Callable[..., SignedRequest], proof: object) -> SignedRequest:
    return adding(data={"jwk": jwk_of(NEW.public), "proof": proof})


@pytest.mark.parametrize("new_key", [NEW, PHONE], ids=["EdDSA", "ES256"])
def test_a_new_key_is_proved_by_its_own_signature(
    ed25519_key: Ed25519Key, new_key: RequestKey
) -> None:
    raw = sign_key_addition(ed25519_key, new_key, iss=ISS, aud=AUD, jti=JTI, iat=1, exp=60)
    request = parse_request(raw)
    assert verify_addition(request) == new_key.public
    assert request.kid == ed25519_key.public.kid


@pytest.mark.parametrize(
    "bound",
    [
        {"iss": "c1-bbbbbbbbbbbbbbbbbbbbbbbbbb"},
        {"aud": "heptad.example/c2"},
        {"jti": OTHER_JTI},
    ],
    ids=lambda bound: next(iter(bound)),
)
def test_a_proof_for_another_subject_cell_or_request_is_refused(
    adding: Callable[..., SignedRequest], bound: dict[str, str]
) -> None:
    proof = sign_key_proof(NEW, **{"iss": ISS, "aud": AUD, "jti": JTI, **bound})
    with pytest.raises(KeyProofInvalidError, match="not those of the request"):
        read_addition(with_proof(adding, proof.decode()))


def test_nobody_adds_a_key_of_which_only_the_public_half_is_known(
    adding: Callable[..., SignedRequest],
) -> None:
    thief = Ed25519Key(b"t" * 32)
    proof = sign_key_proof(thief, iss=ISS, aud=AUD, jti=JTI)
    with pytest.raises(KeyProofInvalidError, match="thumbprint"):
        verify_addition(with_proof(adding, proof.decode()))


def test_a_proof_under_the_new_keys_name_by_another_key_is_refused(
    adding: Callable[..., SignedRequest],
) -> None:
    genuine = sign_key_proof(NEW, iss=ISS, aud=AUD, jti=JTI)
    forged = sign_key_proof(Ed25519Key(b"t" * 32), iss=ISS, aud=AUD, jti=JTI)
    proof = genuine.rpartition(b".")[0] + b"." + forged.rpartition(b".")[2]
    with pytest.raises(KeyProofInvalidError, match="verify"):
        verify_addition(with_proof(adding, proof.decode()))


def test_a_signature_of_another_algorithm_is_no_proof(
    ed25519_key: Ed25519Key, adding: Callable[..., SignedRequest]
) -> None:
    """The header may name any algorithm; the key's is the one that counts."""
    head, _, rest = sign_key_proof(PHONE, iss=ISS, aud=AUD, jti=JTI).partition(b".")
    assert b"ES256" in bytes_of(head)
    lying = b64_of(bytes_of(head).replace(PHONE.public.kid.encode(), NEW.public.kid.encode()))
    with pytest.raises(KeyProofInvalidError, match="algorithm"):
        verify_addition(with_proof(adding, (lying + b"." + rest).decode()))


def test_a_request_is_no_proof_and_a_proof_no_request(
    adding: Callable[..., SignedRequest],
) -> None:
    claims = json.dumps({"iss": ISS, "aud": AUD, "jti": JTI}).encode()
    request = sign_compact(NEW, claims, typ="heptad-request+jws")
    with pytest.raises(KeyProofInvalidError, match="typ"):
        read_addition(with_proof(adding, request.decode()))
    assert PROOF_TYP != "heptad-request+jws"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": ISS, "aud": AUD},
        {"iss": ISS, "aud": AUD, "jti": JTI, "exp": 60},
        {"iss": ISS, "aud": [AUD], "jti": JTI},
        [],
    ],
)
def test_a_proof_says_exactly_three_things(
    adding: Callable[..., SignedRequest], claims: object
) -> None:
    proof = sign_compact(NEW, json.dumps(claims).encode(), typ=PROOF_TYP)
    with pytest.raises(KeyProofInvalidError):
        read_addition(with_proof(adding, proof.decode()))


@pytest.mark.parametrize("proof", [None, 5, "", "a.b", "ä.b.c", "x" * 2_000])
def test_what_is_no_jws_is_no_proof(adding: Callable[..., SignedRequest], proof: object) -> None:
    with pytest.raises(KeyProofInvalidError):
        read_addition(with_proof(adding, proof))


def test_a_proof_is_short(adding: Callable[..., SignedRequest]) -> None:
    claims = json.dumps({"iss": ISS, "aud": AUD, "jti": JTI}).encode() + b" " * 800
    proof = sign_compact(NEW, claims, typ=PROOF_TYP)
    with pytest.raises(KeyProofInvalidError, match="limit"):
        read_addition(with_proof(adding, proof.decode()))


@pytest.mark.parametrize("data", [{}, {"jwk": 1}, {"proof": "x"}, {"jwk": 1, "proof": 2, "x": 3}])
def test_an_addition_holds_exactly_jwk_and_proof(
    adding: Callable[..., SignedRequest], data: dict[str, object]
) -> None:
    with pytest.raises(ClaimInvalidError, match="exactly"):
        read_addition(adding(data=data))


def test_a_key_that_is_none_is_not_added(adding: Callable[..., SignedRequest]) -> None:
    with pytest.raises(KeyInvalidError):
        read_addition(adding(data={"jwk": {"kty": "oct", "k": "AAAA"}, "proof": "x"}))


@pytest.mark.parametrize("changes", [{"svc": "tax-office"}, {"act": "key.revoke"}])
def test_only_the_cells_own_service_adds_keys(
    adding: Callable[..., SignedRequest], changes: dict[str, str]
) -> None:
    with pytest.raises(ClaimInvalidError):
        read_addition(adding(**changes))


def test_a_revocation_names_a_key(ed25519_key: Ed25519Key) -> None:
    raw = sign_key_revocation(
        ed25519_key, kid=NEW.public.kid, iss=ISS, aud=AUD, jti=JTI, iat=1, exp=60
    )
    assert read_revocation(parse_request(raw)) == NEW.public.kid


@pytest.mark.parametrize(
    "data", [{}, {"kid": 5}, {"kid": "short"}, {"kid": NEW.public.kid, "why": "lost"}]
)
def test_a_revocation_of_something_else_than_a_kid_is_refused(
    adding: Callable[..., SignedRequest], data: dict[str, object]
) -> None:
    with pytest.raises(ClaimInvalidError):
        read_revocation(adding(act="key.revoke", data=data))


def bytes_of(text: bytes) -> bytes:
    return base64url.decode(text)


def b64_of(data: bytes) -> bytes:
    return base64url.encode_bytes(data)
