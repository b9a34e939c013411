"""Keys that have a beginning and an end: how `cell.toml` writes them, and what it may say of them.

The keys of a genesis stand alone in their fields. What took over from them since is a list behind
each, which only grows: whatever was signed stays to be checked, so no public key ever leaves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from heptad.runtime.config.dates import date_mistake, parse_date
from heptad.runtime.config.decode import Between, Length

PublicKey = Annotated[bytes, Length(32, 32)]
"""A raw Ed25519 public key, 32 bytes."""

SERVICE_KEYS_IN_USE_MAX: Final = 8

_JWK_SHAPES: Final = {("OKP", "Ed25519", False), ("EC", "P-256", True)}


@dataclass(frozen=True, slots=True)
class LaterBatchKey:
    """A batch key that takes over from its predecessor. It stays here for ever."""

    key: PublicKey
    # The first incarnation of the validator whose batches this key signs; rising.
    from_incarnation: Annotated[int, Between(1, 2**63 - 1)]
    # When it was named here, `2026-11-28T20:15:00Z`.
    since: str


@dataclass(frozen=True, slots=True)
class LaterKey:
    """A key that takes over from its predecessor by date. It stays here for ever."""

    key: PublicKey
    # When it was named here, `2026-11-28T20:15:00Z`: from then on it may sign.
    since: str
    # From when on its predecessor signs no more; empty while both may.
    alone_since: str = ""


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A public JWK of a relying service: Ed25519 (`OKP`) or P-256 (`EC`)."""

    # RFC 7638 thumbprint, base64url.
    kid: Annotated[str, Length(43, 43)]
    # `OKP` or `EC`.
    kty: str
    # `Ed25519` or `P-256`.
    crv: str
    # base64url coordinate; for `OKP` the key itself.
    x: Annotated[str, Length(43, 43)]
    # base64url coordinate of an `EC` key, empty for `OKP`.
    y: str = ""
    # When it was named here, `2026-11-28T20:15:00Z`; empty: at genesis.
    since: str = ""
    # What it signs from then on is refused; what it signed before stays good. Empty: it is in use.
    retired: str = ""


def overlap_mistakes(name: str, keys: Sequence[LaterKey]) -> Iterator[tuple[str, str]]:
    """At most two keys of the list `name` may sign at a time: the last one and its former."""
    for place, key in enumerate(keys):
        if key.alone_since:
            if reason := date_mistake(key.alone_since):
                yield f"{name}[{place}].alone_since", reason
            elif not date_mistake(key.since) and parse_date(key.alone_since) < parse_date(
                key.since
            ):
                yield f"{name}[{place}].alone_since", "lies before since"
        elif place < len(keys) - 1:
            yield f"{name}[{place}].alone_since", "is missing, although another key came after it"


def service_key_mistakes(keys: Sequence[ServiceKey]) -> Iterator[tuple[str, str]]:
    """What is wrong with the keys of one service, each by its place."""
    for place, key in enumerate(keys):
        if (key.kty, key.crv, bool(key.y)) not in _JWK_SHAPES:
            yield f"keys[{place}]", "is neither OKP Ed25519 nor EC P-256"
        for name, date in (("since", key.since), ("retired", key.retired)):
            if date and (reason := date_mistake(date)):
                yield f"keys[{place}].{name}", reason
    in_use = sum(not key.retired for key in keys)
    if in_use > SERVICE_KEYS_IN_USE_MAX:
        yield "keys", f"{in_use} are in use, at most {SERVICE_KEYS_IN_USE_MAX} may be"
    if len({key.kid for key in keys}) < len(keys):
        yield "keys", "one key is there twice"


def _is_before(first: str, second: str) -> bool:
    """Of two dates that may be none, and then are told of elsewhere."""
    if date_mistake(first) or date_mistake(second):
        return False
    return parse_date(first) < parse_date(second)
