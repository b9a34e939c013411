"""Doors that let everybody in: what a knock that is refused elsewhere has to get through here.

They listen on loopback, for the time of a check, and say nothing but how an HTTP/2 server begins.
"""

import asyncio
import contextlib
import ssl
import tempfile
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from heptad.runtime.identity import Identity, Role, member
from heptad.runtime.pki import CertificateAuthority
from heptad.runtime.tls import TlsMaterial
from heptad.trials.privacy.doors import LEGACY_CIPHERS, PREFACE, Door, Knock, Knocker

_ORIGIN: Final = "open.example"
_SETTINGS_FRAME: Final = b"\0\0\0\4\0\0\0\0\0"


@contextlib.asynccontextmanager
async def open_doors() -> AsyncIterator[tuple[Knocker, dict[bool, Door]]]:
    """Who knocks, and the doors: without TLS under True, with TLS of any version under False."""
    now = datetime.now(UTC)
    authority = CertificateAuthority.generate(origin=_ORIGIN, now=now)
    name = member(_ORIGIN, "replica-1")

    def material(identity: Identity) -> TlsMaterial:
        issued = authority.issue(identity, now=now)
        return TlsMaterial(authority.issued.certificate_pem, issued.certificate_pem, issued.key_pem)

    plain = await asyncio.start_server(_welcome, "127.0.0.1", 0)
    wrapped = await asyncio.start_server(_welcome, "127.0.0.1", 0, ssl=_lax(material(name)))
    async with plain, wrapped:
        doors = {
            is_plain: Door("an open door", f"127.0.0.1:{_port(server)}", name.dns_name)
            for is_plain, server in ((True, plain), (False, wrapped))
        }
        operator = Identity(_ORIGIN, Role.OPERATOR, "operator")
        yield Knocker(material(operator), origin=_ORIGIN), doors


async def lets_in(knocker: Knocker, doors: dict[bool, Door], knock: Knock) -> bool:
    """Whether a knock gets through where nobody refuses it. Raises: CannotKnockError."""
    return await knocker.is_let_in(doors[knock is Knock.PLAIN], knock)


async def _welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, EOFError):  # whoever knocks may go again at any moment
        await reader.readexactly(len(PREFACE))
        writer.write(_SETTINGS_FRAME)
        await writer.drain()
        await reader.read()
    writer.close()


def _lax(tls: TlsMaterial) -> ssl.SSLContext:
    """Asks for no certificate, and takes every version that this machine's library has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="heptad-privacy-") as folder:
        path = Path(folder) / "both.pem"
        path.write_bytes(tls.certificate_pem + tls.key_pem)
        context.load_cert_chain(path)
    context.set_ciphers(LEGACY_CIPHERS)
    context.set_alpn_protocols(["h2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    return context


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
