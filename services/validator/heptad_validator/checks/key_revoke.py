"""Revoking a key: one that is active, and not the last one with which its owner can sign."""

from collections.abc import Container, Mapping

from heptad.crypto.device_keys import read_revocation
from heptad.crypto.requests import SignedRequest
from heptad.model.problems import Problem
from heptad_validator.lending.leases import RegisteredKey


def check_key_revoke(
    request: SignedRequest, *, keys: Mapping[str, RegisteredKey], going: Container[str]
) -> str:
    """The key id to revoke; `keys` are those of `iss`, `going` the ids of those that others of its
    requests, which are not committed yet, revoke.

    Raises: Problem `claim_invalid`, `key_not_active`, `key_last`.
    """
    kid = read_revocation(request)
    registered = keys.get(kid)
    if registered is None or registered.revoked:
        what = "has no such key" if registered is None else "has revoked this key already"
        raise Problem("key_not_active", f"the subject {what}", field="data")
    left = [other for other, key in keys.items() if not key.revoked and other not in going]
    if not any(other != kid for other in left):
        detail = "it is the subject's last key: nobody could sign for the subject any more"
        raise Problem("key_last", detail, field="data")
    return kid
