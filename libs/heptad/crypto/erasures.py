"""Orders, refusals and certificates of erasure as compact JWS, by the ledger's attestation key.

A validator that records them for the ledger cannot make one up: the ledger carries out, and a
verifier believes, only what carries this signature. Each has a `typ` of its own, so that none can
be taken for another. Header and claims are read as strictly as a request's; any JOSE library can
check them. `docs/spec/privacy.md` has the claims, one by one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from heptad.crypto import strict_json
from heptad.crypto.claims import AUD, TIME_S_MAX, Shape, read_claims, text, whole_number
from heptad.crypto.errors import ClaimInvalidError, CryptoRefusalError
from heptad.crypto.jwk import PublicKey
from heptad.crypto.jws import parse_compact, sign_compact, verify_signature
from heptad.crypto.keys import RequestKey
from heptad.crypto.signatures import Algorithm
from heptad.model import base64url
from heptad.model.erasure import (
    BACKEND_CHARACTERS_MAX,
    CAVEAT_CHARACTERS_MAX,
    FORMAT_VERSION,
    SOFTWARE_CHARACTERS_MAX,
    STATEMENT_BYTES_MAX,
    ErasureCertificate,
    ErasureGround,
    ErasureOrder,
    ErasureRefusal,
    OrderedBy,
    RefusalGround,
    Remainder,
)

ORDER_TYP: Final = "heptad-erasure-order+jws"
REFUSAL_TYP: Final = "heptad-erasure-refusal+jws"
CERTIFICATE_TYP: Final = "heptad-erasure-certificate+jws"

NUMBER_MAX: Final = 2**53 - 1
"""Of any number in a claim: every JSON library reads it exactly."""

TIME_MS_MAX: Final = TIME_S_MAX * 1_000

_DIGEST: Final = Shape(
    re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"), "32 bytes in canonical base64url"
)
_ORDER_NAMES: Final = dict.fromkeys(
    ("v", "aud", "slot", "ground", "ordered_by", "request_digest", "ordered_at_ms")
)
_REFUSAL_NAMES: Final = dict.fromkeys(("v", "aud", "ground", "refusal_digest", "refused_at_ms"))
_CERTIFICATE_NAMES: Final = dict.fromkeys(
    (
        *("v", "aud", "order_index", "slot", "ground", "ordered_by", "request_digest"),
        *("subject_pseudonym", "ordered_at_ms", "erased_at_ms", "epoch_old", "epoch_new"),
        *("root_hash", "backend", "caveat", "read_back", "ciphertexts", "index_rows"),
        *("leases_drained_at_ms", "replicas_drop_by_ms", "link_until_ms", "beyond_use_until_ms"),
        *("remains", "software"),
    )
)

StatementT = TypeVar("StatementT", ErasureOrder, ErasureRefusal, ErasureCertificate)
WordT = TypeVar("WordT", bound=StrEnum)
_Claims = dict[str, object]


class AttestationKeyUnknownError(CryptoRefusalError):
    """A statement names a key that is none of the ledger's attestation keys."""

    CODE = "key_unknown"


@dataclass(frozen=True, slots=True)
class Attested(Generic[StatementT]):
    """A statement whose bytes are in order; its signature has not been verified.

    `raw` is the whole JWS as received.
    """

    statement: StatementT
    algorithm: Algorithm
    kid: str
    signing_input: bytes
    signature: bytes
    raw: bytes


def parse_order(raw: bytes) -> Attested[ErasureOrder]:
    """The order that `raw`, a compact JWS, spells.

    Raises: RequestTooLargeError, JwsMalformedError, JwsHeaderRefusedError, AlgorithmRefusedError,
    ClaimsMalformedError, ClaimMissingError, ClaimInvalidError, in this order.
    """
    return _parse(raw, ORDER_TYP, _ORDER_NAMES, _order)


def parse_refusal(raw: bytes) -> Attested[ErasureRefusal]:
    """The refusal that `raw`, a compact JWS, spells. Raises: as `parse_order`."""
    return _parse(raw, REFUSAL_TYP, _REFUSAL_NAMES, _refusal)


def parse_certificate(raw: bytes) -> Attested[ErasureCertificate]:
    """The certificate that `raw`, a compact JWS, spells. Raises: as `parse_order`."""
    return _parse(raw, CERTIFICATE_TYP, _CERTIFICATE_NAMES, _certificate)


