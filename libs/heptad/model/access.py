"""Who opened a subject's personal data: what such a record says, and which ones there are.

Nobody but the subject itself gets at personal data without a trace that the subject can read. The
ledger that hands data out says so first, in a record of its own: sealed under the subject's key
like everything else about it, so that the subject finds it in its next export and nobody else
learns of it. The public entry shows that somebody opened something, and never of whom.

A record is named as a request is, by `iss` and `jti`, so that it is found, and a later copy of it
is known, by the means that requests have.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.model.requests import RequestId, request_id
from heptad.model.subjects import SubjectIdInvalidError, parse_subject_id

ACCESS_BYTES_MAX: Final = 8 * 1024
"""The whole signed record, in bytes."""

REASON_CHARACTERS_MAX: Final = 1_000
GROUND_CHARACTERS_MAX: Final = 200

KEY_REVOKED: Final = "key.revoked"
"""An officer has revoked a key of the subject: `what` is the key's thumbprint."""

PRIVATE_ACTIONS: Final[Mapping[Kind, frozenset[str]]] = MappingProxyType(
    {
        Kind.ACCESS: frozenset(
            {
                "subject.export",
                "hold.set",
                "hold.lifted",
                "erasure.ordered",
                "erasure.refused",
                KEY_REVOKED,
            }
        )
    }
)
"""What the cell's own parts may record about a subject, by the kind of its entry; nothing else."""

CLAIMS: Final = (
    "iss", "aud", "jti", "iat", "sub", "act", "what", "role", "by", "ground", "reason",
)  # fmt: skip
"""The names of a record's claims: all of them are there, and no other."""

_KID: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_TIME_S_MAX: Final = 253_402_300_799
_SHAPES: Final = {
    "iss": re.compile(r"ledger-[1-9][0-9]{0,3}"),
    "aud": re.compile(r"[!-~]{1,255}"),
    "jti": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "act": re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*"),
    "role": re.compile(r"[a-z]{1,16}"),
    "by": re.compile(r"[a-z0-9][a-z0-9-]{0,62}"),
}


@dataclass(frozen=True, slots=True)
class PrivateRecord:
    """What a part of the cell asks a validator to record about a subject, sealed under its key.

    `action` is what the entry says in public; `payload` is the signed record.
    """

    kind: Kind
    action: str
    subject_id: str = field(repr=False)
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """Somebody did something with a subject's data, or was about to.

    `ledger` is the member that says so (`ledger-1`) in the cell `origin`; `jti` is a UUID, `time_s`
    in seconds since 1970. `role` and `caller` are of the certificate that asked (`officer`, `dpo`).
    `ground` is the legal ground where one was given, else empty; `reason` is never empty. `what` is
    the one thing of the subject's that is meant, where that is not all: a key's thumbprint.
    """

    ledger: str
    origin: str
    jti: str
    time_s: int
    subject_id: str
    action: str
    role: str
    caller: str
    ground: str = field(repr=False)
    reason: str = field(repr=False)
    what: str = ""

    @property
    def request_id(self) -> RequestId:
        """The record's public handle: like a request's, from `iss` and `jti`."""
        return request_id(iss=self.ledger, jti=self.jti)

    def claims(self) -> dict[str, object]:
        """The record as the claims of a JWS. Raises: Problem `claim_invalid`."""
        claims: dict[str, object] = {
            "iss": self.ledger,
            "aud": self.origin,
            "jti": self.jti,
            "iat": self.time_s,
            "sub": self.subject_id,
            "act": self.action,
            "what": self.what,
            "role": self.role,
            "by": self.caller,
            "ground": self.ground,
            "reason": self.reason,
        }
        access_of_claims(claims)
        return claims


def access_of_claims(claims: Mapping[str, object]) -> AccessRecord:
    """The record that these claims say; their names are exactly `CLAIMS`.

    Raises: Problem `claim_invalid`, whose `field` names the claim; it repeats nothing of it.
    """
    shaped = {name: _shaped(claims, name) for name in _SHAPES}
    return AccessRecord(
        ledger=shaped["iss"],
        origin=shaped["aud"],
        jti=shaped["jti"],
        time_s=_time(claims),
        subject_id=_subject(claims),
        action=shaped["act"],
        role=shaped["role"],
        caller=shaped["by"],
        ground=check_words(claims["ground"], "ground", characters_max=GROUND_CHARACTERS_MAX),
        reason=check_words(
            claims["reason"], "reason", characters_max=REASON_CHARACTERS_MAX, characters_min=1
        ),
        what=_what(claims, shaped["act"]),
    )


def check_words(value: object, name: str, *, characters_max: int, characters_min: int = 0) -> str:
    """Words of a person, as they may stand in a record: so many characters, all printable.

    Raises: Problem `claim_invalid` for the field `name`.
    """
    if not isinstance(value, str):
        raise _invalid(name, "no text")
    if not characters_min <= len(value) <= characters_max:
        raise _invalid(name, f"{len(value)} characters, not {characters_min} to {characters_max}")
    if not value.isprintable():
        raise _invalid(name, "line breaks or control characters in it")
    if characters_min and not value.strip():
        raise _invalid(name, "nothing but spaces")
    return value


def _shaped(claims: Mapping[str, object], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str) or _SHAPES[name].fullmatch(value) is None:
        raise _invalid(name, "not of its form")
    return value


def _subject(claims: Mapping[str, object]) -> str:
    value = claims["sub"]
    try:
        return parse_subject_id(value if isinstance(value, str) else "")
    except SubjectIdInvalidError:
        raise _invalid("sub", "no subject's id") from None


def _what(claims: Mapping[str, object], action: str) -> str:
    """A thumbprint where a key is revoked, and nothing elsewhere."""
    value = claims["what"]
    if not isinstance(value, str):
        raise _invalid("what", "no text")
    is_right = _KID.fullmatch(value) is not None if action == KEY_REVOKED else not value
    if not is_right:
        raise _invalid("what", "not what this action needs")
    return value


def _time(claims: Mapping[str, object]) -> int:
    value = claims["iat"]
    if type(value) is not int or not 0 < value <= _TIME_S_MAX:
        raise _invalid("iat", "no time between 1970 and 9999")
    return value


def _invalid(name: str, what: str) -> Problem:
    return Problem("claim_invalid", f"{name}: {what}", field=name)
