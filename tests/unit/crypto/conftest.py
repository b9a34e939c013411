"""Keys, claims and a forge for JWS that no honest library would make."""

import base64
import json
from collections.abc import Callable, Mapping

import pytest

from heptad.crypto.keys import Ed25519Key, P256Key, RequestKey

JTI = "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e"


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def forge_jws(key: RequestKey, header: Mapping[str, object] | bytes, payload: bytes) -> bytes:
    """A correctly signed JWS over any header and payload whatever."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    signing_input = b64(head) + b"." + b64(payload)
    return signing_input + b"." + b64(key.sign(signing_input))


@pytest.fixture(scope="session")
def ed25519_key() -> Ed25519Key:
    return Ed25519Key(bytes(range(32)))


@pytest.fixture(scope="session")
def p256_key() -> P256Key:
    return P256Key.generate()


@pytest.fixture(params=["EdDSA", "ES256"])
def request_key(
    request: pytest.FixtureRequest, ed25519_key: Ed25519Key, p256_key: P256Key
) -> RequestKey:
    return ed25519_key if request.param == "EdDSA" else p256_key


@pytest.fixture
def claims() -> dict[str, object]:
    return {
        "iss": "c1-abcdefghijklmnopqrstuvwxyz",
        "aud": "heptad.example/c1",
        "jti": JTI,
        "iat": 1_700_000_000,
        "exp": 1_700_000_300,
        "svc": "tax-office",
        "act": "consent.grant",
        "data": {"purpose": "a loan", "scope": ["income"], "years": 3},
    }


@pytest.fixture
def header(ed25519_key: Ed25519Key) -> dict[str, object]:
    return {"alg": "EdDSA", "typ": "heptad-request+jws", "kid": ed25519_key.public.kid}


@pytest.fixture
def forge(ed25519_key: Ed25519Key) -> Callable[[Mapping[str, object] | bytes, bytes], bytes]:
    """`forge(header, payload)`: signed by the Ed25519 key."""
    return lambda header, payload: forge_jws(ed25519_key, header, payload)
