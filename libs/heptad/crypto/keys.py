"""Private keys and their files.

Each duty has a key of its own (vote, cosign, batch, log, attestation, governance), all Ed25519: a
signature made for one purpose can then never be taken for another, and one key can be replaced
without the rest. Citizens' apps may also hold P-256 keys, as phones do.

Files are PKCS#8 PEM, so `openssl pkey` reads them, and are written once, with mode 0600: a file
that others can read, or that would overwrite a key, is an error and never repaired silently.
"""

import os
import stat
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from nacl import bindings

from heptad.crypto.errors import KeyFileError
from heptad.crypto.jwk import PublicKey, public_key
from heptad.crypto.signatures import SIGNATURE_BYTES, Algorithm

SEED_BYTES: Final = 32
_KEY_FILE_BYTES_MAX: Final = 4_096


class KeyRole(StrEnum):
    """What a service key is for; also the stem of its file's name."""

    VOTE = "vote"
    COSIGN = "cosign"
    BATCH = "batch"
    LOG = "log"
    ATTESTATION = "attestation"
    GOVERNANCE = "governance"

    @property
    def file_name(self) -> str:
        """`vote.pem` and so on, within a service's `keys/`."""
        return f"{self.value}.pem"

    @property
    def next_file_name(self) -> str:
        """`log.next.pem` and so on: the key that is to take over from the one in `file_name`."""
        return f"{self.value}.next.pem"


class RequestKey(Protocol):
    """A private key that can sign requests."""

    @property
    def public(self) -> PublicKey:
        """The public half, with its `kid`."""

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`: 64 raw bytes."""


class Ed25519Key:
    """An Ed25519 private key, for services and for requests."""

    __slots__ = ("_secret", "public")

    public: PublicKey
    """The public half: 32 bytes in `raw`, and its `kid`."""

    def __init__(self, seed: bytes) -> None:
        """The key of a 32-byte seed (RFC 8032, section 5.1.5)."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        raw, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.public = public_key(Algorithm.EDDSA, raw)

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes] = os.urandom) -> "Ed25519Key":
        """A new key; `entropy(n)` returns n random bytes."""
        return cls(entropy(SEED_BYTES))

    @property
    def public_key(self) -> bytes:
        """The public half as 32 bytes."""
        return self.public.raw

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`: 64 bytes, the same for the same message."""
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def private_bytes(self) -> bytes:
        """The seed, 32 bytes: the private key itself."""
        return self._secret[:SEED_BYTES]

    def to_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM."""
        key = ed25519.Ed25519PrivateKey.from_private_bytes(self._secret[:SEED_BYTES])
        return _pem(key)

    def __repr__(self) -> str:
        return f"Ed25519Key({self.public.kid})"


class P256Key:
    """A P-256 private key, for requests only."""

    __slots__ = ("_key", "public")

    public: PublicKey
    """The public half: the uncompressed point, 65 bytes, in `raw`, and its `kid`."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        assert isinstance(key.curve, ec.SECP256R1)
        self._key = key
        raw = key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self.public = public_key(Algorithm.ES256, raw)

    @classmethod
    def generate(cls) -> "P256Key":
        """A new key, from OpenSSL's generator."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    def sign(self, message: bytes) -> bytes:
        """The ES256 signature of `message`: r ‖ s, 64 bytes, new ones on each call."""
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def private_bytes(self) -> bytes:
        """The scalar, 32 bytes big-endian: the private key itself."""
        return self._key.private_numbers().private_value.to_bytes(32, "big")

    def to_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM."""
        return _pem(self._key)

    def __repr__(self) -> str:
        return f"P256Key({self.public.kid})"


def save_key(path: Path, key: Ed25519Key | P256Key) -> None:
    """Write a private key to a new file of mode 0600, durably.

    Raises: KeyFileError if the file exists (a key is never overwritten) or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.to_pem())
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(path.parent)
    except OSError as error:
        raise KeyFileError(f"cannot write the key file {path}: {error.strerror}") from error


def load_key(path: Path) -> Ed25519Key | P256Key:
    """The private key in a file, of either kind.

    Raises: KeyFileError if the file is missing, readable by others than its owner, or holds no
    Ed25519 or P-256 key in unencrypted PEM.
    """
    pem = _read_private(path)
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no unencrypted private key in PEM") from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Ed25519Key(key.private_bytes_raw())
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return P256Key(key)
    raise KeyFileError(f"{path} holds a key that is neither Ed25519 nor P-256")


def load_service_key(path: Path) -> Ed25519Key:
    """The Ed25519 key of a service's duty. Raises: KeyFileError, also for a P-256 key."""
    key = load_key(path)
    if not isinstance(key, Ed25519Key):
        raise KeyFileError(f"{path} holds a P-256 key; services sign with Ed25519")
    return key


def _pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyFileError(f"{path} has mode {mode:04o}; others must not read it (0600)")
            return file.read(_KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
