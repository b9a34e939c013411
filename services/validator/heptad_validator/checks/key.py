"""Key: the subject's registered key, and with it the only algorithm that counts."""

from collections.abc import Mapping

from heptad.crypto.errors import AlgorithmRefusedError
from heptad.crypto.jwk import PublicKey
from heptad.crypto.requests import SignedRequest
from heptad.model.problems import Problem
from heptad.model.subjects import SubjectIdInvalidError, cell_code_of, parse_subject_id
from heptad_validator.lending.leases import RegisteredKey


def check_subject(request: SignedRequest, *, cell_code: str) -> None:
    """Refuse an `iss` that cannot be a subject of this cell, before anybody is asked about it.

    Raises: Problem `key_unknown`.
    """
    try:
        subject = parse_subject_id(request.iss)
    except SubjectIdInvalidError as error:
        raise Problem("key_unknown", str(error), field="iss") from None
    if cell_code_of(subject) != cell_code:
        raise Problem("key_unknown", "iss is a subject of another cell", field="iss")


def check_key(
    request: SignedRequest, *, keys: Mapping[str, RegisteredKey], allow_revoked: bool = False
) -> PublicKey:
    """The key that must have signed the request; `keys` are those of `iss`, by key id.

    `allow_revoked` is for what was admitted before, and will not be once more.
    Raises: Problem `key_unknown`, `key_revoked`, `algorithm_refused`.
    """
    registered = keys.get(request.kid)
    if registered is None:
        raise Problem("key_unknown", "the subject has no key of this kid", field="kid")
    if registered.revoked and not allow_revoked:
        raise Problem("key_revoked", "the subject has revoked this key", field="kid")
    key = registered.key
    if request.algorithm is not key.algorithm:
        raise AlgorithmRefusedError(
            f"alg is {request.algorithm.value}, but the registered key is for "
            f"{key.algorithm.value}",
            field="alg",
        )
    return key
