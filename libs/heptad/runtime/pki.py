"""The cell's certificate authority and the certificates that it issues.

One P-256 CA per home. In a real deployment each authority brings certificates of its own CA; this
one makes `heptad up` secure from the first second, with no plaintext mode to forget to leave.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from heptad.runtime.identity import MEMBER_ROLES, Identity

CA_DAYS: Final = 3_650
CERTIFICATE_DAYS: Final = 397
"""The longest life that public CAs may give; a forgotten certificate is noticed within it."""

BACKDATE: Final = timedelta(days=1)
"""A member whose clock is an hour behind must not find everybody's new certificate in the future:
TLS would cut it off, and nobody would see why."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both PEM; the key is unencrypted PKCS#8."""

    certificate_pem: bytes
    key_pem: bytes


class CertificateAuthority:
    """Issues the certificates of one cell."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def generate(cls, *, origin: str, now: datetime) -> "CertificateAuthority":
        """A new authority for the cell `origin`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"{origin} CA")
        builder = _builder(name, name, key.public_key(), now=now, days=CA_DAYS)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, issued: Issued) -> "CertificateAuthority":
        """The authority whose files these are. Raises: ValueError."""
        key = serialization.load_pem_private_key(issued.key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the CA's key is not an EC key")
        return cls(x509.load_pem_x509_certificate(issued.certificate_pem), key)

    @property
    def issued(self) -> Issued:
        """The authority's own certificate and key."""
        return Issued(_pem(self._certificate), _key_pem(self._key))

    def issue(self, identity: Identity, *, now: datetime) -> Issued:
        """A certificate for `identity`.

        Members may be servers and clients; everybody else only client, so that a stolen service
        certificate cannot pose as a member's server.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.UniformResourceIdentifier(identity.uri), x509.DNSName(identity.dns_name)]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if identity.role in MEMBER_ROLES:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = _builder(
            _name(identity.id),
            self._certificate.subject,
            key.public_key(),
            now=now,
            days=CERTIFICATE_DAYS,
        )
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Issued(_pem(certificate), _key_pem(key))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    assert now.tzinfo is UTC
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
