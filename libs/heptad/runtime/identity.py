"""Who is at the other end of a connection: cell, role and id, read from its certificate.

A certificate names its holder twice. The URI SAN (`spiffe://<origin>/<role>/<name>`) is what a
server reads to know its caller; the DNS SAN is what a client checks, since gRPC verifies servers by
host name. Members (`replica-3`) and clients (`tax-portal`) have DNS names in different sub-domains,
so that no relying service can be named such that it passes for a member.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from heptad.runtime.errors import CertificateInvalidError


class Role(StrEnum):
    """What a certificate's holder is; each RPC lists the roles that it admits."""

    REPLICA = "replica"
    VALIDATOR = "validator"
    LEDGER = "ledger"
    GATEWAY = "gateway"
    SERVICE = "service"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    OFFICER = "officer"


MEMBER_ROLES: Final = frozenset({Role.REPLICA, Role.VALIDATOR, Role.LEDGER, Role.GATEWAY})
ALL_ROLES: Final = frozenset(Role)

_SPIFFE: Final = re.compile(r"spiffe://([a-z0-9.-]{1,255})/([a-z]{1,16})/([a-z0-9-]{1,63})")


@dataclass(frozen=True, slots=True)
class Identity:
    """The holder of a certificate.

    `id` is `replica-3` for a member and the client's name (`tax-portal`) for all others.
    """

    cell: str
    role: Role
    id: str

    @property
    def uri(self) -> str:
        """The URI SAN, a SPIFFE id."""
        name = self.id.rpartition("-")[2] if self.role in MEMBER_ROLES else self.id
        return f"spiffe://{self.cell}/{self.role}/{name}"

    @property
    def dns_name(self) -> str:
        """The DNS SAN: `replica-3.<cell>`, or `tax-portal.service.<cell>` for a client."""
        if self.role in MEMBER_ROLES:
            return f"{self.id}.{self.cell}"
        return f"{self.id}.{self.role}.{self.cell}"


def member(cell: str, member_id: str) -> Identity:
    """The identity of `replica-3` and its like. Raises: ValueError for another kind of id."""
    return Identity(cell, Role(member_id.rpartition("-")[0]), member_id)


def from_uri(uri: str) -> Identity:
    """Read a SPIFFE id back. Raises: CertificateInvalidError."""
    match = _SPIFFE.fullmatch(uri)
    if match is None:
        raise CertificateInvalidError(f"{uri!r} is not spiffe://<cell>/<role>/<name>")
    cell, role_name, name = match.groups()
    try:
        role = Role(role_name)
    except ValueError:
        raise CertificateInvalidError(f"{uri!r} names no role that is known here") from None
    return Identity(cell, role, f"{role}-{name}" if role in MEMBER_ROLES else name)
