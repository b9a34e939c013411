"""Signed requests: the claims inside the JWS, what makes two of them the same, and signing.

Every claim is required and none other is allowed, so a request means what it says in eight lines.
What depends on a clock, a cell or a registry (freshness, audience, key, replay, policy) is for the
validator's checks; here stands only what the bytes alone decide.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from heptad.crypto import strict_json
from heptad.crypto.claims import AUD, JTI, Shape, lifetime, read_claims, text
from heptad.crypto.errors import ClaimInvalidError, RequestTooLargeError
from heptad.crypto.jwk import PublicKey
from heptad.crypto.jws import parse_compact, sign_compact, verify_signature
from heptad.crypto.keys import RequestKey
from heptad.crypto.signatures import Algorithm
from heptad.model.requests import DATA_BYTES_MAX, REQUEST_BYTES_MAX, RequestId, request_id

REQUEST_TYP: Final = "heptad-request+jws"
_CLAIMS_DOMAIN: Final = b"heptad/v1/claims\0"
_NAMES: Final = dict.fromkeys(("iss", "aud", "jti", "iat", "exp", "svc", "act", "data"))
_ISS: Final = Shape(
    re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}"), "1 to 128 letters, digits and ._~-"
)
_SVC: Final = Shape(
    re.compile(r"[a-z0-9][a-z0-9._-]{0,63}"), "1 to 64 lower-case letters, digits and ._-"
)
_ACT: Final = Shape(
    re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*"),
    "1 to 64 lower-case letters, digits and _-, in parts with dots between",
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request whose bytes are in order; its signature has not been verified.

    `iat` and `exp` are seconds since 1970, `exp` after `iat`. `data` is the decoded JSON object;
    treat it as read-only. `raw` is the whole JWS as received: the payload that is committed to.
    """

    iss: str
    aud: str
    jti: str
    iat: int
    exp: int
    svc: str
    act: str
    data: Mapping[str, object]
    algorithm: Algorithm
    kid: str
    signing_input: bytes
    signature: bytes
    raw: bytes

    @property
    def request_id(self) -> RequestId:
        """The request's public handle."""
        return request_id(iss=self.iss, jti=self.jti)

    def __repr__(self) -> str:
        return f"SignedRequest({self.request_id}, svc={self.svc}, act={self.act})"


def parse_request(raw: bytes) -> SignedRequest:
    """The request that `raw`, a compact JWS, spells: first its shape, then `alg`, then the claims.

    Raises: RequestTooLargeError, JwsMalformedError, JwsHeaderRefusedError, AlgorithmRefusedError,
    ClaimsMalformedError, ClaimMissingError, ClaimInvalidError, in this order; `field` names the
    claim. No message repeats what the request says.
    """
    jws = parse_compact(raw, typ=REQUEST_TYP, bytes_max=REQUEST_BYTES_MAX)
    claims = read_claims(jws.payload, names=_NAMES)
    iat, exp = lifetime(claims)
    return SignedRequest(
        iss=text(claims, "iss", _ISS),
        aud=text(claims, "aud", AUD),
        jti=text(claims, "jti", JTI),
        iat=iat,
        exp=exp,
        svc=text(claims, "svc", _SVC),
        act=text(claims, "act", _ACT),
        data=_data(claims, len(jws.payload)),
        algorithm=jws.algorithm,
        kid=jws.kid,
        signing_input=jws.signing_input,
        signature=jws.signature,
        raw=raw,
    )


def verify_request(request: SignedRequest, key: PublicKey) -> None:
    """Prove that the registered `key` signed the request.

    Raises: AlgorithmRefusedError, SignatureInvalidError.
    """
    verify_signature(
        key,
        algorithm=request.algorithm,
        signing_input=request.signing_input,
        signature=request.signature,
    )


def claims_digest(request: SignedRequest) -> bytes:
    """32 bytes that are equal for two requests iff all claims but `iat` and `exp` are equal.

    An honest retry is signed anew, with later times and another signature, and must still count as
    the same request.
    """
    claims = {
        "iss": request.iss,
        "aud": request.aud,
        "jti": request.jti,
        "svc": request.svc,
        "act": request.act,
        "data": request.data,
    }
    return hashlib.sha256(_CLAIMS_DOMAIN + strict_json.encode(claims)).digest()


def sign_request(
    key: RequestKey,
    *,
    iss: str,
    aud: str,
    jti: str,
    iat: int,
    exp: int,
    svc: str,
    act: str,
    data: Mapping[str, object],
) -> bytes:
    """A request as compact JWS, in ASCII, signed with ES256 or EdDSA as the key is.

    `iat` and `exp` are seconds; `jti` is a UUID in canonical lower case.
    """
    claims = {
        "iss": iss,
        "aud": aud,
        "jti": jti,
        "iat": iat,
        "exp": exp,
        "svc": svc,
        "act": act,
        "data": data,
    }
    return sign_compact(key, strict_json.encode(claims), typ=REQUEST_TYP)


def _data(claims: dict[str, object], payload_bytes: int) -> dict[str, object]:
    data = claims["data"]
    if not isinstance(data, dict):
        raise ClaimInvalidError("data is no JSON object", field="data")
    if payload_bytes > DATA_BYTES_MAX:
        size = len(strict_json.encode(data))
        if size > DATA_BYTES_MAX:
            raise RequestTooLargeError(
                f"data has {size} bytes; the limit is {DATA_BYTES_MAX}", field="data"
            )
    return data
