"""Whoever should not be let in, at every gRPC listener of a cell, and what becomes of it.

Each knock ends with what a server that has let the client in would send first, the SETTINGS frame
of HTTP/2, or without it. The same client with the right certificate must get it, or the others'
failures would say nothing.
"""

import asyncio
import contextlib
import ssl
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from heptad.runtime.config import split_address
from heptad.runtime.identity import Identity, Role
from heptad.runtime.pki import CertificateAuthority
from heptad.runtime.tls import TlsMaterial

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How an HTTP/2 client begins: the preface and an empty SETTINGS frame (RFC 9113, section 3.4)."""

_SETTINGS: Final = 4
_KNOCK_S_MAX: Final = 8.0
LEGACY_CIPHERS: Final = "DEFAULT:@SECLEVEL=0"
"""What OpenSSL needs to be told to speak TLS 1.0 and 1.1 at all."""


class Knock(StrEnum):
    """Who stands at the door."""

    OPERATOR = "the operator's certificate, TLS 1.3"
    PLAIN = "no TLS"
    NO_CERTIFICATE = "TLS without a certificate"
    STRANGER = "a certificate of another authority"
    CLASSICAL = "the operator's certificate, and no key exchange but P-256"
    TLS_1_2 = "TLS 1.2"
    TLS_1_1 = "TLS 1.1"
    TLS_1_0 = "TLS 1.0"


REFUSED: Final = tuple(knock for knock in Knock if knock not in (Knock.OPERATOR, Knock.CLASSICAL))
_TOP_VERSION: Final = {
    Knock.TLS_1_0: ssl.TLSVersion.TLSv1,
    Knock.TLS_1_1: ssl.TLSVersion.TLSv1_1,
    Knock.TLS_1_2: ssl.TLSVersion.TLSv1_2,
}


class CannotKnockError(Exception):
    """This machine's TLS library cannot speak so at all."""


@dataclass(frozen=True, slots=True)
class Door:
    """A gRPC listener, and what it has to show."""

    member: str
    address: str
    server_name: str


class Knocker:
    """Knocks at doors. `tls` is material that they accept."""

    def __init__(self, tls: TlsMaterial, *, origin: str) -> None:
        self._tls = tls
        stranger = CertificateAuthority.generate(origin=origin, now=datetime.now(UTC))
        operator = Identity(origin, Role.OPERATOR, "operator")
        issued = stranger.issue(operator, now=datetime.now(UTC))
        self._strange = TlsMaterial(tls.ca_pem, issued.certificate_pem, issued.key_pem)

    async def is_let_in(self, door: Door, knock: Knock) -> bool:
        """Whether this client gets as far as HTTP/2. Raises: CannotKnockError."""
        context = None if knock is Knock.PLAIN else self._context(knock)
        name = None if context is None else door.server_name
        host, port = split_address(door.address)
        try:
            async with asyncio.timeout(_KNOCK_S_MAX):
                reader, writer = await asyncio.open_connection(
                    host, port, ssl=context, server_hostname=name
                )
                with contextlib.closing(writer):
                    writer.write(PREFACE)
                    head = await reader.readexactly(9)
        except ssl.SSLError as error:
            # Our own library refuses to begin where it was built without that version.
            if error.reason in {"NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE"}:
                raise CannotKnockError(error.reason) from error
            return False
        except (OSError, EOFError, TimeoutError):
            return False
        return head[3] == _SETTINGS

    def _context(self, knock: Knock) -> ssl.SSLContext:
        tls = self._strange if knock is Knock.STRANGER else self._tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=tls.ca_pem.decode())
        context.set_alpn_protocols(["h2"])
        if knock is not Knock.NO_CERTIFICATE:
            _load_chain(context, tls)
        top = _TOP_VERSION.get(knock, ssl.TLSVersion.TLSv1_3)
        with warnings.catch_warnings():
            # Python warns of old versions, which are what is to be tried here.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = top
        if knock is Knock.CLASSICAL:
            context.set_ecdh_curve("prime256v1")
        if top < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers(LEGACY_CIPHERS)
        return context


def _load_chain(context: ssl.SSLContext, tls: TlsMaterial) -> None:
    """Python reads certificates from files only."""
    with _written(tls.certificate_pem + tls.key_pem) as path:
        context.load_cert_chain(path)


@contextlib.contextmanager
def _written(data: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="heptad-privacy-") as file:  # mode 0600
        file.write(data)
        file.flush()
        yield Path(file.name)
