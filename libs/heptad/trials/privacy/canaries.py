"""What is planted, and the spellings by which it would be known again.

Every canary that is a text of ours begins with one *mark*, random for each run, so a large file is
searched for some dozens of byte strings and not for some dozens times the number of canaries. What
the cell or its formats spell (a subject's id, a request's UUID, a device's key) is looked for by
itself.

Data travel wrapped: a JWS is base64url of JSON, and a JWS in JSON in a header may be base64 again.
Where in a wrapped text a canary begins is unknown, and base64 spells the same bytes in three ways,
by their offset; so each of the three is a needle, and each of the nine of base64 twice.
"""

import base64
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MARK_CHARACTERS: Final = 18
_ALPHABET: Final = string.ascii_lowercase + string.digits
_LENGTH_MIN: Final = 12
"""Needles shorter than this would be met by chance in a large file, and are left out."""


@dataclass(frozen=True, slots=True)
class Needle:
    """Bytes to look for: what they stand for (`mark`, `subject id`, …) and in which spelling."""

    what: str
    spelling: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Canaries:
    """One run's canaries. None of them is ever printed."""

    mark: str = field(repr=False)

    @classmethod
    def fresh(cls) -> "Canaries":
        """A new mark, which nobody has met before: 93 bits."""
        rest = (secrets.choice(_ALPHABET) for _ in range(MARK_CHARACTERS - 1))
        # A letter first, as names of services and actions have to begin with one.
        return cls(secrets.choice(string.ascii_lowercase) + "".join(rest))

    def text(self, name: str) -> str:
        """The canary of this name, fit for a name of a service, an action, a header or a person."""
        return f"{self.mark}-{name}"

    def needles(self) -> tuple[Needle, ...]:
        """Every spelling of the mark."""
        return tuple(needles_of("mark", self.mark.encode()))


def needles_of(what: str, secret: bytes, *, is_nested: bool = True) -> Iterator[Needle]:
    """Every spelling in which these bytes are known again; `is_nested`: also twice wrapped.

    Compression is the searcher's part.
    """
    seen = set()
    for spelling, data in _spellings(secret, is_nested=is_nested):
        if len(data) >= _LENGTH_MIN and data not in seen:
            seen.add(data)
            yield Needle(what, spelling, data)


def _spellings(secret: bytes, *, is_nested: bool) -> Iterator[tuple[str, bytes]]:
    yield "plain", secret
    if secret.isascii():
        yield "UTF-16", secret.decode("ascii").encode("utf-16-le")
    yield "hexadecimal", secret.hex().encode()
    yield "HEXADECIMAL", secret.hex().upper().encode()
    for at, inner in _base64_of(secret):
        yield f"base64 ({at})", inner
        if not is_nested:
            continue
        yield f"hexadecimal of base64 ({at})", inner.hex().encode()
        for outer_at, outer in _base64_of(inner):
            yield f"base64 of base64 ({at}, {outer_at})", outer
    if is_nested:
        for at, outer in _base64_of(secret.hex().encode()):
            yield f"base64 of hexadecimal ({at})", outer


def _base64_of(secret: bytes) -> Iterator[tuple[int, bytes]]:
    """What base64 and base64url spell of these bytes at each offset, without the characters that
    also depend on their neighbours."""
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + secret)
        first, after = -(-8 * offset // 6), 8 * (offset + len(secret)) // 6
        sure = text[first:after]
        yield offset, sure
        yield offset, sure.translate(bytes.maketrans(b"+/", b"-_"))
