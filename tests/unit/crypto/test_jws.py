"""The outer shape of a signed request: each trap of JOSE is refused by name."""

import json
from collections.abc import Callable

import pytest

from heptad.crypto.errors import (
    AlgorithmRefusedError,
    JwsHeaderRefusedError,
    JwsMalformedError,
    RequestTooLargeError,
    SignatureInvalidError,
)
from heptad.crypto.jws import CompactJws, parse_compact, sign_compact, verify_signature
from heptad.crypto.keys import Ed25519Key, P256Key, RequestKey

Forge = Callable[[object, bytes], bytes]
TYP = "heptad-request+jws"
PAYLOAD = b'{"some":"claims"}'


def parse(raw: bytes) -> CompactJws:
    return parse_compact(raw, typ=TYP, bytes_max=16 * 1024)


def test_what_is_signed_is_what_is_parsed(request_key: RequestKey) -> None:
    raw = sign_compact(request_key, PAYLOAD, typ=TYP)

    jws = parse(raw)

    assert jws.payload == PAYLOAD
    assert jws.kid == request_key.public.kid
    assert raw.startswith(jws.signing_input + b".")
    verify_signature(
        request_key.public,
        algorithm=jws.algorithm,
        signing_input=jws.signing_input,
        signature=jws.signature,
    )


def test_a_signature_by_another_key_does_not_verify(request_key: RequestKey) -> None:
    jws = parse(sign_compact(request_key, PAYLOAD, typ=TYP))
    other = type(request_key).generate().public  # type: ignore[attr-defined]  # both kinds have it

    with pytest.raises(SignatureInvalidError):
        verify_signature(
            other,
            algorithm=jws.algorithm,
            signing_input=jws.signing_input,
            signature=jws.signature,
        )


def test_the_registered_key_decides_the_algorithm(
    ed25519_key: Ed25519Key, p256_key: P256Key
) -> None:
    jws = parse(sign_compact(p256_key, PAYLOAD, typ=TYP))

    with pytest.raises(AlgorithmRefusedError, match=r"ES256.*EdDSA"):
        verify_signature(
            ed25519_key.public,
            algorithm=jws.algorithm,
            signing_input=jws.signing_input,
            signature=jws.signature,
        )


def test_a_jws_at_the_limit_is_read_and_one_byte_more_is_not(ed25519_key: Ed25519Key) -> None:
    raw = sign_compact(ed25519_key, PAYLOAD, typ=TYP)

    parse_compact(raw, typ=TYP, bytes_max=len(raw))
    with pytest.raises(RequestTooLargeError, match=f"{len(raw)} bytes"):
        parse_compact(raw, typ=TYP, bytes_max=len(raw) - 1)


@pytest.mark.parametrize("trap", ["crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"])
def test_a_dangerous_header_parameter_is_refused_by_name(
    forge: Forge, header: dict[str, object], trap: str
) -> None:
    with pytest.raises(JwsHeaderRefusedError, match=trap) as refusal:
        parse(forge({**header, trap: ["exp"]}, PAYLOAD))

    assert refusal.value.field == trap
    assert refusal.value.code == "jws_header_refused"


@pytest.mark.parametrize("name", ["cty", "Alg", "ALG", "nonce", "url", "", "\u0430lg"])
def test_an_unknown_header_parameter_is_refused(
    forge: Forge, header: dict[str, object], name: str
) -> None:
    with pytest.raises(JwsHeaderRefusedError):
        parse(forge({**header, name: "x"}, PAYLOAD))


@pytest.mark.parametrize("name", ["alg", "typ", "kid"])
def test_a_missing_header_parameter_is_named(
    forge: Forge, header: dict[str, object], name: str
) -> None:
    del header[name]

    with pytest.raises(JwsHeaderRefusedError, match=name) as refusal:
        parse(forge(header, PAYLOAD))

    assert refusal.value.field == name


@pytest.mark.parametrize(
    "algorithm",
    [
        *("none", "None", "NONE", "", "HS256", "HS512", "RS256", "PS256", "ES384", "ES512"),
        *("ES256K", "Ed25519", "Ed448", "eddsa", "es256", "EdDSA ", "\u0415S256"),
        *(None, True, 0, ["ES256"], {"alg": "ES256"}),
    ],
)
def test_no_algorithm_but_the_two_is_accepted(
    forge: Forge, header: dict[str, object], algorithm: object
) -> None:
    with pytest.raises(AlgorithmRefusedError) as refusal:
        parse(forge({**header, "alg": algorithm}, PAYLOAD))

    assert refusal.value.code == "algorithm_refused"


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "application/heptad-request+jws", "heptad-bundle+jws", None, 1, [TYP]]
)
def test_a_jws_of_another_type_is_refused(
    forge: Forge, header: dict[str, object], typ: object
) -> None:
    with pytest.raises(JwsHeaderRefusedError, match="typ"):
        parse(forge({**header, "typ": typ}, PAYLOAD))


