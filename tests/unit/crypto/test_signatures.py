"""Signatures: published vectors, and every way in which a signature can be wrong."""

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from heptad.crypto.errors import KeyInvalidError, SignatureInvalidError
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.crypto.signatures import Algorithm, parse_p256_key, verify, verify_by, verify_es256
from heptad.model import base64url

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
MESSAGE = b"the same message everywhere"

# RFC 8032, section 7.1: seed, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
        "b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
        "1d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984d"
        "c6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032_are_signed_and_verified(
    seed: str, public: str, message: str, signature: str
) -> None:
    key = Ed25519Key(bytes.fromhex(seed))

    assert key.public_key.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    verify(
        public_key=key.public_key,
        message=bytes.fromhex(message),
        signature=bytes.fromhex(signature),
    )


def test_the_example_of_rfc_7515_appendix_a3_verifies() -> None:
    x = base64url.decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")
    y = base64url.decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")
    jws = (
        b"eyJhbGciOiJFUzI1NiJ9"
        b".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        b"cnVlfQ"
        b".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    signed, _, signature = jws.rpartition(b".")

    verify_es256(public_key=b"\x04" + x + y, message=signed, signature=base64url.decode(signature))


def test_the_example_of_rfc_8037_appendix_a4_is_signed_alike() -> None:
    key = Ed25519Key(base64url.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"))
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"

    assert base64url.encode(key.sign(signed)) == (
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )


def test_another_message_does_not_verify(request_key: Ed25519Key | P256Key) -> None:
    signature = request_key.sign(MESSAGE)
    public = request_key.public

    verify_by(public.algorithm, public_key=public.raw, message=MESSAGE, signature=signature)
    with pytest.raises(SignatureInvalidError):
        verify_by(
            public.algorithm, public_key=public.raw, message=MESSAGE + b".", signature=signature
        )


def test_no_flipped_bit_of_a_signature_verifies(request_key: Ed25519Key | P256Key) -> None:
    signature = request_key.sign(MESSAGE)
    public = request_key.public

    for bit in range(0, 512, 7):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(SignatureInvalidError):
            verify_by(
                public.algorithm, public_key=public.raw, message=MESSAGE, signature=bytes(flipped)
            )


@pytest.mark.parametrize("length", [0, 63, 65, 128])
def test_a_signature_of_another_length_is_refused_with_its_length(
    request_key: Ed25519Key | P256Key, length: int
) -> None:
    public = request_key.public
    signature = (request_key.sign(MESSAGE) * 2)[:length]

    with pytest.raises(SignatureInvalidError, match=f"not {length}"):
        verify_by(public.algorithm, public_key=public.raw, message=MESSAGE, signature=signature)


@pytest.mark.parametrize("length", [0, 31, 33, 65])
def test_an_ed25519_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyInvalidError, match=f"not {length}"):
        verify(public_key=bytes(length), message=MESSAGE, signature=bytes(64))


def test_an_ed25519_signature_with_a_larger_equivalent_s_is_refused(
    ed25519_key: Ed25519Key,
) -> None:
    signature = ed25519_key.sign(MESSAGE)
    s = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    malleated = signature[:32] + s.to_bytes(32, "little")

    with pytest.raises(SignatureInvalidError):
        verify(public_key=ed25519_key.public_key, message=MESSAGE, signature=malleated)


@pytest.mark.parametrize(
    "small_order_point",
    [
        bytes(32),
        b"\x01" + bytes(31),
        b"\xec" + b"\xff" * 30 + b"\x7f",
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    ],
)
def test_a_key_of_small_order_verifies_nothing(small_order_point: bytes) -> None:
    """Such a key would accept one signature for every message."""
    with pytest.raises(SignatureInvalidError):
        verify(
            public_key=small_order_point, message=MESSAGE, signature=small_order_point + bytes(32)
        )


def _es256(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (P256_ORDER, 1),
        (1, P256_ORDER),
        (P256_ORDER, P256_ORDER),
        (P256_ORDER - 1, P256_ORDER - 1),
        (P256_ORDER + 1, 1),
        (P256_PRIME, P256_PRIME),
        (2**256 - 1, 2**256 - 1),
    ],
)
def test_an_es256_signature_out_of_range_is_refused(p256_key: P256Key, r: int, s: int) -> None:
    with pytest.raises(SignatureInvalidError):
        verify_es256(public_key=p256_key.public.raw, message=MESSAGE, signature=_es256(r, s))


def test_r_or_s_with_the_order_added_is_refused() -> None:
    """A verifier that reduces before it compares would accept these."""
    key = P256Key.generate()
    signature = key.sign(MESSAGE)
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    grown = [(r + P256_ORDER, s), (r, s + P256_ORDER)]

    for bad_r, bad_s in grown:
        if max(bad_r, bad_s) < 2**256:
            with pytest.raises(SignatureInvalidError):
                verify_es256(
                    public_key=key.public.raw, message=MESSAGE, signature=_es256(bad_r, bad_s)
                )


def test_a_der_signature_is_refused(p256_key: P256Key) -> None:
    raw = p256_key.sign(MESSAGE)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    for signature in (der, der[:64]):
        with pytest.raises(SignatureInvalidError):
            verify_es256(public_key=p256_key.public.raw, message=MESSAGE, signature=signature)


def test_the_mirrored_es256_signature_verifies_too(p256_key: P256Key) -> None:
    """ECDSA is malleable: therefore no request is ever recognised by its signature's bytes."""
    raw = p256_key.sign(MESSAGE)
    mirrored = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")

    assert mirrored != raw
    verify_es256(public_key=p256_key.public.raw, message=MESSAGE, signature=mirrored)


def test_a_point_off_the_curve_is_no_key(p256_key: P256Key) -> None:
    raw = bytearray(p256_key.public.raw)
    raw[-1] ^= 1
    y_beyond_prime = b"\x04" + raw[1:33] + P256_PRIME.to_bytes(32, "big")

    for point in (bytes(raw), bytes(y_beyond_prime), b"\x04" + bytes(64), b"\x00" * 65, b"\x00"):
        with pytest.raises(KeyInvalidError):
            parse_p256_key(point)


def test_a_compressed_or_hybrid_point_is_no_key(p256_key: P256Key) -> None:
    raw = p256_key.public.raw
    parity = raw[-1] & 1

    for point in (bytes([2 + parity]) + raw[1:33], bytes([6 + parity]) + raw[1:]):
        with pytest.raises(KeyInvalidError):
            parse_p256_key(point)


def test_the_cache_of_p256_keys_is_bounded() -> None:
    assert parse_p256_key.cache_info().maxsize == 8_192


def test_an_algorithm_is_bound_to_its_key(p256_key: P256Key) -> None:
    with pytest.raises(KeyInvalidError):
        verify_by(
            Algorithm.EDDSA, public_key=p256_key.public.raw, message=MESSAGE, signature=bytes(64)
        )
