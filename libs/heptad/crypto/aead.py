"""Authenticated encryption: XChaCha20-Poly1305, the one cipher for everything kept.

Its 24-byte nonces may be drawn at random without counting, for ever, from any number of processes
(draft-irtf-cfrg-xchacha, section 2.1), which a nonce of 12 bytes does not allow.

Validator and ledger do this for every record, and PyNaCl's wrapper costs three times what
libsodium does (4.5 against 1.5 µs for a short text). So libsodium is called directly. C checks no
lengths: every one that it relies on is checked here, and a test holds results against PyNaCl's own.
"""

from typing import Final

from nacl._sodium import ffi, lib  # type: ignore[import-not-found]  # C, without stubs

from heptad.crypto.errors import SealBrokenError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16

_BUFFER: Final = "unsigned char[]"


def encrypt(*, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """The ciphertext of `plaintext`, 16 bytes longer; `associated` is bound but not contained.

    `key` has 32 bytes, `nonce` 24.
    """
    _check_lengths(key, nonce)
    length = len(plaintext) + TAG_BYTES
    output = ffi.new(_BUFFER, length)
    lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
        output, ffi.NULL, plaintext, len(plaintext), associated, len(associated),
        ffi.NULL, nonce, key,
    )  # fmt: skip
    return bytes(ffi.buffer(output, length))


def decrypt(*, key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """The plaintext, proved unchanged.

    Nonce and ciphertext come from outside, so cut-off ones are broken seals and not bugs.
    Raises: SealBrokenError.
    """
    length = len(ciphertext) - TAG_BYTES
    if length < 0 or len(nonce) != NONCE_BYTES:
        raise SealBrokenError(
            f"{len(nonce)} and {len(ciphertext)} bytes are no nonce and ciphertext"
        )
    _check_lengths(key, nonce)
    output = ffi.new(_BUFFER, length)
    failed = lib.crypto_aead_xchacha20poly1305_ietf_decrypt(
        output, ffi.NULL, ffi.NULL, ciphertext, len(ciphertext),
        associated, len(associated), nonce, key,
    )  # fmt: skip
    if failed:
        raise SealBrokenError("the ciphertext does not open")
    return bytes(ffi.buffer(output, length))


def _check_lengths(key: bytes, nonce: bytes) -> None:
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError(f"key of {len(key)} bytes, nonce of {len(nonce)}; they are 32 and 24")
