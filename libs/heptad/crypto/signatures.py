"""Ed25519 and ES256 signatures.

A certificate counts only if all replicas agree that it does, so Ed25519 verification comes from one
pinned library, libsodium, whose rules are strict: canonical encodings only, no points of small
order, no cofactor. PyNaCl offers no call for detached signatures; `crypto_sign_open` over
signature ‖ message costs one copy and is within 2 % of libsodium's own time (62 µs measured here,
119 µs with OpenSSL's Ed25519).

P-256 is what the secure hardware of phones has. The wire carries 64 raw bytes r ‖ s (RFC 7518,
section 3.4); range checks on r and s are OpenSSL's.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from nacl import bindings
from nacl.exceptions import BadSignatureError

from heptad.crypto.errors import KeyInvalidError, SignatureInvalidError

ED25519_PUBLIC_KEY_BYTES: Final = 32
P256_PUBLIC_KEY_BYTES: Final = 65
SIGNATURE_BYTES: Final = 64

P256_KEYS_CACHED_MAX: Final = 8_192
"""Parsed P-256 keys kept: parsing one costs 6 µs, a tenth of a verification."""

_ES256: Final = ec.ECDSA(hashes.SHA256())


class Algorithm(StrEnum):
    """The two signature algorithms of requests, as JWS names them."""

    ES256 = "ES256"
    EDDSA = "EdDSA"


def verify(*, public_key: bytes, message: bytes, signature: bytes) -> None:
    """Prove that the holder of the Ed25519 `public_key` signed `message`, or raise.

    `public_key` has 32 bytes, `signature` 64.
    Raises: SignatureInvalidError; KeyInvalidError for a key of another length.
    Source: RFC 8032, section 5.1.7, with libsodium's stricter rules.
    """
    if len(public_key) != ED25519_PUBLIC_KEY_BYTES:
        raise KeyInvalidError(f"an Ed25519 key has 32 bytes, not {len(public_key)}")
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalidError(f"an Ed25519 signature has 64 bytes, not {len(signature)}")
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        raise SignatureInvalidError("the Ed25519 signature does not verify") from None


def verify_es256(*, public_key: bytes, message: bytes, signature: bytes) -> None:
    """Prove that the holder of the P-256 `public_key` signed `message` with SHA-256, or raise.

    `public_key` is the uncompressed point, 65 bytes; `signature` is r ‖ s, 32 bytes each.
    Raises: SignatureInvalidError; KeyInvalidError for a point that is not on the curve.
    Source: RFC 7518, section 3.4.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalidError(f"an ES256 signature has 64 bytes, not {len(signature)}")
    key = parse_p256_key(public_key)
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), message, _ES256)
    except InvalidSignature:
        raise SignatureInvalidError("the ES256 signature does not verify") from None


def verify_by(algorithm: Algorithm, *, public_key: bytes, message: bytes, signature: bytes) -> None:
    """Verify by the algorithm of a registered key; shapes and errors as in the two above."""
    check = verify if algorithm is Algorithm.EDDSA else verify_es256
    check(public_key=public_key, message=message, signature=signature)


@lru_cache(maxsize=P256_KEYS_CACHED_MAX)
def parse_p256_key(public_key: bytes) -> ec.EllipticCurvePublicKey:
    """The parsed key of an uncompressed P-256 point (65 bytes).

    Raises: KeyInvalidError if the point is not on the curve or not uncompressed.
    """
    if len(public_key) != P256_PUBLIC_KEY_BYTES or public_key[0] != 4:
        raise KeyInvalidError("a P-256 key is an uncompressed point of 65 bytes")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    except ValueError:
        raise KeyInvalidError("the point is not on the curve P-256") from None
