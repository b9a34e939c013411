"""A subject's further keys: the requests that add and revoke them, and the new key's own proof.

A key is added by two signatures. The request is signed by a key that the subject has already; and
the new key signs that it wants to be this subject's, in a JWS of a type of its own that names
subject, cell and request. So nobody can take another's public key for its own, a proof made for one
request serves no other, and none of the two signatures can be taken for something else. The new
key's thumbprint is in the proof's signed header: a second key under which the same signature
happens to verify has another thumbprint, and so another message.

A key is revoked by any active key of the subject, itself included. Who has lost the last one turns
to an officer of the cell (`docs/spec/privacy.md`, "Device keys").
"""

import re
from dataclasses import dataclass
from typing import Final

from heptad.crypto import strict_json
from heptad.crypto.claims import read_claims
from heptad.crypto.errors import (
    AlgorithmRefusedError,
    ClaimInvalidError,
    CryptoRefusalError,
    KeyProofInvalidError,
)
from heptad.crypto.jwk import PublicKey, jwk_of, parse_jwk
from heptad.crypto.jws import CompactJws, parse_compact, sign_compact
from heptad.crypto.keys import RequestKey
from heptad.crypto.requests import SignedRequest, sign_request
from heptad.crypto.signatures import verify_by
from heptad.model.own_actions import KEY_ADD, KEY_REVOKE, OWN_SERVICE

PROOF_TYP: Final = "heptad-key-proof+jws"
PROOF_BYTES_MAX: Final = 1_024

_PROOF_NAMES: Final = dict.fromkeys(("iss", "aud", "jti"))
_KID: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


@dataclass(frozen=True, slots=True)
class KeyAddition:
    """The key that a `key.add` brings, and its proof; no signature has been verified yet."""

    key: PublicKey
    proof: CompactJws


def read_addition(request: SignedRequest) -> KeyAddition:
    """What a request to add a key says.

    Raises: ClaimInvalidError, KeyInvalidError; KeyProofInvalidError where the proof is not one of
    this key for this very request.
    """
    _require_act(request, KEY_ADD)
    if request.data.keys() != {"jwk", "proof"}:
        raise ClaimInvalidError("data of key.add holds exactly jwk and proof", field="data")
    key = parse_jwk(request.data["jwk"])
    proof = _read_proof(request.data["proof"])
    if proof.kid != key.kid:
        raise _unproved("its kid is not the thumbprint of data.jwk")
    claims = read_proof_claims(proof)
    if claims != {"iss": request.iss, "aud": request.aud, "jti": request.jti}:
        raise _unproved("iss, aud and jti are not those of the request")
    return KeyAddition(key, proof)


def verify_addition(request: SignedRequest) -> PublicKey:
    """The key that a `key.add` brings, proved to be held by who answers for the new device.

    That a key of the subject has signed the request is proved elsewhere.
    Raises: as `read_addition`; KeyProofInvalidError also for a signature that does not verify.
    """
    addition = read_addition(request)
    key, proof = addition.key, addition.proof
    try:
        if proof.algorithm is not key.algorithm:
            raise AlgorithmRefusedError("not the algorithm of the key")
        verify_by(
            key.algorithm,
            public_key=key.raw,
            message=proof.signing_input,
            signature=proof.signature,
        )
    except CryptoRefusalError as error:
        raise _unproved(error.detail) from None
    return key


def read_revocation(request: SignedRequest) -> str:
    """The thumbprint of the key that a `key.revoke` names. Raises: ClaimInvalidError."""
    _require_act(request, KEY_REVOKE)
    if request.data.keys() != {"kid"}:
        raise ClaimInvalidError("data of key.revoke holds exactly kid", field="data")
    kid = request.data["kid"]
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise ClaimInvalidError("data.kid is not an RFC 7638 SHA-256 thumbprint", field="data")
    return kid


def sign_key_proof(key: RequestKey, *, iss: str, aud: str, jti: str) -> bytes:
    """The new key's word that it belongs to subject `iss`, for the request of that `jti` only."""
    claims = {"iss": iss, "aud": aud, "jti": jti}
    return sign_compact(key, strict_json.encode(claims), typ=PROOF_TYP)


def addition_data(key: PublicKey, proof: bytes) -> dict[str, object]:
    """`data` of the request that adds `key`. A retry with the same `jti` needs the same data."""
    return {"jwk": jwk_of(key), "proof": proof.decode("ascii")}


def sign_key_addition(
    signer: RequestKey, new_key: RequestKey, *, iss: str, aud: str, jti: str, iat: int, exp: int
) -> bytes:
    """The request by which `signer`, a key of subject `iss`, adds `new_key`; times in seconds."""
    proof = sign_key_proof(new_key, iss=iss, aud=aud, jti=jti)
    return sign_request(
        signer,
        iss=iss,
        aud=aud,
        jti=jti,
        iat=iat,
        exp=exp,
        svc=OWN_SERVICE,
        act=KEY_ADD,
        data=addition_data(new_key.public, proof),
    )


def sign_key_revocation(
    signer: RequestKey, *, kid: str, iss: str, aud: str, jti: str, iat: int, exp: int
) -> bytes:
    """The request by which `signer`, a key of subject `iss`, revokes the key `kid`."""
    return sign_request(
        signer,
        iss=iss,
        aud=aud,
        jti=jti,
        iat=iat,
        exp=exp,
        svc=OWN_SERVICE,
        act=KEY_REVOKE,
        data={"kid": kid},
    )


def read_proof_claims(proof: CompactJws) -> dict[str, object]:
    """The three claims of a proof. Raises: KeyProofInvalidError."""
    try:
        return read_claims(proof.payload, names=_PROOF_NAMES)
    except CryptoRefusalError as error:
        raise _unproved(error.detail) from None


def _read_proof(text: object) -> CompactJws:
    if not isinstance(text, str):
        raise _unproved("it is not a string")
    try:
        raw = text.encode("ascii")
        return parse_compact(raw, typ=PROOF_TYP, bytes_max=PROOF_BYTES_MAX)
    except UnicodeEncodeError:
        raise _unproved("it is not ASCII") from None
    except CryptoRefusalError as error:
        raise _unproved(error.detail) from None


def _require_act(request: SignedRequest, act: str) -> None:
    if request.svc != OWN_SERVICE:
        raise ClaimInvalidError(f"svc is not {OWN_SERVICE}", field="svc")
    if request.act != act:
        raise ClaimInvalidError(f"act is not {act}", field="act")


def _unproved(what: str) -> KeyProofInvalidError:
    return KeyProofInvalidError(f"data.proof: {what}", field="data")
