"""The registration of a subject: a request signed by the very key that it brings.

Nobody has a subject id before the registration, so the claim `iss` is the key's own thumbprint.
The signature proves possession of the private key; the id comes afterwards, from the record that
the registration becomes (`heptad.model.subjects`).
"""

from heptad.crypto.errors import ClaimInvalidError, KeyInvalidError
from heptad.crypto.jwk import PublicKey, jwk_of, parse_jwk
from heptad.crypto.keys import RequestKey
from heptad.crypto.requests import SignedRequest, sign_request, verify_request
from heptad.model.own_actions import REGISTER


def read_registration(request: SignedRequest) -> PublicKey:
    """The key that a registration brings; its signature is not verified yet.

    Raises: ClaimInvalidError, KeyInvalidError.
    """
    if request.act != REGISTER:
        raise ClaimInvalidError(f"act is not {REGISTER}", field="act")
    if request.data.keys() != {"jwk"}:
        raise ClaimInvalidError("data of a registration holds exactly jwk", field="data")
    key = parse_jwk(request.data["jwk"])
    if key.kid != request.kid:
        raise KeyInvalidError("kid is not the thumbprint of the key in data.jwk", field="kid")
    if key.kid != request.iss:
        raise ClaimInvalidError("iss is not the thumbprint of the key in data.jwk", field="iss")
    return key


def verify_registration(request: SignedRequest) -> PublicKey:
    """The key that a registration brings, proved to be held by who sent it.

    Raises: as `read_registration`, and AlgorithmRefusedError, SignatureInvalidError.
    """
    key = read_registration(request)
    verify_request(request, key)
    return key


def sign_registration(
    key: RequestKey, *, aud: str, jti: str, iat: int, exp: int, svc: str
) -> bytes:
    """The registration of `key`'s owner as compact JWS; times in seconds."""
    public = key.public
    return sign_request(
        key,
        iss=public.kid,
        aud=aud,
        jti=jti,
        iat=iat,
        exp=exp,
        svc=svc,
        act=REGISTER,
        data={"jwk": jwk_of(public)},
    )