def verify_attested(attested: Attested[StatementT], keys: Mapping[str, PublicKey]) -> None:
    """Prove that the ledger made the statement; `keys` are its attestation keys by their `kid`.

    Raises: AttestationKeyUnknownError, AlgorithmRefusedError, SignatureInvalidError.
    """
    key = keys.get(attested.kid)
    if key is None:
        raise AttestationKeyUnknownError("kid is no attestation key of this ledger", field="kid")
    verify_signature(
        key,
        algorithm=attested.algorithm,
        signing_input=attested.signing_input,
        signature=attested.signature,
    )


def sign_order(key: RequestKey, order: ErasureOrder) -> bytes:
    """An order as compact JWS, in ASCII: with Ed25519 the same for the same order."""
    return sign_compact(key, strict_json.encode(order_claims(order)), typ=ORDER_TYP)


def sign_refusal(key: RequestKey, refusal: ErasureRefusal) -> bytes:
    """A refusal as compact JWS, in ASCII."""
    return sign_compact(key, strict_json.encode(refusal_claims(refusal)), typ=REFUSAL_TYP)


def sign_certificate(key: RequestKey, certificate: ErasureCertificate) -> bytes:
    """A certificate's core as compact JWS, in ASCII."""
    claims = certificate_claims(certificate)
    return sign_compact(key, strict_json.encode(claims), typ=CERTIFICATE_TYP)


def order_claims(order: ErasureOrder) -> dict[str, object]:
    """The claims of an order."""
    return {
        "v": FORMAT_VERSION,
        "aud": order.origin,
        "slot": order.slot,
        "ground": order.ground.value,
        "ordered_by": order.ordered_by.value,
        "request_digest": base64url.encode(order.request_digest),
        "ordered_at_ms": order.ordered_at_ms,
    }


def refusal_claims(refusal: ErasureRefusal) -> dict[str, object]:
    """The claims of a refusal."""
    return {
        "v": FORMAT_VERSION,
        "aud": refusal.origin,
        "ground": refusal.ground.value,
        "refusal_digest": base64url.encode(refusal.refusal_digest),
        "refused_at_ms": refusal.refused_at_ms,
    }


def certificate_claims(certificate: ErasureCertificate) -> dict[str, object]:
    """The claims of a certificate."""
    return {
        "v": FORMAT_VERSION,
        "aud": certificate.origin,
        "order_index": certificate.order_index,
        "slot": certificate.slot,
        "ground": certificate.ground.value,
        "ordered_by": certificate.ordered_by.value,
        "request_digest": base64url.encode(certificate.request_digest),
        "subject_pseudonym": base64url.encode(certificate.subject_pseudonym),
        "ordered_at_ms": certificate.ordered_at_ms,
        "erased_at_ms": certificate.erased_at_ms,
        "epoch_old": certificate.epoch_old,
        "epoch_new": certificate.epoch_new,
        "root_hash": base64url.encode(certificate.root_hash),
        "backend": certificate.backend,
        "caveat": certificate.caveat,
        "read_back": certificate.read_back,
        "ciphertexts": certificate.ciphertexts,
        "index_rows": certificate.index_rows,
        "leases_drained_at_ms": certificate.leases_drained_at_ms,
        "replicas_drop_by_ms": certificate.replicas_drop_by_ms,
        "link_until_ms": certificate.link_until_ms,
        "beyond_use_until_ms": certificate.beyond_use_until_ms,
        "remains": [remainder.value for remainder in certificate.remains],
        "software": certificate.software,
    }


def _parse(
    raw: bytes, typ: str, names: Mapping[str, None], read: Callable[[_Claims], StatementT]
) -> Attested[StatementT]:
    jws = parse_compact(raw, typ=typ, bytes_max=STATEMENT_BYTES_MAX)
    claims = read_claims(jws.payload, names=names)
    if whole_number(claims, "v") != FORMAT_VERSION:
        raise ClaimInvalidError(f"v is not {FORMAT_VERSION}", field="v")
    return Attested(read(claims), jws.algorithm, jws.kid, jws.signing_input, jws.signature, raw)


def _order(claims: _Claims) -> ErasureOrder:
    return ErasureOrder(
        origin=text(claims, "aud", AUD),
        slot=_number(claims, "slot"),
        ground=_word(claims, "ground", ErasureGround),
        ordered_by=_word(claims, "ordered_by", OrderedBy),
        request_digest=_digest(claims, "request_digest"),
        ordered_at_ms=_time_ms(claims, "ordered_at_ms"),
    )


