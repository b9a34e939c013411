"""A new cell on one machine: keys, certificates, configuration, in one folder.

`heptad up` makes it when there is none. Everything is written into a folder beside the home, which
takes the home's name in one step at the end: a genesis that was cut off leaves no half-made cell
that a later start would take for a whole one.

The same layout serves a real deployment, where each authority keeps only its own member's folder
and the public files.
"""

import base64
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from heptad.crypto.jwk import jwk_of
from heptad.crypto.keys import Ed25519Key, KeyRole, load_service_key, save_key
from heptad.runtime.config.cell import (
    Cell,
    CellLimits,
    GatewayMember,
    LedgerMember,
    RelyingService,
    ReplicaMember,
    ValidatorMember,
)
from heptad.runtime.config.dated_keys import ServiceKey
from heptad.runtime.config.decode import DataclassLike
from heptad.runtime.config.files import CELL_FILE, NODE_FILE, PROFILE_FILE, write_config
from heptad.runtime.config.gateway import GatewayConfig
from heptad.runtime.config.ledger import LedgerConfig
from heptad.runtime.config.node import Node
from heptad.runtime.config.profile import Endpoint, Profile
from heptad.runtime.config.replica import ReplicaConfig
from heptad.runtime.config.validator import ValidatorConfig
from heptad.runtime.disk import sync_folder, write_atomically
from heptad.runtime.errors import HomeRefusedError
from heptad.runtime.identity import Identity, Role, member
from heptad.runtime.pki import CertificateAuthority, Issued
from heptad.runtime.ports import PortPlan
from heptad.runtime.tls import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from heptad.runtime.vkeys import cell_policy

POLICY_FILE: Final = "policy"
SIGNING_KEY_FILE: Final = "signing.pem"
REPLICA_COUNT: Final = 7

_DOMAIN: Final = "heptad.internal"
"""A name below `.internal`, which is reserved for private use and will never resolve outside."""

_CODE_BYTES: Final = 4

CELL_HEAD: Final = """The public genesis of this cell: the same bytes at every member.
Keys are standard base64; docs/spec names every field."""

DUTIES: Final[Mapping[Role, tuple[KeyRole, ...]]] = MappingProxyType(
    {
        Role.REPLICA: (KeyRole.VOTE, KeyRole.COSIGN),
        Role.VALIDATOR: (KeyRole.BATCH,),
        Role.LEDGER: (KeyRole.LOG, KeyRole.ATTESTATION),
        Role.GATEWAY: (),
    }
)
"""The signing keys that a member of each role holds, one for each duty."""

DEFAULT_SERVICES: Final = (
    RelyingService(
        id="tax-portal",
        actions=("authenticate", "consent.grant", "consent.withdraw", "record.access"),
        purpose="Lets citizens sign in, see and file their tax returns.",
        recipients=("the tax office of your district",),
        retention="Ten years after the year that a return is for.",
    ),
    RelyingService(
        id="health-records",
        actions=("authenticate", "consent.grant", "consent.withdraw", "record.access"),
        purpose="Keeps medical records and shows them to those whom the patient has allowed.",
        recipients=("whom you have given your consent",),
        retention="Ten years after the last treatment.",
    ),
)


@dataclass(frozen=True, slots=True)
class GenesisPlan:
    """What the new cell is to be like."""

    ports: PortPlan
    replica_count: int = REPLICA_COUNT
    validator_count: int = 2
    services: tuple[RelyingService, ...] = DEFAULT_SERVICES
    open_registration: bool = True
    limits: CellLimits = field(default_factory=CellLimits)


