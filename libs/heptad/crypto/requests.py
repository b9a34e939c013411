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
from heptad.crypto.errors import (
    ClaimInvalidError,
    ClaimMissingError,
    ClaimsMalformedError,
    RequestTooLargeError,
)
from heptad.crypto.jwk import PublicKey
from heptad.crypto.jws import parse_compact, sign_compact, verify_signature
from heptad.crypto.keys import RequestKey
from heptad.crypto.signatures import Algorithm
from heptad.model.requests import DATA_BYTES_MAX, REQUEST_BYTES_MAX, RequestId, request_id

REQUEST_TYP: Final = "heptad-request+jws"
TIME_S_MAX: Final = 253_402_300_799
"""The end of the year 9999, in seconds since 1970."""

_CLAIMS_DOMAIN: Final = b"heptad/v1/claims\0"
_NAMES: Final = ("iss", "aud", "jti", "iat", "exp", "svc", "act", "data")
_NAME_SET: Final = frozenset(_NAMES)
_SHAPES: Final = {
    "iss": re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}"),
    "aud": re.compile(r"[!-~]{1,255}"),
    "jti": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "svc": re.compile(r"[a-z0-9][a-z0-9._-]{0,63}"),
    "act": re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*"),
}
_SHAPES_IN_WORDS: Final = {
    "iss": "1 to 128 letters, digits and ._~-",
    "aud": "1 to 255 printable ASCII characters without spaces",
    "jti": "a UUID in canonical lower case",
    "svc": "1 to 64 lower-case letters, digits and ._-",
    "act": "1 to 64 lower-case letters, digits and _-, in parts with dots between",
}


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
    claims = _read_claims(jws.payload)
    iat, exp = _time(claims, "iat"), _time(claims, "exp")
    if exp <= iat:
        raise ClaimInvalidError("exp does not lie after iat", field="exp")
    return SignedRequest(
        iss=_text(claims, "iss"),
        aud=_text(claims, "aud"),
        jti=_text(claims, "jti"),
        iat=iat,
        exp=exp,
        svc=_text(claims, "svc"),
        act=_text(claims, "act"),
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


def _read_claims(payload: bytes) -> dict[str, object]:
    try:
        claims = strict_json.decode(payload)
    except strict_json.StrictJsonError as error:
        raise ClaimsMalformedError(f"the claims: {error}") from None
    if not isinstance(claims, dict):
        raise ClaimsMalformedError("the claims are no JSON object")
    if claims.keys() != _NAME_SET:
        missing = [name for name in _NAMES if name not in claims]
        if missing:
            raise ClaimMissingError(f"{missing[0]} is missing", field=missing[0])
        raise ClaimInvalidError(f"only these claims are allowed: {', '.join(_NAMES)}")
    return claims


def _text(claims: dict[str, object], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str):
        raise ClaimInvalidError(f"{name} is not a string", field=name)
    if _SHAPES[name].fullmatch(value) is None:
        raise ClaimInvalidError(f"{name} is not {_SHAPES_IN_WORDS[name]}", field=name)
    return value


def _time(claims: dict[str, object], name: str) -> int:
    """A time in seconds; `true` is an int in Python, and 1.0 is none in JSON: both are refused."""
    value = claims[name]
    if type(value) is not int:
        raise ClaimInvalidError(f"{name} is not an integer", field=name)
    if not 0 < value <= TIME_S_MAX:
        raise ClaimInvalidError(f"{name} is no time between 1970 and 9999", field=name)
    return value


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
