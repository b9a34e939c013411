"""JWKs: published thumbprints, and every public key that must not be registered."""

import json

import pytest

from heptad.crypto.errors import KeyInvalidError
from heptad.crypto.jwk import jwk_of, parse_jwk
from heptad.crypto.keys import Ed25519Key, P256Key, RequestKey
from heptad.crypto.signatures import Algorithm
from heptad.model import base64url

# RFC 8037, appendix A.2.
OKP = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

# RFC 7515, appendix A.3.1.
EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


@pytest.fixture
def okp() -> dict[str, object]:
    return dict(OKP)


@pytest.fixture
def ec() -> dict[str, object]:
    return dict(EC)


def test_the_thumbprint_of_rfc_8037_appendix_a3_is_reproduced() -> None:
    key = Ed25519Key(base64url.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"))

    assert key.public.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_public_key_of_rfc_8037_is_read(okp: dict[str, object]) -> None:
    assert parse_jwk(okp).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_key_survives_the_way_through_its_jwk(request_key: RequestKey) -> None:
    public = request_key.public

    assert parse_jwk(json.loads(json.dumps(jwk_of(public)))) == public


def test_an_ec_jwk_is_read_as_an_uncompressed_point(ec: dict[str, object]) -> None:
    key = parse_jwk(ec)

    assert key.algorithm is Algorithm.ES256
    assert len(key.raw) == 65
    assert key.raw[0] == 4


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_a_jwk_with_a_private_member_is_refused_as_such(ec: dict[str, object], member: str) -> None:
    with pytest.raises(KeyInvalidError, match="private"):
        parse_jwk({**ec, member: "AAAA"})


@pytest.mark.parametrize("member", ["kid", "use", "alg", "key_ops", "x5c", "ext", "Y"])
def test_a_jwk_with_any_further_member_is_refused(ec: dict[str, object], member: str) -> None:
    with pytest.raises(KeyInvalidError, match="exactly"):
        parse_jwk({**ec, member: "sig"})


@pytest.mark.parametrize("member", ["x", "y"])
def test_an_ec_jwk_without_a_coordinate_is_refused(ec: dict[str, object], member: str) -> None:
    del ec[member]

    with pytest.raises(KeyInvalidError, match="exactly"):
        parse_jwk(ec)


def test_an_okp_jwk_with_a_y_is_refused(okp: dict[str, object]) -> None:
    with pytest.raises(KeyInvalidError, match="exactly"):
        parse_jwk({**okp, "y": okp["x"]})


@pytest.mark.parametrize(
    ("kty", "crv"),
    [
        ("RSA", None),
        ("oct", None),
        ("EC", "P-384"),
        ("EC", "secp256k1"),
        ("EC", "Ed25519"),
        ("OKP", "X25519"),
        ("OKP", "Ed448"),
        ("OKP", "P-256"),
        ("ec", "P-256"),
        (None, None),
        (["EC"], "P-256"),
    ],
)
def test_no_other_kind_of_key_is_accepted(ec: dict[str, object], kty: object, crv: object) -> None:
    with pytest.raises(KeyInvalidError, match="neither"):
        parse_jwk({**ec, "kty": kty, "crv": crv})


@pytest.mark.parametrize("value", [None, "text", 7, [], [["kty", "EC"]], True])
def test_what_is_no_object_is_no_jwk(value: object) -> None:
    with pytest.raises(KeyInvalidError, match="object"):
        parse_jwk(value)


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (7, "not a string"),
        (None, "not a string"),
        ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=", "canonical"),
        ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV", "canonical"),
        ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVE ", "canonical"),
        ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVE\u00dc", "canonical"),
        ("", "0 bytes"),
        ("AAAA", "3 bytes"),
        ("AH_NzidwdsRdQYPL7m_bS3tYBzM1e-nvE7rPbjx70VRF", "33 bytes"),
    ],
)
def test_a_coordinate_has_one_spelling(ec: dict[str, object], x: object, why: str) -> None:
    with pytest.raises(KeyInvalidError, match=why):
        parse_jwk({**ec, "x": x})


def test_a_point_off_the_curve_is_refused(ec: dict[str, object]) -> None:
    with pytest.raises(KeyInvalidError, match="curve"):
        parse_jwk({**ec, "y": ec["x"]})


def test_the_point_at_infinity_is_refused() -> None:
    zero = base64url.encode(bytes(32))

    with pytest.raises(KeyInvalidError, match="curve"):
        parse_jwk({**EC, "x": zero, "y": zero})


@pytest.mark.parametrize(
    "raw",
    [
        bytes(32),
        b"\x01" + bytes(31),
        b"\xec" + b"\xff" * 30 + b"\x7f",
        b"\xff" * 32,
        b"\x02" + bytes(31),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    ],
)
def test_an_ed25519_point_that_is_weak_or_none_is_refused(raw: bytes) -> None:
    with pytest.raises(KeyInvalidError, match="point"):
        parse_jwk({"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(raw)})


def test_a_refusal_never_repeats_the_key(ec: dict[str, object]) -> None:
    with pytest.raises(KeyInvalidError) as refusal:
        parse_jwk({**ec, "y": ec["x"]})

    assert str(ec["x"]) not in str(refusal.value)


def test_two_kinds_of_key_never_share_a_thumbprint(
    ed25519_key: Ed25519Key, p256_key: P256Key
) -> None:
    assert ed25519_key.public.kid != p256_key.public.kid
    assert len(ed25519_key.public.kid) == len(p256_key.public.kid) == 43
