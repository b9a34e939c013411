"""`clients/<name>/profile.toml`: all that a client needs to speak to its cell.

A profile is a folder that can be copied to another machine: paths in it are relative to it, and the
public files that it needs (CA, policy) lie beside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from heptad.runtime.config.addresses import address_mistake
from heptad.runtime.config.decode import Length

CLIENT_ROLES: Final = ("service", "operator", "auditor", "officer")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A member's id, which its certificate must show, and where it listens."""

    id: str
    address: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A client's identity and the addresses of its cell."""

    # Name of the client: the id in its certificate; for role `service` the id in `cell.toml`.
    name: str
    # `service`, `operator` or `auditor`.
    role: str
    # Origin of the cell.
    origin: Annotated[str, Length(4, 200)]
    # Base URL of a gateway.
    gateway_url: str
    validators: Annotated[tuple[Endpoint, ...], Length(1, 64)]
    ledger: Endpoint
    replicas: Annotated[tuple[Endpoint, ...], Length(0, 64)] = ()
    gateways: Annotated[tuple[Endpoint, ...], Length(0, 64)] = ()
    # PEM files, relative to this file.
    ca: str = "ca.pem"
    certificate: str = "tls.pem"
    key: str = "tls.key"
    # tlog-policy file against which receipts are judged, relative to this file.
    policy: str = "policy"
    # The key with which a service signs its bundles, relative to this file; empty: none.
    signing_key: str = ""
    # Its RFC 7638 thumbprint.
    signing_kid: str = ""

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Rules between the fields (`decode.Validated`)."""
        if self.role not in CLIENT_ROLES:
            yield "role", f"{self.role!r} is not one of {', '.join(CLIENT_ROLES)}"
        if bool(self.signing_key) != bool(self.signing_kid):
            yield "signing_kid", "signing_key and signing_kid come together"
        endpoints = [("ledger", self.ledger)]
        endpoints += [(f"validators[{i}]", peer) for i, peer in enumerate(self.validators)]
        endpoints += [(f"replicas[{i}]", peer) for i, peer in enumerate(self.replicas)]
        endpoints += [(f"gateways[{i}]", peer) for i, peer in enumerate(self.gateways)]
        for key, peer in endpoints:
            if (reason := address_mistake(peer.address)) is not None:
                yield f"{key}.address", reason
