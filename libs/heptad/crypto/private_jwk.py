"""Private request keys as JSON Web Keys: the form that JOSE libraries of every language read.

Citizens' apps and small services keep one key and know JWKs; so keys that people make for
themselves are JWK files, while the services' own duties stay with PEM (`heptad.crypto.keys`). The
reading is as strict as that of public keys: one spelling, and `d` has to belong to `x` and `y`.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from heptad.crypto import strict_json
from heptad.crypto.errors import KeyFileError, KeyInvalidError
from heptad.crypto.jwk import jwk_of, parse_jwk
from heptad.crypto.keys import Ed25519Key, P256Key, load_key
from heptad.crypto.signatures import Algorithm
from heptad.model import base64url

_PRIVATE_BYTES: Final = 32
_FILE_BYTES_MAX: Final = 4_096
_PEM: Final = b"-----BEGIN"


def private_jwk_of(key: Ed25519Key | P256Key) -> dict[str, str]:
    """The JWK of a key, with its private member `d`. Never log or send it."""
    return {**jwk_of(key.public), "d": base64url.encode(key.private_bytes())}


def parse_private_jwk(members: object) -> Ed25519Key | P256Key:
    """The key that a decoded JSON value describes; `kid` and `alg`, if there, must be the key's.

    Raises: KeyInvalidError, which repeats no value.
    """
    if not isinstance(members, Mapping):
        raise KeyInvalidError("a JWK is a JSON object", field="jwk")
    rest = {str(name): value for name, value in members.items()}
    private, kid, alg = rest.pop("d", None), rest.pop("kid", None), rest.pop("alg", None)
    public = parse_jwk(rest)
    key = _private_key(public.algorithm, private)
    if key.public != public:
        raise KeyInvalidError("d does not belong to the public members", field="jwk")
    if kid not in (None, public.kid) or alg not in (None, public.algorithm.value):
        raise KeyInvalidError("kid or alg are not those of the key", field="jwk")
    return key


def save_jwk(path: Path, key: Ed25519Key | P256Key) -> None:
    """Write a private key to a new file of mode 0600, durably.

    Raises: KeyFileError if the file exists (a key is never overwritten) or cannot be written.
    """
    content = strict_json.encode(private_jwk_of(key) | {"kid": key.public.kid}) + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise KeyFileError(f"cannot write the key file {path}: {error.strerror}") from error


def load_request_key(path: Path) -> Ed25519Key | P256Key:
    """The private key in a file, JWK or PEM.

    Raises: KeyFileError if the file is missing, readable by others than its owner, or holds no key
    to sign requests with.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise KeyFileError(f"{path} has mode {mode:04o}; others must not read it (0600)")
    if content.startswith(_PEM):
        return load_key(path)
    try:
        return parse_private_jwk(strict_json.decode(content))
    except (strict_json.StrictJsonError, KeyInvalidError) as error:
        reason = error.detail if isinstance(error, KeyInvalidError) else str(error)
        raise KeyFileError(f"{path} holds no private key as JWK or PEM: {reason}") from None


def _private_key(algorithm: Algorithm, text: object) -> Ed25519Key | P256Key:
    if not isinstance(text, str):
        raise KeyInvalidError("the JWK has no private member d", field="jwk")
    try:
        raw = base64url.decode(text)
    except base64url.Base64UrlError:
        raise KeyInvalidError("d is not canonical base64url", field="jwk") from None
    if len(raw) != _PRIVATE_BYTES:
        raise KeyInvalidError(f"d has {len(raw)} bytes instead of {_PRIVATE_BYTES}", field="jwk")
    if algorithm is Algorithm.EDDSA:
        return Ed25519Key(raw)
    try:
        return P256Key(ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1()))
    except ValueError:
        raise KeyInvalidError("d is no private key of P-256", field="jwk") from None
