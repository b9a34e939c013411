"""Requests cross the border to a JOSE library that nobody here wrote, in both directions."""

import json
from collections.abc import Mapping

import pytest
from joserfc import jws as joserfc_jws
from joserfc.jwk import ECKey, OKPKey

from heptad.crypto.jwk import jwk_of, parse_jwk
from heptad.crypto.keys import RequestKey
from heptad.crypto.requests import parse_request, sign_request, verify_request

# RFC 9864 names Ed25519 anew; joserfc warns, but signs and verifies by the old name.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_request_signed_by_joserfc_is_read_and_verified(
    claims: dict[str, object], algorithm: str
) -> None:
    key = ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")
    header = {"alg": algorithm, "typ": "heptad-request+jws", "kid": key.thumbprint()}

    for number in range(20):
        claims["data"] = {"number": number, "text": "\u00fc\U0001f600"}
        raw = joserfc_jws.serialize_compact(header, json.dumps(claims), key, algorithms=[algorithm])
        request = parse_request(raw.encode())

        public = parse_jwk(_required_members(key.as_dict(private=False)))
        verify_request(request, public)
        assert public.kid == key.thumbprint() == request.kid
        assert request.data == claims["data"]


def _required_members(jwk: Mapping[str, object]) -> dict[str, object]:
    return {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}


def test_joserfc_verifies_what_we_sign(request_key: RequestKey, claims: dict[str, object]) -> None:
    raw = sign_request(request_key, **claims)  # type: ignore[arg-type]  # the fixture fits
    jwk = jwk_of(request_key.public)
    key = ECKey.import_key(jwk) if jwk["kty"] == "EC" else OKPKey.import_key(jwk)

    verified = joserfc_jws.deserialize_compact(raw, key, algorithms=["ES256", "EdDSA"])

    assert json.loads(verified.payload) == claims
