"""`cell.toml`: the public genesis of a cell, the same bytes at every member and every auditor.

Everything that all parts must agree on stands here and nowhere else: who takes part, with which
public keys, at which addresses, and the limits that make a request valid. What may differ between
two members (paces, paths, listeners) stands in each member's own `config.toml`.

The origin is *one* DNS name. It is at the same time the origin line of checkpoints, the audience of
signed requests, the SPIFFE trust domain, and the suffix of the DNS names in TLS certificates; a
scheme-less URL with a path could not be the last two.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias, TypeVar

from heptad.consensus.committee import LATER_KEYS_MAX
from heptad.model.own_actions import OWN_SERVICE, RESERVED_ACTIONS
from heptad.model.subjects import SubjectIdInvalidError, parse_subject_id
from heptad.runtime.config.addresses import address_mistake
from heptad.runtime.config.dated_keys import (
    LaterBatchKey,
    LaterKey,
    PublicKey,
    ServiceKey,
    overlap_mistakes,
    service_key_mistakes,
)
from heptad.runtime.config.dates import date_mistake
from heptad.runtime.config.decode import Between, Length

_ORIGIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_CODE: Final = re.compile(r"[a-z0-9]{2,12}")
_MEMBER_ID: Final = re.compile(r"(replica|validator|ledger|gateway)-[1-9][0-9]{0,3}")
_SERVICE_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_ACTION: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class ReplicaMember:
    """A replica as all others see it."""

    # `replica-<n>`, n from 1; also its name in certificates and its witness name in checkpoints.
    id: str
    # host:port of its gRPC listener.
    address: str
    # Signs votes and time-outs, nothing else.
    vote_key: PublicKey
    # Signs committed log heads as a transparency-log witness, nothing else.
    cosign_key: PublicKey
    # Failure domain (zone, region, operator): at most two replicas should share one.
    domain: Annotated[str, Length(1, 64)] = "local"


@dataclass(frozen=True, slots=True)
class ValidatorMember:
    """A validator as all others see it."""

    # `validator-<n>`.
    id: str
    # host:port of its gRPC listener.
    address: str
    # Signs its batches, up to the first incarnation of `later_batch_keys`. The genesis binds it.
    batch_key: PublicKey
    # The keys that have taken over since, oldest first.
    later_batch_keys: Annotated[tuple[LaterBatchKey, ...], Length(0, LATER_KEYS_MAX)] = ()


@dataclass(frozen=True, slots=True)
class LedgerMember:
    """The ledger that holds the vault, as all others see it."""

    # `ledger-<n>`; `ledger-1` holds the vault.
    id: str
    # host:port of its gRPC listener.
    address: str
    # Signs checkpoints (signed-note type 0x01): the first one, see `later_log_keys`.
    log_key: PublicKey
    # Signs erasure certificates and other attestations: the first one.
    attestation_key: PublicKey
    # The keys that have taken over since, oldest first. While two overlap, both sign checkpoints.
    later_log_keys: Annotated[tuple[LaterKey, ...], Length(0, LATER_KEYS_MAX)] = ()
    later_attestation_keys: Annotated[tuple[LaterKey, ...], Length(0, LATER_KEYS_MAX)] = ()


@dataclass(frozen=True, slots=True)
class GatewayMember:
    """A gateway as all others see it; it has no signing key."""

    # `gateway-<n>`.
    id: str
    # host:port of its gRPC listener (health only; apps use `http`).
    address: str
    # host:port where apps speak HTTP to it.
    http: str


@dataclass(frozen=True, slots=True)
class RelyingService:
    """A service that citizens' requests may name in `svc`, and its policy."""

    # The value of `svc`, and the id in the service's certificate.
    id: str
    # What it may ask for: the values of `act`.
    actions: Annotated[tuple[str, ...], Length(1, 64)]
    # Why it processes personal data; shown to subjects in their export.
    purpose: Annotated[str, Length(1, 500)]
    # Who else gets them, and how long they are kept: shown to subjects in their export.
    recipients: Annotated[tuple[str, ...], Length(0, 32)] = ()
    retention: Annotated[str, Length(0, 500)] = ""
    # Keys with which it signs bundles, retired ones included: at most eight are in use at a time.
    keys: Annotated[tuple[ServiceKey, ...], Length(0, LATER_KEYS_MAX)] = ()