def create_home(
    home: Path,
    plan: GenesisPlan,
    *,
    now: datetime,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Cell:
    """Make a cell in `home`, which must not exist or be empty, and return it.

    `now` (UTC) dates the certificates. Raises: HomeRefusedError, OSError.
    """
    if home.exists() and any(home.iterdir()):
        raise HomeRefusedError(f"{home} exists and is not empty")
    home.parent.mkdir(parents=True, exist_ok=True)
    staged = home.with_name(f".{home.name}.genesis-{os.getpid()}")
    try:
        staged.mkdir(mode=0o700)
        cell = _Genesis(staged, plan, now=now, entropy=entropy).write()
        if home.exists():
            home.rmdir()
        staged.rename(home)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    sync_folder(home.parent)
    return cell


class _Genesis:
    """Writes one home."""

    def __init__(
        self, home: Path, plan: GenesisPlan, *, now: datetime, entropy: Callable[[int], bytes]
    ) -> None:
        code = base64.b32encode(entropy(_CODE_BYTES)).decode("ascii").rstrip("=").lower()
        self._home = home
        self._plan = plan
        self._now = now
        self._entropy = entropy
        self._code = code
        self._origin = f"{code}.{_DOMAIN}"
        self._authority = CertificateAuthority.generate(origin=self._origin, now=now)

    def write(self) -> Cell:
        """Write everything; `cell.toml` comes last, since it is what makes a folder a home."""
        self._write_pki()
        ids = self._member_ids()
        for member_id in ids:
            self._write_member(member_id)
        signing_keys = {service.id: self._key() for service in self._plan.services}
        cell = self._cell(ids, signing_keys)
        write_atomically(self._home / POLICY_FILE, cell_policy(cell).format(), mode=0o644)
        for service in cell.services:
            self._write_client(cell, Role.SERVICE, service.id, signing_keys[service.id])
        self._write_client(cell, Role.OPERATOR, "operator", None)
        self._write_client(cell, Role.AUDITOR, "auditor", None)
        self._write_client(cell, Role.OFFICER, "officer", None)
        write_config(cell, self._home / CELL_FILE, head=CELL_HEAD)
        return cell

    def _member_ids(self) -> list[str]:
        replicas = [f"replica-{n + 1}" for n in range(self._plan.replica_count)]
        validators = [f"validator-{n + 1}" for n in range(self._plan.validator_count)]
        return [*replicas, *validators, "ledger-1", "gateway-1"]

    def _write_pki(self) -> None:
        folder = self._home / "pki"
        folder.mkdir(mode=0o700)
        issued = self._authority.issued
        write_atomically(folder / CA_FILE, issued.certificate_pem, mode=0o644)
        write_atomically(folder / "ca.key", issued.key_pem, mode=0o600)

    def _write_member(self, member_id: str) -> None:
        folder = self._home / member_id
        (folder / "keys").mkdir(mode=0o700, parents=True)
        (folder / "data").mkdir(mode=0o700)
        identity = member(self._origin, member_id)
        issued = self._authority.issue(identity, now=self._now)
        _write_certificate(folder, issued)
        for duty in DUTIES[identity.role]:
            save_key(folder / "keys" / duty.file_name, self._key())
        config = node_config(member_id, self._plan.ports, members=self._member_ids())
        write_config(config, folder / NODE_FILE, head=f"{member_id} of {self._origin}")

    def _cell(self, ids: list[str], signing_keys: dict[str, Ed25519Key]) -> Cell:
        ports = self._plan.ports
        return Cell(
            origin=self._origin,
            code=self._code,
            epoch=0,
            replicas=tuple(
                ReplicaMember(
                    id=name,
                    address=ports.grpc(name),
                    vote_key=self._public(name, KeyRole.VOTE),
                    cosign_key=self._public(name, KeyRole.COSIGN),
                )
                for name in ids
                if name.startswith(Role.REPLICA)
            ),
            validators=tuple(
                ValidatorMember(name, ports.grpc(name), self._public(name, KeyRole.BATCH))
                for name in ids
                if name.startswith(Role.VALIDATOR)
            ),
            ledgers=(
                LedgerMember(
                    id="ledger-1",
                    address=ports.grpc("ledger-1"),
                    log_key=self._public("ledger-1", KeyRole.LOG),
                    attestation_key=self._public("ledger-1", KeyRole.ATTESTATION),
                ),
            ),
            gateways=(GatewayMember("gateway-1", ports.grpc("gateway-1"), ports.http()),),
            services=tuple(
                replace(service, keys=(_service_key(signing_keys[service.id]),))
                for service in self._plan.services
            ),
            open_registration=self._plan.open_registration,
            limits=self._plan.limits,
        )

    def _write_client(
        self, cell: Cell, role: Role, name: str, signing_key: Ed25519Key | None
    ) -> None:
        folder = self._home / "clients" / name
        folder.mkdir(mode=0o700, parents=True)
        issued = self._authority.issue(Identity(self._origin, role, name), now=self._now)
        _write_certificate(folder, issued)
        write_atomically(folder / CA_FILE, self._authority.issued.certificate_pem, mode=0o644)
        write_atomically(folder / POLICY_FILE, cell_policy(cell).format(), mode=0o644)
        profile = client_profile(cell, role=role, name=name)
        if signing_key is not None:
            save_key(folder / SIGNING_KEY_FILE, signing_key)
            kid = signing_key.public.kid
            profile = replace(profile, signing_key=SIGNING_KEY_FILE, signing_kid=kid)
        write_config(profile, folder / PROFILE_FILE, head=f"{name}, a client of {self._origin}")

    def _key(self) -> Ed25519Key:
        return Ed25519Key.generate(self._entropy)

    def _public(self, member_id: str, duty: KeyRole) -> bytes:
        key = load_service_key(self._home / member_id / "keys" / duty.file_name)
        return key.public_key


def watched_by_gateway(ports: PortPlan, members: Iterable[str]) -> tuple[Endpoint, ...]:
    """Where a gateway's control room finds these members' metrics."""
    return tuple(Endpoint(name, ports.metrics_address(name)) for name in members)


def node_config(member_id: str, ports: PortPlan, *, members: Sequence[str]) -> DataclassLike:
    """The configuration of a member on one machine, all paces and bounds at their defaults.

    `members` are the ids of all members of the cell.
    """
    node = Node(id=member_id, listen=ports.grpc_listen(member_id), metrics=ports.metrics(member_id))
    match node.role:
        case Role.REPLICA:
            return ReplicaConfig(node)
        case Role.VALIDATOR:
            return ValidatorConfig(node)
        case Role.LEDGER:
            return LedgerConfig(node)
        case Role.GATEWAY:
            return GatewayConfig(
                node,
                http=ports.http_listen(),
                admin=ports.admin(),
                watched=watched_by_gateway(ports, members),
            )
    raise AssertionError(f"{member_id!r} is no member")


def client_profile(cell: Cell, *, role: Role, name: str) -> Profile:
    """The profile of a client without a signing key."""
    return Profile(
        name=name,
        role=role.value,
        origin=cell.origin,
        gateway_url=f"http://{cell.gateways[0].http}",
        validators=tuple(Endpoint(peer.id, peer.address) for peer in cell.validators),
        ledger=Endpoint(cell.ledger.id, cell.ledger.address),
        replicas=tuple(Endpoint(peer.id, peer.address) for peer in cell.replicas),
        gateways=tuple(Endpoint(peer.id, peer.address) for peer in cell.gateways),
    )


def _service_key(key: Ed25519Key) -> ServiceKey:
    members = jwk_of(key.public)
    return ServiceKey(kid=key.public.kid, kty=members["kty"], crv=members["crv"], x=members["x"])


def _write_certificate(folder: Path, issued: Issued) -> None:
    write_atomically(folder / CERTIFICATE_FILE, issued.certificate_pem, mode=0o644)
    write_atomically(folder / KEY_FILE, issued.key_pem, mode=0o600)
