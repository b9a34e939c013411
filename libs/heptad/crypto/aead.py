"""Authenticated encryption: XChaCha20-Poly1305, the one cipher for everything kept.

Its 24-byte nonces may be drawn at random without counting, for ever, from any number of processes
(draft-irtf-cfrg-xchacha, section 2.1), which a nonce of 12 bytes does not allow.
"""

from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError

from heptad.crypto.errors import SealBrokenError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16


def encrypt(*, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """The ciphertext of `plaintext`, 16 bytes longer; `associated` is bound but not contained."""
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)


def decrypt(*, key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """The plaintext, proved unchanged. Raises: SealBrokenError."""
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            ciphertext, associated, nonce, key
        )
    except (CryptoError, ValueError):
        raise SealBrokenError("the ciphertext does not open") from None
