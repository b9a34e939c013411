"""Public keys as JSON Web Keys: strict reading, and the thumbprint that names a key.

A JWK is accepted in exactly one spelling: the required members and no other, fixed lengths,
canonical base64url, the point on its curve. So a key has one thumbprint (RFC 7638), and a private
key sent by mistake is refused before it can be stored.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nacl import bindings

from heptad.crypto.errors import KeyInvalidError
from heptad.crypto.signatures import (
    ED25519_PUBLIC_KEY_BYTES,
    P256_PUBLIC_KEY_BYTES,
    Algorithm,
    parse_p256_key,
)
from heptad.model import base64url

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_COORDINATE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A subject's or service's public key for requests.

    `raw` is 32 bytes for EdDSA and the uncompressed point, 65 bytes, for ES256.
    `kid` is the RFC 7638 SHA-256 thumbprint, 43 characters of base64url.
    """

    algorithm: Algorithm
    raw: bytes
    kid: str


def public_key(algorithm: Algorithm, raw: bytes) -> PublicKey:
    """The public key with these raw bytes, after checking that they are a usable key.

    Raises: KeyInvalidError.
    """
    if algorithm is Algorithm.EDDSA:
        _check_ed25519_point(raw)
    else:
        parse_p256_key(raw)
    return PublicKey(algorithm, raw, _thumbprint(_members(algorithm, raw)))


def parse_jwk(members: object) -> PublicKey:
    """The key that a decoded JSON value describes.

    Accepted: `{"kty":"OKP","crv":"Ed25519","x"}` and `{"kty":"EC","crv":"P-256","x","y"}`,
    exactly. Raises: KeyInvalidError, naming what is wrong but never repeating a value.
    Source: RFC 7517; RFC 7518, section 6.2; RFC 8037, section 2.
    """
    if not isinstance(members, Mapping):
        raise KeyInvalidError("a JWK is a JSON object", field="jwk")
    if not _PRIVATE_MEMBERS.isdisjoint(members):
        raise KeyInvalidError("the JWK holds private members; keep those to yourself", field="jwk")
    match members.get("kty"), members.get("crv"):
        case "OKP", "Ed25519":
            _check_names(members, {"kty", "crv", "x"})
            return public_key(Algorithm.EDDSA, _coordinate(members, "x"))
        case "EC", "P-256":
            _check_names(members, {"kty", "crv", "x", "y"})
            point = b"\x04" + _coordinate(members, "x") + _coordinate(members, "y")
            return public_key(Algorithm.ES256, point)
        case _:
            raise KeyInvalidError("kty and crv are neither OKP/Ed25519 nor EC/P-256", field="jwk")


def jwk_of(key: PublicKey) -> dict[str, str]:
    """The JWK of a key, with its required members only."""
    return _members(key.algorithm, key.raw)


def _members(algorithm: Algorithm, raw: bytes) -> dict[str, str]:
    """The required members in lexicographic order, as RFC 7638 hashes them."""
    if algorithm is Algorithm.EDDSA:
        return {"crv": "Ed25519", "kty": "OKP", "x": base64url.encode(raw)}
    assert len(raw) == P256_PUBLIC_KEY_BYTES
    x, y = base64url.encode(raw[1:33]), base64url.encode(raw[33:])
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _thumbprint(members: dict[str, str]) -> str:
    """RFC 7638, section 3: SHA-256 over the members without white space."""
    text = ",".join(f'"{name}":"{value}"' for name, value in members.items())
    return base64url.encode(hashlib.sha256(f"{{{text}}}".encode("ascii")).digest())


def _check_names(members: Mapping[object, object], names: set[str]) -> None:
    if set(members) != names:
        listed = ", ".join(sorted(names))
        raise KeyInvalidError(f"this kind of JWK holds exactly {listed}", field="jwk")


def _coordinate(members: Mapping[object, object], name: str) -> bytes:
    """The 32 bytes of member `name`."""
    text = members[name]
    if not isinstance(text, str):
        raise KeyInvalidError(f"{name} is not a string", field="jwk")
    try:
        raw = base64url.decode(text)
    except base64url.Base64UrlError:
        raise KeyInvalidError(f"{name} is not canonical base64url", field="jwk") from None
    if len(raw) != _COORDINATE_BYTES:
        raise KeyInvalidError(f"{name} has {len(raw)} bytes instead of 32", field="jwk")
    return raw


def _check_ed25519_point(raw: bytes) -> None:
    """Refuse what libsodium would never verify with: small order, off the curve, not canonical."""
    if len(raw) != ED25519_PUBLIC_KEY_BYTES:
        raise KeyInvalidError(f"an Ed25519 key has 32 bytes, not {len(raw)}")
    if not bindings.crypto_core_ed25519_is_valid_point(raw):
        raise KeyInvalidError("the bytes are no valid Ed25519 point of the main group")
