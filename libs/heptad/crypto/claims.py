"""Claims of a JWS, read without leniency: every name required, none other allowed.

What signed requests and service bundles have in common. No message repeats what a claim says.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from heptad.crypto import strict_json
from heptad.crypto.errors import ClaimInvalidError, ClaimMissingError, ClaimsMalformedError

TIME_S_MAX: Final = 253_402_300_799
"""The end of the year 9999, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a claim that is text must look like, and the same in words for people."""

    pattern: re.Pattern[str]
    words: str


AUD: Final = Shape(
    re.compile(r"[!-~]{1,255}"), "1 to 255 printable ASCII characters without spaces"
)
JTI: Final = Shape(
    re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "a UUID in canonical lower case",
)


def read_claims(payload: bytes, *, names: Mapping[str, None]) -> dict[str, object]:
    """The claims, which are exactly those of `names`: keys, since those compare as sets do and
    keep an order in which a missing one is named.

    Raises: ClaimsMalformedError, ClaimMissingError, ClaimInvalidError.
    """
    try:
        claims = strict_json.decode(payload)
    except strict_json.StrictJsonError as error:
        raise ClaimsMalformedError(f"the claims: {error}") from None
    if not isinstance(claims, dict):
        raise ClaimsMalformedError("the claims are no JSON object")
    if claims.keys() != names.keys():
        missing = [name for name in names if name not in claims]
        if missing:
            raise ClaimMissingError(f"{missing[0]} is missing", field=missing[0])
        raise ClaimInvalidError(f"only these claims are allowed: {', '.join(names)}")
    return claims


def text(claims: dict[str, object], name: str, shape: Shape) -> str:
    """A claim that is text of this shape. Raises: ClaimInvalidError."""
    value = claims[name]
    if not isinstance(value, str):
        raise ClaimInvalidError(f"{name} is not a string", field=name)
    if shape.pattern.fullmatch(value) is None:
        raise ClaimInvalidError(f"{name} is not {shape.words}", field=name)
    return value


def whole_number(claims: dict[str, object], name: str) -> int:
    """An integer; `true` is one in Python, and 1.0 is none in JSON: both are refused.

    Raises: ClaimInvalidError.
    """
    value = claims[name]
    if type(value) is not int:
        raise ClaimInvalidError(f"{name} is not an integer", field=name)
    return value


def lifetime(claims: dict[str, object]) -> tuple[int, int]:
    """`iat` and `exp` in seconds, the second after the first. Raises: ClaimInvalidError."""
    iat, exp = _time(claims, "iat"), _time(claims, "exp")
    if exp <= iat:
        raise ClaimInvalidError("exp does not lie after iat", field="exp")
    return iat, exp


def _time(claims: dict[str, object], name: str) -> int:
    value = whole_number(claims, name)
    if not 0 < value <= TIME_S_MAX:
        raise ClaimInvalidError(f"{name} is no time between 1970 and 9999", field=name)
    return value