@pytest.mark.parametrize("kid", [None, 7, "", "a" * 42, "a" * 44, "key-1", "A" * 42 + "B", ["A"]])
def test_a_kid_that_is_no_thumbprint_is_refused(
    forge: Forge, header: dict[str, object], kid: object
) -> None:
    with pytest.raises(JwsHeaderRefusedError, match="kid"):
        parse(forge({**header, "kid": kid}, PAYLOAD))


def test_a_header_name_given_twice_is_refused(forge: Forge, header: dict[str, object]) -> None:
    text = json.dumps(header)
    twice = text[:-1] + ', "alg": "EdDSA"}'

    with pytest.raises(JwsHeaderRefusedError, match="twice"):
        parse(forge(twice.encode(), PAYLOAD))


def test_an_escaped_header_name_given_twice_is_refused(
    forge: Forge, header: dict[str, object]
) -> None:
    text = json.dumps(header)
    twice = text[:-1] + ', "\\u0061lg": "none"}'

    with pytest.raises(JwsHeaderRefusedError, match="twice"):
        parse(forge(twice.encode(), PAYLOAD))


@pytest.mark.parametrize(
    "header_bytes",
    [
        b"not json",
        b"[]",
        b'"alg"',
        b"null",
        b"{",
        b"{}{}",
        b'{"alg":"EdDSA"',
        b'{"alg":\xff}',
        b"\xef\xbb\xbf{}",
        b"{'alg':'EdDSA'}",
    ],
)
def test_a_header_that_is_no_json_object_is_malformed(forge: Forge, header_bytes: bytes) -> None:
    with pytest.raises(JwsMalformedError) as refusal:
        parse(forge(header_bytes, PAYLOAD))

    assert refusal.value.field == "header"


def test_a_long_header_is_refused_before_it_is_read(forge: Forge) -> None:
    with pytest.raises(JwsHeaderRefusedError, match="600 bytes"):
        parse(forge(b"[" * 600, PAYLOAD))


@pytest.mark.parametrize("parts", [1, 2, 4, 5, 9])
def test_a_jws_has_three_parts(parts: int) -> None:
    with pytest.raises(JwsMalformedError, match=f"3 parts, not {parts}"):
        parse(b".".join([b"e30"] * parts))


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_no_part_may_be_empty(ed25519_key: Ed25519Key, empty: int) -> None:
    """An empty payload would be a detached JWS, an empty signature an unsecured one."""
    parts = sign_compact(ed25519_key, PAYLOAD, typ=TYP).split(b".")
    parts[empty] = b""

    with pytest.raises(JwsMalformedError, match="empty"):
        parse(b".".join(parts))


def _respell_last_letter(text: bytes) -> bytes:
    """The same bytes after lenient decoding: one bit that no encoder sets."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + letters[letters.index(text[-1:]) | 1 :][:1]


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize(
    "respell",
    [
        lambda text: text + b"=",
        lambda text: text + b"==",
        lambda text: text + b"\n",
        lambda text: b" " + text,
        lambda text: text[:4] + b"\r\n" + text[4:],
        lambda text: text[:-1] + b"+",
        lambda text: text[:-1] + b"/",
        lambda text: text[:-1] + b"\xc3\x84",
        lambda text: text + b"\x00",
        lambda text: text[: len(text) - (len(text) - 1) % 4],
    ],
)
def test_a_part_in_another_spelling_is_malformed(
    ed25519_key: Ed25519Key, part: int, respell: Callable[[bytes], bytes]
) -> None:
    parts = sign_compact(ed25519_key, PAYLOAD, typ=TYP).split(b".")
    parts[part] = respell(parts[part])

    with pytest.raises(JwsMalformedError, match="canonical"):
        parse(b".".join(parts))


def test_stray_bits_in_the_last_letter_are_malformed(ed25519_key: Ed25519Key) -> None:
    raw = sign_compact(ed25519_key, PAYLOAD, typ=TYP)
    respelled = _respell_last_letter(raw)

    assert respelled != raw
    with pytest.raises(JwsMalformedError, match="canonical"):
        parse(respelled)


@pytest.mark.parametrize("length", [1, 63, 65, 70, 72, 96])
def test_a_signature_has_64_raw_bytes(ed25519_key: Ed25519Key, length: int) -> None:
    """70 to 72 bytes are what a DER signature has."""

    class Padded:
        public = ed25519_key.public

        def sign(self, message: bytes) -> bytes:
            return (ed25519_key.sign(message) * 2)[:length]

    with pytest.raises(JwsMalformedError, match=f"not {length}"):
        parse(sign_compact(Padded(), PAYLOAD, typ=TYP))
