"""Registration: only who holds the private key can register the public one."""

import json
from collections.abc import Callable, Mapping

import pytest

from heptad.crypto.errors import ClaimInvalidError, KeyInvalidError, SignatureInvalidError
from heptad.crypto.jwk import jwk_of
from heptad.crypto.keys import Ed25519Key, P256Key, RequestKey
from heptad.crypto.registration import (
    read_registration,
    sign_registration,
    verify_registration,
)
from heptad.crypto.requests import parse_request, sign_request

JTI = "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e"
Sign = Callable[..., bytes]


@pytest.fixture
def sign(ed25519_key: Ed25519Key) -> Sign:
    """Signs a registration with some claims changed."""

    def signed(**changes: object) -> bytes:
        claims: dict[str, object] = {
            "iss": ed25519_key.public.kid,
            "aud": "heptad.example/c1",
            "jti": JTI,
            "iat": 1_700_000_000,
            "exp": 1_700_000_060,
            "svc": "heptad",
            "act": "subject.register",
            "data": {"jwk": jwk_of(ed25519_key.public)},
        }
        return sign_request(ed25519_key, **{**claims, **changes})  # type: ignore[arg-type]

    return signed


def test_a_registration_proves_possession_of_the_key(request_key: RequestKey) -> None:
    raw = sign_registration(
        request_key, aud="heptad.example/c1", jti=JTI, iat=1, exp=60, svc="heptad"
    )

    assert verify_registration(parse_request(raw)) == request_key.public


@pytest.mark.parametrize("seed", [33, 158])
def test_a_key_whose_thumbprint_begins_with_a_sign_can_register(seed: int) -> None:
    """A thumbprint is base64url: one of 32 begins with "-" or "_"."""
    key = Ed25519Key(seed.to_bytes(32, "big"))
    assert key.public.kid[0] in "-_"

    raw = sign_registration(key, aud="heptad.example/c1", jti=JTI, iat=1, exp=60, svc="heptad")

    assert verify_registration(parse_request(raw)) == key.public


def test_nobody_registers_a_key_that_another_one_holds(ed25519_key: Ed25519Key, sign: Sign) -> None:
    stolen = P256Key.generate().public

    with pytest.raises(KeyInvalidError, match="kid"):
        read_registration(parse_request(sign(iss=stolen.kid, data={"jwk": jwk_of(stolen)})))


def test_a_registration_with_the_kid_of_another_key_does_not_verify(
    ed25519_key: Ed25519Key,
) -> None:
    """The thief writes the victim's `kid` and key, but can only sign with his own."""
    victim, thief = ed25519_key, Ed25519Key.generate()

    class Thief:
        public = victim.public
        sign = thief.sign

    raw = sign_registration(Thief(), aud="x", jti=JTI, iat=1, exp=60, svc="heptad")

    with pytest.raises(SignatureInvalidError):
        verify_registration(parse_request(raw))


def test_the_issuer_of_a_registration_is_its_key(sign: Sign) -> None:
    with pytest.raises(ClaimInvalidError, match="iss") as refusal:
        read_registration(parse_request(sign(iss="c1-abcdefghijklmnopqrstuvwxyz")))

    assert refusal.value.field == "iss"


def test_another_action_registers_nobody(sign: Sign) -> None:
    with pytest.raises(ClaimInvalidError, match="act"):
        read_registration(parse_request(sign(act="key.add")))


@pytest.mark.parametrize("data", [{}, {"jwk": {}, "name": "Jo"}, {"key": {}}, {"JWK": {}}])
def test_a_registration_holds_the_key_and_nothing_else(
    sign: Sign, data: Mapping[str, object]
) -> None:
    with pytest.raises(ClaimInvalidError, match="exactly jwk"):
        read_registration(parse_request(sign(data=data)))


@pytest.mark.parametrize("jwk", [None, "text", {}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}])
def test_a_registration_needs_a_usable_key(sign: Sign, jwk: object) -> None:
    with pytest.raises(KeyInvalidError):
        read_registration(parse_request(sign(data=json.loads(json.dumps({"jwk": jwk})))))


def test_a_private_jwk_is_never_taken(sign: Sign, ed25519_key: Ed25519Key) -> None:
    jwk = {**jwk_of(ed25519_key.public), "d": "AAAA"}

    with pytest.raises(KeyInvalidError, match="private"):
        read_registration(parse_request(sign(data={"jwk": jwk})))
