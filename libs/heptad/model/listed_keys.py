"""A subject's keys, as they are told to the subject."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key that the subject has or had.

    `kid` is its RFC 7638 thumbprint; `index` and `added_ms` (Unix time) are those of the entry that
    added it, `revoked_index` and `revoked_ms` of the one that revoked it; None while it is active.
    """

    kid: str
    index: int
    added_ms: int
    revoked_index: int | None = None
    revoked_ms: int | None = None
