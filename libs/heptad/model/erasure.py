"""What an erasure's order, refusal and certificate say: in public, for ever.

All three are statements of log entries, signed by the ledger's attestation key
(`heptad.crypto.erasures`). So they hold no subject id, and nothing by which two entries of one
person could be found: the order names the person's vault slot, which no other entry does; the
certificate names the order; a refusal names no slot, because an order may follow it one day, and
none of them says when the request came, which is the time of an entry.

Whoever asked has the request's id, and is told a *salt*. With it the digests below show whose
erasure, and which request, a statement is about. The salt follows from the request's id and a key
that stays within the cell, so that a ledger that was rebuilt from the log has it again, and nobody
can try names against the log.

The words that stand here are stable: a word keeps its meaning for ever, and none is taken back.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FORMAT_VERSION: Final = 1

STATEMENT_BYTES_MAX: Final = 4_096
"""The whole compact JWS of an order, a refusal or a certificate."""

BACKEND_CHARACTERS_MAX: Final = 64
CAVEAT_CHARACTERS_MAX: Final = 512
SOFTWARE_CHARACTERS_MAX: Final = 64
REASON_BYTES_MAX: Final = 2_048
"""An officer's reason in UTF-8: for the sealed record of an access, never in a public statement."""

SALT_BYTES: Final = 32
DIGEST_BYTES: Final = 32

_SUBJECT: Final = b"heptad/v1/erased-subject\0"
_REQUEST: Final = b"heptad/v1/erasure-request\0"
_REFUSED: Final = b"heptad/v1/erasure-refused\0"


class ErasureGround(StrEnum):
    """Why personal data are to be erased: GDPR, Art. 17(1), points (a) to (f)."""

    NO_LONGER_NEEDED = "no_longer_needed"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    OBJECTION = "objection"
    UNLAWFUL_PROCESSING = "unlawful_processing"
    ERASURE_REQUIRED_BY_LAW = "erasure_required_by_law"
    OFFERED_TO_A_CHILD = "offered_to_a_child"

    @property
    def article(self) -> str:
        """Where the ground stands in the GDPR."""
        return _ERASURE_ARTICLES[self]


class RefusalGround(StrEnum):
    """Why they are not: Art. 17(3), points (a) to (e), and two reasons from elsewhere.

    Also why a hold is set: a subject on hold is refused with the hold's ground.
    """

    FREE_EXPRESSION = "free_expression"
    LEGAL_OBLIGATION = "legal_obligation"
    PUBLIC_TASK = "public_task"
    PUBLIC_HEALTH = "public_health"
    ARCHIVING = "archiving"
    LEGAL_HOLD = "legal_hold"
    NO_GROUND = "no_ground"
    EXCESSIVE = "excessive"

    @property
    def article(self) -> str:
        """Where the ground stands in the GDPR."""
        return _REFUSAL_ARTICLES[self]


class OrderedBy(StrEnum):
    """At whose word data are erased: their subject's signed request, or an officer's decision."""

    SUBJECT = "subject"
    OFFICER = "officer"


class ErasureState(StrEnum):
    """How far an erasure has come, as users see it: received → ordered → erased, or refused."""

    RECEIVED = "received"
    ORDERED = "ordered"
    ERASED = "erased"
    REFUSED = "refused"


class Remainder(StrEnum):
    """What of a record outlives its erasure: public, and no personal data by itself."""

    POSITION = "position"
    ENTRY_TIME = "entry_time"
    SERVICE = "service"
    ACTION = "action"
    OUTCOME = "outcome"
    VALIDATOR = "validator"
    COMMITMENT = "commitment"
    SIZES = "sizes"
    TOMBSTONE = "tombstone"


REMAINS: Final = tuple(Remainder)
"""What remains of every record that Heptad erases today."""


@dataclass(frozen=True, slots=True)
class ErasureOrder:
    """Destroy the key of `slot`: the statement of an ERASURE_ORDERED entry.

    `origin` is the cell's. `request_digest` has 32 bytes, see the function of that name.
    `ordered_at_ms` is Unix time in ms by the ledger's clock.
    """

    origin: str
    slot: int
    ground: ErasureGround
    ordered_by: OrderedBy
    request_digest: bytes
    ordered_at_ms: int


