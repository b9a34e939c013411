"""The cipher: called directly, libsodium gives what PyNaCl gives, and reads no byte too many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from heptad.crypto.aead import decrypt, encrypt
from heptad.crypto.errors import SealBrokenError

KEY = bytes(range(32))
NONCE = bytes(range(24))

# draft-irtf-cfrg-xchacha-03, appendix A.3.1.
DRAFT_KEY = bytes(range(0x80, 0xA0))
DRAFT_NONCE = bytes(range(0x40, 0x58))
DRAFT_ASSOCIATED = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
DRAFT_PLAINTEXT = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future,"
    b" sunscreen would be it."
)
DRAFT_CIPHERTEXT_START = "bd6d179d3e83d43b9576579493c0e939"
DRAFT_TAG = "c0875924c1c7987947deafd8780acf49"


def test_the_vector_of_the_draft_is_reproduced() -> None:
    sealed = encrypt(
        key=DRAFT_KEY, nonce=DRAFT_NONCE, plaintext=DRAFT_PLAINTEXT, associated=DRAFT_ASSOCIATED
    )

    assert sealed[:16].hex() == DRAFT_CIPHERTEXT_START
    assert sealed[-16:].hex() == DRAFT_TAG


@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=24, max_size=24),
    plaintext=st.binary(max_size=300),
    associated=st.binary(max_size=100),
)
def test_the_direct_call_gives_what_pynacl_gives(
    key: bytes, nonce: bytes, plaintext: bytes, associated: bytes
) -> None:
    sealed = encrypt(key=key, nonce=nonce, plaintext=plaintext, associated=associated)

    assert sealed == bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        plaintext, associated, nonce, key
    )
    assert decrypt(key=key, nonce=nonce, ciphertext=sealed, associated=associated) == plaintext


@given(at=st.integers(0, 39), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, flip: int) -> None:
    sealed = bytearray(encrypt(key=KEY, nonce=NONCE, plaintext=bytes(24), associated=b"a"))
    sealed[at] ^= flip

    with pytest.raises(SealBrokenError):
        decrypt(key=KEY, nonce=NONCE, ciphertext=bytes(sealed), associated=b"a")


def test_other_associated_data_nonce_or_key_do_not_open() -> None:
    sealed = encrypt(key=KEY, nonce=NONCE, plaintext=b"text", associated=b"a")

    for key, nonce, associated in (
        (bytes(32), NONCE, b"a"),
        (KEY, bytes(24), b"a"),
        (KEY, NONCE, b""),
    ):
        with pytest.raises(SealBrokenError):
            decrypt(key=key, nonce=nonce, ciphertext=sealed, associated=associated)


@pytest.mark.parametrize(("nonce", "ciphertext"), [(24, 0), (24, 15), (23, 40), (0, 0), (25, 40)])
def test_a_seal_that_is_cut_off_is_broken(nonce: int, ciphertext: int) -> None:
    with pytest.raises(SealBrokenError, match="no nonce and ciphertext"):
        decrypt(key=KEY, nonce=bytes(nonce), ciphertext=bytes(ciphertext), associated=b"")


@pytest.mark.parametrize(("key", "nonce"), [(31, 24), (33, 24), (32, 23), (32, 25), (0, 0)])
def test_c_never_gets_a_key_or_nonce_of_another_length(key: int, nonce: int) -> None:
    with pytest.raises(ValueError, match="32 and 24"):
        encrypt(key=bytes(key), nonce=bytes(nonce), plaintext=b"", associated=b"")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_opening_with_a_key_of_another_length_is_a_bug(length: int) -> None:
    with pytest.raises(ValueError, match="32 and 24"):
        decrypt(key=bytes(length), nonce=NONCE, ciphertext=bytes(16), associated=b"")
