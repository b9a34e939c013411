"""Signatures of a simulated world: as unforgeable there as Ed25519 outside, 80 times faster.

A signature is BLAKE2b keyed with the signer's secret, and the verifier looks the secret up by the
public key. Whoever has no secret can therefore not sign, which is all that the protocol asks of a
signature; and a villain of the simulation is given his own signer only. A million rounds take
some 10^8 verifications, which Ed25519 would spend two hours on.

`RealKeys` has the same shape with the keys and the one verifier of `heptad.crypto`: a few histories
of each campaign's tests run with it, so that nothing comes to depend on the fake.
"""

from hashlib import blake2b, sha256
from typing import Final, Protocol

from heptad.consensus.ports import SignatureVerifier, Signer
from heptad.crypto import signatures
from heptad.crypto.keys import Ed25519Key
from heptad.model.canonical import SIGNATURE_BYTES
from heptad.model.problems import Problem

REMEMBERED_MAX: Final = 4_096
"""Signatures that were found good and need not be made again; each goes to all members."""


class Keys(Protocol):
    """All keys of one simulated cell."""

    @property
    def verifier(self) -> SignatureVerifier:
        """Checks signatures of any of the keys."""
        ...

    def public_key(self, role: str, number: int) -> bytes:
        """The 32-byte public key of `number` in `role` ("vote", "cosign" or "batch")."""
        ...

    def signer(self, role: str, number: int) -> Signer:
        """The private half."""
        ...


class FakeSigner:
    """Signs with one secret of 32 bytes."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return blake2b(message, key=self._secret).digest()


class FakeKeys:
    """Keys that exist only in one history."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._secrets: dict[bytes, bytes] = {}
        self._good: set[tuple[bytes, bytes, bytes]] = set()

    @property
    def verifier(self) -> SignatureVerifier:
        """This object."""
        return self

    def public_key(self, role: str, number: int) -> bytes:
        """See `Keys.public_key`."""
        secret = self._secret(role, number)
        public_key = sha256(b"public" + secret).digest()
        self._secrets[public_key] = secret
        return public_key

    def signer(self, role: str, number: int) -> FakeSigner:
        """See `Keys.signer`."""
        return FakeSigner(self._secret(role, number))

    def verify(self, *, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Return if `public_key`'s holder signed. Raises: Problem (signature_invalid)."""
        signed = (public_key, message, signature)
        if signed in self._good:
            return
        secret = self._secrets.get(public_key)
        if secret is None or blake2b(message, key=secret).digest() != signature:
            raise Problem("signature_invalid", "the simulated signature does not verify")
        if len(self._good) >= REMEMBERED_MAX:
            self._good.clear()
        self._good.add(signed)

    def _secret(self, role: str, number: int) -> bytes:
        return _seed_bytes(self._seed, role, number)


class RealKeys:
    """Ed25519 keys from the same seeds, checked by the library that replicas use."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._keys: dict[tuple[str, int], Ed25519Key] = {}

    @property
    def verifier(self) -> SignatureVerifier:
        """The module of the real signatures."""
        return signatures

    def public_key(self, role: str, number: int) -> bytes:
        """See `Keys.public_key`."""
        return self._key(role, number).public_key

    def signer(self, role: str, number: int) -> Ed25519Key:
        """See `Keys.signer`."""
        return self._key(role, number)

    def _key(self, role: str, number: int) -> Ed25519Key:
        key = self._keys.get((role, number))
        if key is None:
            key = self._keys[role, number] = Ed25519Key(_seed_bytes(self._seed, role, number))
        return key


def forged_signature(noise: int) -> bytes:
    """64 bytes that are nobody's signature."""
    return noise.to_bytes(SIGNATURE_BYTES, "big")


def _seed_bytes(seed: int, role: str, number: int) -> bytes:
    return sha256(f"{seed}/{role}/{number}".encode()).digest()
