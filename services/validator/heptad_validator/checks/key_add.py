"""Adding a key: one that the subject never had, that proves itself, and for which there is room."""

from collections.abc import Mapping

from heptad.crypto.device_keys import read_addition, verify_addition
from heptad.crypto.jwk import PublicKey
from heptad.crypto.key_history import KEYS_MAX
from heptad.crypto.requests import SignedRequest
from heptad.model.problems import Problem
from heptad_validator.lending.leases import RegisteredKey


def check_key_add(request: SignedRequest, *, keys: Mapping[str, RegisteredKey]) -> PublicKey:
    """The new key; `keys` are those that `iss` has or had, by key id. The signature comes last.

    Raises: Problem `claim_invalid`, `key_invalid`, `key_exists`, `keys_too_many`,
    `key_proof_invalid`.
    """
    kid = read_addition(request).key.kid
    if kid in keys:
        what = "had this key, and revoked it" if keys[kid].revoked else "has this key"
        raise Problem("key_exists", f"the subject {what}", field="data")
    if len(keys) >= KEYS_MAX:
        raise Problem("keys_too_many", f"the subject has had {len(keys)} keys", field="data")
    return verify_addition(request)