@dataclass(frozen=True, slots=True)
class ErasureRefusal:
    """Nothing is erased for this request: the statement of an ERASURE_REFUSED entry.

    `refusal_digest` has 32 bytes, see the function of that name; `refused_at_ms` is Unix time.
    """

    origin: str
    ground: RefusalGround
    refusal_digest: bytes
    refused_at_ms: int


@dataclass(frozen=True, slots=True)
class ErasureCertificate:
    """What was destroyed, how, and what was not: the statement of an ERASED entry.

    Times are Unix ms by the ledger's clock, counts begin at 0, digests and hashes have 32 bytes.
    """

    origin: str

    order_index: int
    """The log's index of the order."""

    slot: int
    ground: ErasureGround
    ordered_by: OrderedBy
    request_digest: bytes

    subject_pseudonym: bytes
    """See the function of that name."""

    ordered_at_ms: int
    erased_at_ms: int

    epoch_old: int
    """Number of the vault's root key that was destroyed, and could open the slot's key …"""

    epoch_new: int
    """… and of the one after, which cannot."""

    root_hash: bytes
    """SHA-256 of the vault's encrypted root node as it was written under the new root key."""

    backend: str
    """The kind of place that held the root key."""

    caveat: str
    """What that kind of place cannot promise."""

    read_back: bool
    """Whether the place was read after it was overwritten, and held nothing of the old key."""

    ciphertexts: int
    """Sealed halves of entries that were deleted: so many entries of the log are meant."""

    index_rows: int
    """Rows that led to them, deleted too."""

    leases_drained_at_ms: int
    """From when on no validator could use a key derived from the destroyed one."""

    replicas_drop_by_ms: int
    """By when replicas delete their copies of the ciphertexts, which nobody can open any more."""

    link_until_ms: int
    """Until when, at the latest, old routing headers show that records were of one slot."""

    beyond_use_until_ms: int | None
    """When the last backup expires from which the key could be restored. None: there is none."""

    remains: tuple[Remainder, ...]
    software: str
    """Name and version of the program that attests."""


def subject_pseudonym(*, salt: bytes, subject_id: str) -> bytes:
    """Whom a certificate is about, to those who have salt and id: 32 bytes.

    SHA-256("heptad/v1/erased-subject\\0" ‖ salt[32] ‖ subject id in ASCII).
    """
    return _salted(_SUBJECT, salt, subject_id.encode("ascii"))


def request_digest(*, salt: bytes, request_hash: bytes) -> bytes:
    """Which request an order and its certificate answer: 32 bytes.

    SHA-256("heptad/v1/erasure-request\\0" ‖ salt[32] ‖ the 32 bytes of the request's id).
    """
    return _salted(_REQUEST, salt, request_hash)


def refusal_digest(*, salt: bytes, request_hash: bytes) -> bytes:
    """Which request a refusal answers: 32 bytes, unlike those of an order that may follow it.

    SHA-256("heptad/v1/erasure-refused\\0" ‖ salt[32] ‖ the 32 bytes of the request's id).
    """
    return _salted(_REFUSED, salt, request_hash)


def _salted(domain: bytes, salt: bytes, message: bytes) -> bytes:
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return hashlib.sha256(domain + salt + message).digest()


_ERASURE_ARTICLES: Final = {
    ErasureGround.NO_LONGER_NEEDED: "Art. 17(1)(a)",
    ErasureGround.CONSENT_WITHDRAWN: "Art. 17(1)(b)",
    ErasureGround.OBJECTION: "Art. 17(1)(c)",
    ErasureGround.UNLAWFUL_PROCESSING: "Art. 17(1)(d)",
    ErasureGround.ERASURE_REQUIRED_BY_LAW: "Art. 17(1)(e)",
    ErasureGround.OFFERED_TO_A_CHILD: "Art. 17(1)(f)",
}

_REFUSAL_ARTICLES: Final = {
    RefusalGround.FREE_EXPRESSION: "Art. 17(3)(a)",
    RefusalGround.LEGAL_OBLIGATION: "Art. 17(3)(b)",
    RefusalGround.PUBLIC_TASK: "Art. 17(3)(b)",
    RefusalGround.PUBLIC_HEALTH: "Art. 17(3)(c)",
    RefusalGround.ARCHIVING: "Art. 17(3)(d)",
    RefusalGround.LEGAL_HOLD: "Art. 17(3)(e)",
    RefusalGround.NO_GROUND: "Art. 17(1)",
    RefusalGround.EXCESSIVE: "Art. 12(5)(b)",
}