@dataclass(frozen=True, slots=True)
class CellLimits:
    """Limits that decide whether a request or batch is valid, so all members share them."""

    # The whole JWS of a request.
    request_bytes_max: Annotated[int, Between(1_024, 65_535)] = 16_384
    # Its claim `data`.
    data_bytes_max: Annotated[int, Between(256, 32_768)] = 8_192
    # exp - iat: how long a signed request may wait; bounds the replay window's memory.
    request_lifetime_s_max: Annotated[int, Between(10, 3_600)] = 300
    # Tolerated error of a client's clock. A request is remembered until 60 s after its `exp`, and
    # must have been too old for a while by then, or it could be recorded twice.
    clock_skew_s_max: Annotated[int, Between(0, 45)] = 30
    # Records in one batch, a bundle's statement included.
    batch_records_max: Annotated[int, Between(1, 1_000)] = 1_000
    # One encoded batch.
    batch_bytes_max: Annotated[int, Between(65_536, 1_048_576)] = 1_048_576
    # How long a validator may use a subject's lease; bounds how long an erasure waits.
    lease_s_max: Annotated[int, Between(5, 60)] = 60
    # Requests a subject may make in a minute, before `subject_rate_limited`.
    subject_requests_per_minute_max: Annotated[int, Between(1, 1_000_000)] = 600
    # Events a service may record in a minute at one validator, before `service_rate_limited`.
    service_events_per_minute_max: Annotated[int, Between(1_000, 100_000_000)] = 6_000_000


_Member: TypeAlias = ReplicaMember | ValidatorMember | LedgerMember | GatewayMember
MemberT = TypeVar("MemberT", ReplicaMember, ValidatorMember, GatewayMember, RelyingService)


