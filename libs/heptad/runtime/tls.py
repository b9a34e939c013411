"""Mutual TLS for every connection between services; there is no plaintext mode.

Keys are P-256 and every certificate has a DNS name, because gRPC refuses Ed25519 certificates and
such with a URI only.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

CA_FILE: Final = "ca.pem"
CERTIFICATE_FILE: Final = "tls.pem"
KEY_FILE: Final = "tls.key"
NEXT_SUFFIX: Final = ".next"
"""A key file of that ending lies beside the other while certificate and key are exchanged."""


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What one end of a connection shows and trusts, in PEM."""

    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)


def load_tls(*, ca: Path, certificate: Path, key: Path) -> TlsMaterial:
    """Read the three files. Raises: OSError.

    While somebody exchanges certificate and key, or was cut off doing it, two keys lie there: the
    one that fits the certificate is taken.
    """
    following = key.with_name(key.name + NEXT_SUFFIX)
    following_pem = following.read_bytes() if following.exists() else b""
    certificate_pem = certificate.read_bytes()
    if following_pem and _fits(certificate_pem, following_pem):
        return TlsMaterial(ca.read_bytes(), certificate_pem, following_pem)
    return TlsMaterial(ca.read_bytes(), certificate_pem, key.read_bytes())


def _fits(certificate_pem: bytes, key_pem: bytes) -> bool:
    try:
        public = x509.load_pem_x509_certificate(certificate_pem).public_key()
        private = serialization.load_pem_private_key(key_pem, password=None)
    except ValueError:
        return False
    return public == private.public_key()


def load_member_tls(*, home: Path, name: str) -> TlsMaterial:
    """The material of `<home>/<name>`, trusting `<home>/pki/ca.pem`. Raises: OSError."""
    folder = home / name
    return load_tls(
        ca=home / "pki" / CA_FILE,
        certificate=folder / CERTIFICATE_FILE,
        key=folder / KEY_FILE,
    )


def server_credentials(tls: TlsMaterial) -> grpc.ServerCredentials:
    """Credentials of a server that refuses clients without a certificate of the same CA."""
    return grpc.ssl_server_credentials(
        [(tls.key_pem, tls.certificate_pem)],
        root_certificates=tls.ca_pem,
        require_client_auth=True,
    )


def channel_credentials(tls: TlsMaterial) -> grpc.ChannelCredentials:
    """Credentials of a client that trusts this CA only."""
    return grpc.ssl_channel_credentials(
        root_certificates=tls.ca_pem,
        private_key=tls.key_pem,
        certificate_chain=tls.certificate_pem,
    )
