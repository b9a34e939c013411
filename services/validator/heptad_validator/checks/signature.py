"""Signature: what is to be verified, by the registered key's algorithm and no other.

The verification itself runs in chunks (`heptad.crypto.verifier`), so this rule only says what is
compared with what; nothing of the request's header takes part any more.
"""

from heptad.crypto.jwk import PublicKey
from heptad.crypto.requests import SignedRequest
from heptad.crypto.verifier import SignatureCheck


def signature_to_verify(request: SignedRequest, key: PublicKey) -> SignatureCheck:
    """The check that proves that `key` signed the request (`signature_invalid` if it fails)."""
    return SignatureCheck(
        algorithm=key.algorithm,
        public_key=key.raw,
        message=request.signing_input,
        signature=request.signature,
    )
