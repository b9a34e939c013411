"""What validators ask of the vault and what it answers: keys of subjects, lent for a minute.

The vault is the one place that knows which slot is whose, and a validator must be able to work with
it without having to believe it: a lease brings the registering entry of each public key, with
payload, witness and inclusion proof, so that the validator checks all of it against the log.
"""

from dataclasses import dataclass, field
from typing import Final, TypeAlias

LEASE_SUBJECTS_MAX: Final = 256
"""Subjects in one question."""

RESERVED_SLOTS_MAX: Final = 1_024
"""Slots in one question."""

LEASE_WAIT_MS_MAX: Final = 5_000
"""The longest that a question about subjects may wait."""

LEASE_TTL_MS_MAX: Final = 60_000
"""The longest that a lease may be used; bounds how long an erasure waits."""


@dataclass(frozen=True, slots=True)
class LeaseSubjects:
    """Lend the keys of these subjects; wait `wait_ms` for those not yet under a checkpoint.

    `is_registering`: they were just registered by who asks, who admits nothing under a lease of a
    subject that is not its own, and gives it back at once. `is_sealing`: for events of bundles;
    nothing that these subjects sign is admitted under such a lease. `proved_size_min`: answer only
    once a checkpoint over that many entries is published, so that a key which was just added is in
    the lease.
    """

    subject_ids: tuple[str, ...]
    wait_ms: int = 0
    is_registering: bool = False
    is_sealing: bool = False
    proved_size_min: int = 0


@dataclass(frozen=True, slots=True)
class ReserveSlots:
    """Set `count` fresh slots aside for subjects to come."""

    count: int


@dataclass(frozen=True, slots=True)
class LookUpRequest:
    """Is this request in the log?

    `request_id` is the 32-byte hash behind the public handle. The record must be one of
    `subject_id`, which is empty for a registration. Answered only once the log has
    `applied_size_min` entries.
    """

    request_id: bytes
    subject_id: str
    applied_size_min: int = 0


@dataclass(frozen=True, slots=True)
class ReturnLeases:
    """These leases (16 bytes each) are no longer needed; there is no answer."""

    lease_ids: tuple[bytes, ...]


Question: TypeAlias = LeaseSubjects | ReserveSlots | LookUpRequest | ReturnLeases


@dataclass(frozen=True, slots=True)
class CellKeys:
    """Keys that ledger and validators share and replicas never see, 32 bytes each."""

    index_key: bytes = field(repr=False)
    routing_key_id: int
    routing_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EntryEvidence:
    """An entry, what it commits to, and the proof that the log holds it.

    `index` and `entry` are the entry's, `payload` (a JWS) and `witness` (32 bytes) what it commits
    to, `proof` a tlog-proof file for it under a cosigned checkpoint.
    """

    index: int
    entry: bytes
    payload: bytes = field(repr=False)
    witness: bytes = field(repr=False)
    proof: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A public key of a subject, with the proof that the log holds it.

    `kid` is its RFC 7638 thumbprint; `index` and what follows are an `EntryEvidence` of the entry
    that added it. `revocation` is one of the entry that revoked it; None where there is none, or
    where it is not under a checkpoint yet: a revocation counts before it can be proved.
    """

    kid: str
    revoked: bool
    index: int
    entry: bytes
    payload: bytes = field(repr=False)
    witness: bytes = field(repr=False)
    proof: bytes = field(repr=False)
    revocation: EntryEvidence | None = None

    @property
    def addition(self) -> EntryEvidence:
        """What proves the entry that added it."""
        return EntryEvidence(self.index, self.entry, self.payload, self.witness, self.proof)


@dataclass(frozen=True, slots=True)
class SubjectLease:
    """A subject's key on loan.

    `key_ref` is its vault slot, `lease_id` has 16 bytes, `lease_key` 32; it may be used for
    `ttl_ms` from receipt. `keys` are those of the log's first `applied_size` entries. Where there
    is no lease, `refused_code` is a code of the table and all else is empty.
    """

    subject_id: str
    key_ref: int = 0
    lease_id: bytes = b""
    lease_key: bytes = field(default=b"", repr=False)
    ttl_ms: int = 0
    keys: tuple[SubjectKey, ...] = ()
    refused_code: str = ""
    applied_size: int = 0


@dataclass(frozen=True, slots=True)
class Leases:
    """Answers LeaseSubjects: one for each subject, in the order of the question."""

    leases: tuple[SubjectLease, ...]


@dataclass(frozen=True, slots=True)
class SlotLease:
    """A slot for a subject to come: its lease id has 16 bytes, its lease key 32."""

    key_ref: int
    lease_id: bytes
    lease_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Slots:
    """Answers ReserveSlots; they may be used for `ttl_ms` from receipt."""

    slots: tuple[SlotLease, ...]
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class RequestFound:
    """Answers LookUpRequest.

    Where `found`: the entry, its index, and the 32-byte digest over the request's claims apart from
    `iat` and `exp`; for a registration also the subject's id.
    """

    found: bool
    index: int = 0
    claims_digest: bytes = b""
    entry: bytes = b""
    subject_id: str = ""


@dataclass(frozen=True, slots=True)
class Revoked:
    """Pushed: the leases of these subjects end now. None stands for all.

    `is_erased`: they will never be lent again, and what is remembered of them is to be forgotten.
    """

    subject_ids: tuple[str, ...]
    is_erased: bool = False


@dataclass(frozen=True, slots=True)
class LentElsewhere:
    """Pushed to the first validator of these subjects: another one has their keys on loan.

    Requests of theirs that were signed up to `look_up_ms` after receipt are to be looked up before
    they are admitted. At most `LEASE_SUBJECTS_MAX` subjects; none stands for all.
    """

    subject_ids: tuple[str, ...]
    look_up_ms: int


@dataclass(frozen=True, slots=True)
class VaultRefusal:
    """The question was refused: a code of the table, and what happened, for people."""

    code: str
    detail: str


Answer: TypeAlias = (
    CellKeys | Leases | Slots | RequestFound | Revoked | LentElsewhere | VaultRefusal
)
