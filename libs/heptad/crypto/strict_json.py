"""JSON as evidence: read without leniency, written in one spelling.

Two parsers that read one text differently are how signed requests get two meanings. So whatever
parsers are known to disagree about is refused: duplicate names at any depth, NaN and infinities,
lone surrogates, bad UTF-8, a byte order mark, and nesting deeper than any honest request has.
"""

import json
import math
from collections.abc import Mapping
from typing import Final, NoReturn

DEPTH_MAX: Final = 16
"""Objects and arrays within each other, the outermost counted."""


class StrictJsonError(ValueError):
    """A text is not JSON, or JSON that two parsers may read differently."""


class DuplicateNameError(StrictJsonError):
    """An object has one name twice."""


def decode(data: bytes) -> object:
    """The value that `data` spells in UTF-8, or raise.

    Raises: StrictJsonError (DuplicateNameError for a repeated name); messages say what is wrong
    and repeat nothing of the text.
    """
    try:
        value: object = _DECODER.decode(data.decode("utf-8"))
    except StrictJsonError:
        raise
    except UnicodeDecodeError:
        raise StrictJsonError("not UTF-8") from None
    except (ValueError, RecursionError):
        raise StrictJsonError("not JSON") from None
    if data.count(b"{") + data.count(b"[") > DEPTH_MAX:
        _check_depth(value)
    if b"\\u" in data:
        _check_surrogates(value)
    return value


def encode(value: Mapping[str, object]) -> bytes:
    """The canonical text: names sorted by code point, no white space, UTF-8, no needless escapes.

    Numbers are written as Python reads them back (integers in full, the shortest decimal for a
    double). Raises: UnicodeEncodeError for lone surrogates, which `decode` lets no one bring in.
    """
    return _ENCODER.encode(value).encode("utf-8")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DuplicateNameError("an object has one name twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise StrictJsonError("a number is out of range")
    return number


def _no_constant(_text: str) -> NoReturn:
    raise StrictJsonError("NaN and infinities are not JSON")


def _check_depth(value: object) -> None:
    """Only texts with many brackets come here; they are walked level by level."""
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [child for parent in level for child in _containers(parent)]
        if not level:
            return
    raise StrictJsonError(f"nested more than {DEPTH_MAX} deep")


def _containers(value: object) -> list[object]:
    """The objects and arrays directly within an object or array."""
    if isinstance(value, dict):
        return [child for child in value.values() if isinstance(child, dict | list)]
    if isinstance(value, list):
        return [child for child in value if isinstance(child, dict | list)]
    return []


def _check_surrogates(value: object) -> None:
    """Half a surrogate pair is no character: such a string cannot be written as UTF-8."""
    try:
        _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJsonError("a string holds half a surrogate pair") from None


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant
)
_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
