"""A private record of the ledger's: that it may be said, and that the ledger has said it.

The caller's certificate speaks for the connection, the attestation key for the words: what is
sealed can be shown to the subject years later, and must then prove itself.
"""

from typing import Final

from heptad.crypto.accesses import SignedAccess, parse_access, verify_access
from heptad.model.access import PRIVATE_ACTIONS, PrivateRecord
from heptad.model.problems import Problem
from heptad.model.subjects import SubjectId, cell_code_of
from heptad.runtime.attestation import AttestationKeys
from heptad.runtime.identity import Identity, Role

AGE_S_MAX: Final = 300
"""How old a record may be, apart from the skew of clocks; it is remembered for longer than that."""


def check_private(
    record: PrivateRecord,
    *,
    caller: Identity,
    origin: str,
    cell_code: str,
    keys: AttestationKeys,
) -> SignedAccess:
    """The signed record inside, once it is proved that the ledger that calls has signed it.

    Raises: Problem `role_refused`, `parameter_invalid`, `audience_mismatch`, `key_unknown`,
    `signature_invalid`, and what `parse_access` raises.
    """
    actions = PRIVATE_ACTIONS.get(record.kind, frozenset())
    if caller.role is not Role.LEDGER or not actions:
        detail = f"a {caller.role} may not record what is private as {record.kind.name}"
        raise Problem("role_refused", detail)
    if record.action not in actions:
        detail = f"no record of kind {record.kind.name} has this action"
        raise Problem("parameter_invalid", detail, field="action")
    signed = parse_access(record.payload)
    _check_agrees(record, signed, caller=caller, cell_code=cell_code)
    if signed.record.origin != origin:
        raise Problem("audience_mismatch", "the record is one of another cell", field="aud")
    key = keys.get(signed.kid)
    if key is None:
        raise Problem("key_unknown", "no attestation key has this kid", field="kid")
    verify_access(signed, key)
    return signed


def check_age(signed: SignedAccess, *, now_s: int, skew_s_max: int) -> None:
    """Raises: Problem `request_expired`, `request_from_the_future`."""
    age_s = now_s - signed.record.time_s
    if age_s > AGE_S_MAX + skew_s_max:
        raise Problem("request_expired", f"the record is {age_s} s old", field="iat")
    if age_s < -skew_s_max:
        detail = f"the record's time is {-age_s} s ahead"
        raise Problem("request_from_the_future", detail, field="iat")


def _check_agrees(
    record: PrivateRecord, signed: SignedAccess, *, caller: Identity, cell_code: str
) -> None:
    """What is signed is what is asked for. Raises: Problem `parameter_invalid`."""
    said = signed.record
    pairs = {
        "action": record.action == said.action,
        "subject_id": record.subject_id == said.subject_id,
        "iss": caller.id == said.ledger,
    }
    for name, agrees in pairs.items():
        if not agrees:
            raise Problem("parameter_invalid", f"the signed record has another {name}", field=name)
    if cell_code_of(SubjectId(said.subject_id)) != cell_code:
        raise Problem("parameter_invalid", "a subject of another cell", field="subject_id")