@dataclass(frozen=True, slots=True)
class Cell:
    """One group of seven with its validators, ledger and gateways."""

    # DNS name of the cell: checkpoint origin, audience, trust domain.
    origin: Annotated[str, Length(4, 200)]
    # Short code of the cell inside subject ids, so that an id says where its subject lives.
    code: str
    # Generation of the membership; 0 at genesis, consensus signatures bind it.
    epoch: Annotated[int, Between(0, 2**63 - 1)]
    # Consensus members in their fixed order; the order decides leaders.
    replicas: Annotated[tuple[ReplicaMember, ...], Length(1, 64)]
    validators: Annotated[tuple[ValidatorMember, ...], Length(1, 64)]
    ledgers: Annotated[tuple[LedgerMember, ...], Length(1, 1)]
    gateways: Annotated[tuple[GatewayMember, ...], Length(0, 64)] = ()
    services: Annotated[tuple[RelyingService, ...], Length(0, 1_000)] = ()
    # May an app register its own subject, with proof of possession?
    open_registration: bool = False
    limits: CellLimits = field(default_factory=CellLimits)

    @property
    def ledger(self) -> LedgerMember:
        """The ledger that holds the vault."""
        return self.ledgers[0]

    @property
    def fault_count(self) -> int:
        """f: how many replicas may be evil, floor((n - 1) / 3)."""
        return (len(self.replicas) - 1) // 3

    @property
    def quorum(self) -> int:
        """q = n - f, never 2f + 1."""
        return len(self.replicas) - self.fault_count

    def replica(self, member_id: str) -> ReplicaMember:
        """The replica of that id. Raises: KeyError."""
        return _by_id(self.replicas, member_id)

    def validator(self, member_id: str) -> ValidatorMember:
        """The validator of that id. Raises: KeyError."""
        return _by_id(self.validators, member_id)

    def service(self, service_id: str) -> RelyingService:
        """The relying service of that id. Raises: KeyError."""
        return _by_id(self.services, service_id)

    def gateway(self, member_id: str) -> GatewayMember:
        """The gateway of that id. Raises: KeyError."""
        return _by_id(self.gateways, member_id)

    def member_addresses(self) -> dict[str, str]:
        """Member id to gRPC address, in the order replicas, validators, ledgers, gateways."""
        members: tuple[_Member, ...] = (
            *self.replicas,
            *self.validators,
            *self.ledgers,
            *self.gateways,
        )
        return {member.id: member.address for member in members}

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Rules between the fields (`decode.Validated`)."""
        if not _ORIGIN.fullmatch(self.origin):
            yield "origin", f"{self.origin!r} is not a lower-case DNS name with a dot"
        if not _CODE.fullmatch(self.code):
            yield "code", f"{self.code!r} is not 2 to 12 lower-case letters and digits"
        yield from self._member_mistakes()
        yield from self._key_mistakes()
        yield from self._rotation_mistakes()
        yield from self._service_mistakes()
        if self.limits.data_bytes_max >= self.limits.request_bytes_max:
            yield "limits.data_bytes_max", "must be below limits.request_bytes_max"

    def _member_mistakes(self) -> Iterator[tuple[str, str]]:
        groups: dict[str, tuple[_Member, ...]] = {
            "replicas": self.replicas,
            "validators": self.validators,
            "ledgers": self.ledgers,
            "gateways": self.gateways,
        }
        seen: dict[str, str] = {}
        for group, members in groups.items():
            for place, member in enumerate(members):
                key = f"{group}[{place}]"
                if not _MEMBER_ID.fullmatch(member.id) or f"{member.id.split('-')[0]}s" != group:
                    yield f"{key}.id", f"{member.id!r} is not {group[:-1]}-<n>"
                values = [("id", member.id), ("address", member.address)]
                if isinstance(member, GatewayMember):
                    values.append(("http", member.http))
                for name, value in values:
                    if name != "id" and (reason := address_mistake(value)) is not None:
                        yield f"{key}.{name}", reason
                    if value in seen:
                        yield f"{key}.{name}", f"{value} is also {seen[value]}"
                    seen[value] = f"{key}.{name}"

    def _key_mistakes(self) -> Iterator[tuple[str, str]]:
        """No key may serve two purposes or two members: signatures would stand for each other."""
        seen: dict[bytes, str] = {}
        keys = [(f"replicas[{i}].vote_key", r.vote_key) for i, r in enumerate(self.replicas)]
        keys += [(f"replicas[{i}].cosign_key", r.cosign_key) for i, r in enumerate(self.replicas)]
        keys += [(f"validators[{i}].batch_key", v.batch_key) for i, v in enumerate(self.validators)]
        keys += [(f"ledgers[{i}].log_key", m.log_key) for i, m in enumerate(self.ledgers)]
        keys += [
            (f"ledgers[{i}].attestation_key", m.attestation_key) for i, m in enumerate(self.ledgers)
        ]
        keys += [(name, later.key) for name, later in self._later_keys()]
        for name, key in keys:
            if key in seen:
                yield name, f"is the same key as {seen[key]}"
            seen[key] = name

    def _later_keys(self) -> Iterator[tuple[str, LaterBatchKey | LaterKey]]:
        """Every key that has taken over from another, under its name in the file."""
        groups: list[tuple[str, Sequence[LaterBatchKey | LaterKey]]] = [
            (f"validators[{i}].later_batch_keys", v.later_batch_keys)
            for i, v in enumerate(self.validators)
        ]
        for i, ledger in enumerate(self.ledgers):
            groups.append((f"ledgers[{i}].later_log_keys", ledger.later_log_keys))
            groups.append((f"ledgers[{i}].later_attestation_keys", ledger.later_attestation_keys))
        for group, later_keys in groups:
            for place, later in enumerate(later_keys):
                yield f"{group}[{place}]", later

    def _rotation_mistakes(self) -> Iterator[tuple[str, str]]:
        """Dates are dates, and keys take over one after the other: at most two overlap."""
        for name, later in self._later_keys():
            if reason := date_mistake(later.since):
                yield f"{name}.since", reason
        for i, validator in enumerate(self.validators):
            starts = [later.from_incarnation for later in validator.later_batch_keys]
            if starts != sorted(set(starts)):
                yield f"validators[{i}].later_batch_keys", f"incarnations do not rise: {starts}"
        for i, ledger in enumerate(self.ledgers):
            for duty in ("later_log_keys", "later_attestation_keys"):
                yield from overlap_mistakes(f"ledgers[{i}].{duty}", getattr(ledger, duty))

    def _service_mistakes(self) -> Iterator[tuple[str, str]]:
        seen: set[str] = set()
        for place, service in enumerate(self.services):
            key = f"services[{place}]"
            if not _SERVICE_ID.fullmatch(service.id):
                yield f"{key}.id", f"{service.id!r} is not lower-case letters, digits and dashes"
            if _is_subject_id(service.id):
                # What a subject and what a service signs have handles of one kind.
                yield f"{key}.id", f"{service.id} has the shape of a subject's id"
            if service.id == OWN_SERVICE:
                yield f"{key}.id", f"{service.id} is the cell's own service"
            if service.id in seen:
                yield f"{key}.id", f"{service.id} is there twice"
            seen.add(service.id)
            for action in service.actions:
                if not _ACTION.fullmatch(action):
                    yield f"{key}.actions", f"{action!r} is not an action's name"
                if action in RESERVED_ACTIONS:
                    yield f"{key}.actions", f"{action} is an action of the cell's own service"
            for name, reason in service_key_mistakes(service.keys):
                yield f"{key}.{name}", reason


def _is_subject_id(text: str) -> bool:
    try:
        parse_subject_id(text)
    except SubjectIdInvalidError:
        return False
    return True


def _by_id(members: tuple[MemberT, ...], member_id: str) -> MemberT:
    for member in members:
        if member.id == member_id:
            return member
    raise KeyError(member_id)
