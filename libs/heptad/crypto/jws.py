"""Compact JWS (RFC 7515, section 7.1), read strictly and written plainly.

The header is a list of known ways to fool a verifier, so it may hold `alg`, `typ` and `kid` and
nothing else: no embedded or linked key (`jwk`, `jku`, `x5*`), no `crit`, no unencoded payload
(`b64`). It chooses nothing either: the algorithm that counts is the one of the registered key, and
`alg` only has to agree with it.

Checks run from cheap to dear, and no signature is verified here.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from heptad.crypto import strict_json
from heptad.crypto.errors import (
    AlgorithmRefusedError,
    JwsHeaderRefusedError,
    JwsMalformedError,
    RequestTooLargeError,
)
from heptad.crypto.jwk import PublicKey
from heptad.crypto.keys import RequestKey
from heptad.crypto.signatures import SIGNATURE_BYTES, Algorithm, verify_by
from heptad.model import base64url

HEADER_BYTES_MAX: Final = 512

HEADERS_CACHED_MAX: Final = 8_192
"""Headers kept as read: a key's is always the same, and reading it is a quarter of the parsing."""

_ALGORITHMS: Final = {algorithm.value: algorithm for algorithm in Algorithm}
_HEADER_NAMES: Final = frozenset({"alg", "typ", "kid"})
_NAMED_TRAPS: Final = ("crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "zip", "enc")
_KID: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


@dataclass(frozen=True, slots=True)
class CompactJws:
    """A JWS whose shape is right and whose signature nobody has verified yet.

    `signing_input` is what was signed: header and payload as they came, with the dot between.
    `signature` has 64 bytes; `kid` is a key's thumbprint, 43 characters.
    """

    algorithm: Algorithm
    kid: str
    payload: bytes
    signing_input: bytes
    signature: bytes


def parse_compact(raw: bytes, *, typ: str, bytes_max: int) -> CompactJws:
    """Take a compact JWS apart.

    Raises: RequestTooLargeError, JwsMalformedError, JwsHeaderRefusedError, AlgorithmRefusedError.
    """
    if len(raw) > bytes_max:
        raise RequestTooLargeError(f"the JWS has {len(raw)} bytes; the limit is {bytes_max}")
    if raw.count(b".") != 2:
        raise JwsMalformedError(f"a compact JWS has 3 parts, not {raw.count(b'.') + 1}")
    signing_input, _, signature_text = raw.rpartition(b".")
    header_text, _, payload_text = signing_input.partition(b".")
    header = _part(header_text, "header")
    payload = _part(payload_text, "payload")
    signature = _part(signature_text, "signature")
    algorithm, kid = _read_header(header, typ)
    if len(signature) != SIGNATURE_BYTES:
        raise JwsMalformedError(
            f"an {algorithm.value} signature has 64 raw bytes, not {len(signature)}",
            field="signature",
        )
    return CompactJws(algorithm, kid, payload, signing_input, signature)


def sign_compact(key: RequestKey, payload: bytes, *, typ: str) -> bytes:
    """A compact JWS over `payload`, its `kid` the key's thumbprint."""
    public = key.public
    header = strict_json.encode({"alg": public.algorithm.value, "kid": public.kid, "typ": typ})
    signing_input = base64url.encode_bytes(header) + b"." + base64url.encode_bytes(payload)
    return signing_input + b"." + base64url.encode_bytes(key.sign(signing_input))


def verify_signature(
    key: PublicKey, *, algorithm: Algorithm, signing_input: bytes, signature: bytes
) -> None:
    """Prove that `key` made this signature; `algorithm` is what the header said.

    Raises: AlgorithmRefusedError if the header names another algorithm than the key has;
    SignatureInvalidError.
    """
    if algorithm is not key.algorithm:
        raise AlgorithmRefusedError(
            f"alg is {algorithm.value}, but the key is for {key.algorithm.value}", field="alg"
        )
    verify_by(key.algorithm, public_key=key.raw, message=signing_input, signature=signature)


def _part(text: bytes, name: str) -> bytes:
    try:
        data = base64url.decode(text)
    except base64url.Base64UrlError:
        raise JwsMalformedError(f"the {name} is not canonical base64url", field=name) from None
    if not data:
        raise JwsMalformedError(f"the {name} is empty", field=name)
    return data


@lru_cache(maxsize=HEADERS_CACHED_MAX)
def _read_header(header: bytes, typ: str) -> tuple[Algorithm, str]:
    """The algorithm and key id of a header that holds exactly what it may."""
    members = _header_members(header)
    if members.keys() != _HEADER_NAMES:
        raise _unexpected_names(members)
    algorithm = members["alg"]
    known = _ALGORITHMS.get(algorithm) if isinstance(algorithm, str) else None
    if known is None:
        raise AlgorithmRefusedError("alg is neither ES256 nor EdDSA", field="alg")
    if members["typ"] != typ:
        raise JwsHeaderRefusedError(f"typ is not {typ}", field="typ")
    kid = members["kid"]
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise JwsHeaderRefusedError("kid is not an RFC 7638 SHA-256 thumbprint", field="kid")
    return known, kid


def _header_members(header: bytes) -> dict[str, object]:
    if len(header) > HEADER_BYTES_MAX:
        raise JwsHeaderRefusedError(f"the header has {len(header)} bytes; {HEADER_BYTES_MAX} may")
    try:
        members = strict_json.decode(header)
    except strict_json.DuplicateNameError:
        raise JwsHeaderRefusedError("the header has one name twice") from None
    except strict_json.StrictJsonError as error:
        raise JwsMalformedError(f"the header is {error}", field="header") from None
    if not isinstance(members, dict):
        raise JwsMalformedError("the header is no JSON object", field="header")
    return members


def _unexpected_names(members: dict[str, object]) -> JwsHeaderRefusedError:
    for name in _NAMED_TRAPS:
        if name in members:
            return JwsHeaderRefusedError(f"the header parameter {name} is refused", field=name)
    for name in sorted(_HEADER_NAMES):
        if name not in members:
            return JwsHeaderRefusedError(f"the header lacks {name}", field=name)
    return JwsHeaderRefusedError("the header holds a parameter besides alg, typ and kid")
