"""How an erasure stands, and what officers say about it: what travels between ledger and callers.

`heptad.model.erasure` has what is signed and public; here is what only the requester, who has the
request's id, and officers are told.
"""

from dataclasses import dataclass, field
from typing import Final

from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround

SUBJECTS_MAX: Final = 1_000
"""Subjects of one call to order erasures."""

PAGE_SIZE_MAX: Final = 1_000
PAGE_SIZE_DEFAULT: Final = 100


@dataclass(frozen=True, slots=True)
class Hold:
    """A subject's data are kept on this ground; `since_ms` is Unix time in ms."""

    ground: RefusalGround
    since_ms: int


@dataclass(frozen=True, slots=True)
class CertificateParts:
    """What a certificate's file is made of.

    `entry` is the leaf whose statement is the signed core, `index` its place, `proof` a tlog-proof
    file for it. `order_inclusion` proves the order's entry to be in the tree of the same
    checkpoint: hashes of 32 bytes, from the leaf upwards.
    """

    index: int
    entry: bytes
    proof: bytes
    order_entry: bytes
    order_inclusion: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that was asked for.

    `request_id` and `salt` have 32 bytes. Times are Unix ms; `decide_by_ms` is one month after
    `received_at_ms`. The indexes are None until the log has the entry; `certificate` until a
    checkpoint covers it. `subject_id` and `holds` are told to officers only.
    """

    request_id: bytes
    salt: bytes = field(repr=False)
    state: ErasureState
    ordered_by: OrderedBy
    ground: ErasureGround
    received_at_ms: int
    decide_by_ms: int
    order_index: int | None = None
    refusal_index: int | None = None
    refusal_ground: RefusalGround | None = None
    certificate: CertificateParts | None = field(default=None, repr=False)
    subject_id: str = field(default="", repr=False)
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderCall:
    """An officer orders the erasure of subjects."""

    subject_ids: tuple[str, ...] = field(repr=False)
    ground: ErasureGround
    reason: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ordered:
    """What has become of one of them: the erasure's handle (32 bytes), or why it was refused."""

    subject_id: str = field(repr=False)
    request_id: bytes
    refused_code: str = ""


@dataclass(frozen=True, slots=True)
class DecisionCall:
    """An officer refuses an erasure, sets a hold, or lifts one, on this ground."""

    subject_id: str = field(repr=False)
    ground: RefusalGround
    reason: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RevokeKeyCall:
    """An officer revokes a key of a subject, by its thumbprint: its device is lost."""

    subject_id: str = field(repr=False)
    kid: str
    reason: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ErasurePage:
    """Erasures that are not decided or not done, the first first; an empty token after the last."""

    erasures: tuple[Erasure, ...]
    next_page_token: str
