"""What this room refuses, and what can go wrong with its files.

Refusals are `Problem`s: each class stands for one row of `heptad.model.problems`, so a door answers
with the stable code without knowing how the refusal came about.
"""

from typing import ClassVar

from heptad.model.problems import Problem


class CryptoRefusalError(Problem):
    """Base of all refusals of this room; a subclass carries one stable code."""

    CODE: ClassVar[str]

    def __init__(self, detail: str, *, field: str = "") -> None:
        super().__init__(self.CODE, detail, field=field)


class RequestTooLargeError(CryptoRefusalError):
    """A JWS or its `data` is over the limit."""

    CODE = "request_too_large"


class ServiceKeyRetiredError(CryptoRefusalError):
    """A service's key signed something after it was retired."""

    CODE = "service_key_retired"


class JwsMalformedError(CryptoRefusalError):
    """The bytes are not three canonical base64url parts around a JSON header."""

    CODE = "jws_malformed"


class JwsHeaderRefusedError(CryptoRefusalError):
    """The header holds something else than `alg`, `typ` and `kid`."""

    CODE = "jws_header_refused"


class AlgorithmRefusedError(CryptoRefusalError):
    """The algorithm is not accepted, or is not that of the key."""

    CODE = "algorithm_refused"


class ClaimsMalformedError(CryptoRefusalError):
    """The claims are not one JSON object with each name once."""

    CODE = "claims_malformed"


class ClaimMissingError(CryptoRefusalError):
    """A claim is missing; `field` names it."""

    CODE = "claim_missing"


class ClaimInvalidError(CryptoRefusalError):
    """A claim has a wrong type or shape; `field` names it."""

    CODE = "claim_invalid"


class KeyInvalidError(CryptoRefusalError):
    """A public key is not one that Heptad can verify with."""

    CODE = "key_invalid"


class SignatureInvalidError(CryptoRefusalError):
    """A signature does not verify under the key that it should be from."""

    CODE = "signature_invalid"


class KeyProofInvalidError(CryptoRefusalError):
    """A new key does not prove that it is to be this subject's, by this very request."""

    CODE = "key_proof_invalid"


class SealBrokenError(Exception):
    """A ciphertext does not open: another key, other associated data, or changed bytes."""


class KeyFileError(Exception):
    """A key file is missing, readable by others, or does not hold the key that it should."""