def _refusal(claims: _Claims) -> ErasureRefusal:
    return ErasureRefusal(
        origin=text(claims, "aud", AUD),
        ground=_word(claims, "ground", RefusalGround),
        refusal_digest=_digest(claims, "refusal_digest"),
        refused_at_ms=_time_ms(claims, "refused_at_ms"),
    )


def _certificate(claims: _Claims) -> ErasureCertificate:
    until = claims["beyond_use_until_ms"]
    certificate = ErasureCertificate(
        origin=text(claims, "aud", AUD),
        order_index=_number(claims, "order_index"),
        slot=_number(claims, "slot"),
        ground=_word(claims, "ground", ErasureGround),
        ordered_by=_word(claims, "ordered_by", OrderedBy),
        request_digest=_digest(claims, "request_digest"),
        subject_pseudonym=_digest(claims, "subject_pseudonym"),
        ordered_at_ms=_time_ms(claims, "ordered_at_ms"),
        erased_at_ms=_time_ms(claims, "erased_at_ms"),
        epoch_old=_number(claims, "epoch_old"),
        epoch_new=_number(claims, "epoch_new"),
        root_hash=_digest(claims, "root_hash"),
        backend=_line(claims, "backend", BACKEND_CHARACTERS_MAX),
        caveat=_line(claims, "caveat", CAVEAT_CHARACTERS_MAX),
        read_back=_flag(claims, "read_back"),
        ciphertexts=_number(claims, "ciphertexts"),
        index_rows=_number(claims, "index_rows"),
        leases_drained_at_ms=_time_ms(claims, "leases_drained_at_ms"),
        replicas_drop_by_ms=_time_ms(claims, "replicas_drop_by_ms"),
        link_until_ms=_time_ms(claims, "link_until_ms"),
        beyond_use_until_ms=None if until is None else _time_ms(claims, "beyond_use_until_ms"),
        remains=_remains(claims),
        software=_line(claims, "software", SOFTWARE_CHARACTERS_MAX),
    )
    if certificate.epoch_new <= certificate.epoch_old:
        raise ClaimInvalidError("epoch_new does not lie after epoch_old", field="epoch_new")
    return certificate


def _number(claims: _Claims, name: str) -> int:
    value = whole_number(claims, name)
    if not 0 <= value <= NUMBER_MAX:
        raise ClaimInvalidError(f"{name} is not in 0..2^53-1", field=name)
    return value


def _time_ms(claims: _Claims, name: str) -> int:
    value = whole_number(claims, name)
    if not 0 < value <= TIME_MS_MAX:
        raise ClaimInvalidError(f"{name} is no time between 1970 and 9999, in ms", field=name)
    return value


def _flag(claims: _Claims, name: str) -> bool:
    value = claims[name]
    if not isinstance(value, bool):
        raise ClaimInvalidError(f"{name} is neither true nor false", field=name)
    return value


def _digest(claims: _Claims, name: str) -> bytes:
    return base64url.decode(text(claims, name, _DIGEST))


def _line(claims: _Claims, name: str, characters_max: int) -> str:
    """One line of printable ASCII: nothing that could show itself as something else."""
    pattern = re.compile(rf"[ -~]{{1,{characters_max}}}")
    return text(claims, name, Shape(pattern, f"1 to {characters_max} printable ASCII characters"))


def _word(claims: _Claims, name: str, words: type[WordT]) -> WordT:
    value = claims[name]
    for word in words:
        if word.value == value:
            return word
    listed = ", ".join(word.value for word in words)
    raise ClaimInvalidError(f"{name} is none of {listed}", field=name)


def _remains(claims: _Claims) -> tuple[Remainder, ...]:
    """A list of words, each once, in the order in which they are defined."""
    values = claims["remains"]
    if not isinstance(values, list) or len(values) > len(Remainder):
        raise ClaimInvalidError("remains is no list of what there is", field="remains")
    words = tuple(_word({"remains": value}, "remains", Remainder) for value in values)
    if words != tuple(word for word in Remainder if word in words):
        raise ClaimInvalidError(
            "remains is not in its order, or says a thing twice", field="remains"
        )
    return words
