"""Signing and reading records of access (`heptad.model.access`): a JWS of a type of its own.

The ledger signs with its attestation key, which signs nothing that could be taken for a request. So
a validator that records one has proof of who wanted it, and a subject that reads one knows that the
ledger said so.
"""

from dataclasses import dataclass
from typing import Final

from heptad.crypto import strict_json
from heptad.crypto.claims import read_claims
from heptad.crypto.jwk import PublicKey
from heptad.crypto.jws import parse_compact, sign_compact, verify_signature
from heptad.crypto.keys import RequestKey
from heptad.crypto.signatures import Algorithm
from heptad.model.access import ACCESS_BYTES_MAX, CLAIMS, AccessRecord, access_of_claims

ACCESS_TYP: Final = "heptad-access+jws"

_NAMES: Final = dict.fromkeys(CLAIMS)


@dataclass(frozen=True, slots=True)
class SignedAccess:
    """A record whose bytes are in order; its signature has not been verified.

    `kid` is the thumbprint of the key that should have signed it; `raw` is the whole JWS.
    """

    record: AccessRecord
    algorithm: Algorithm
    kid: str
    signing_input: bytes
    signature: bytes
    raw: bytes


def sign_access(key: RequestKey, record: AccessRecord) -> bytes:
    """The record as compact JWS, in ASCII.

    Raises: Problem `claim_invalid` for what no record may say.
    """
    return sign_compact(key, strict_json.encode(record.claims()), typ=ACCESS_TYP)


def parse_access(raw: bytes) -> SignedAccess:
    """The record that `raw`, a compact JWS, spells.

    Raises: RequestTooLargeError, JwsMalformedError, JwsHeaderRefusedError, AlgorithmRefusedError,
    ClaimsMalformedError, ClaimMissingError, ClaimInvalidError; Problem `claim_invalid`.
    """
    jws = parse_compact(raw, typ=ACCESS_TYP, bytes_max=ACCESS_BYTES_MAX)
    record = access_of_claims(read_claims(jws.payload, names=_NAMES))
    return SignedAccess(record, jws.algorithm, jws.kid, jws.signing_input, jws.signature, raw)


def verify_access(signed: SignedAccess, key: PublicKey) -> None:
    """Prove that the ledger's attestation `key` signed the record.

    Raises: AlgorithmRefusedError, SignatureInvalidError.
    """
    verify_signature(
        key,
        algorithm=signed.algorithm,
        signing_input=signed.signing_input,
        signature=signed.signature,
    )
