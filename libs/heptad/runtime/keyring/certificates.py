"""TLS certificates of members and clients, made anew by the cell's CA, and what is in them.

Certificate and key are two files, and a process may start between the two. So the new key lies
beside the old one (`tls.key.next`) before the new certificate takes its place in one step, and
whoever reads the pair takes the key that fits (`heptad.runtime.tls`); then the key moves up.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from heptad.runtime.config.files import load_cell, load_profile
from heptad.runtime.disk import rename, write_atomically
from heptad.runtime.errors import HomeRefusedError
from heptad.runtime.identity import Identity, Role, member
from heptad.runtime.keyring.steps import Step
from heptad.runtime.pki import CertificateAuthority, Issued
from heptad.runtime.tls import CA_FILE, CERTIFICATE_FILE, KEY_FILE, NEXT_SUFFIX

CA_KEY_FILE: Final = "ca.key"


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate says that it is valid, in UTC."""

    begins: datetime
    ends: datetime


def renew(home: Path, ids: tuple[str, ...], *, now: datetime) -> Step:
    """New keys and certificates for these members and clients of the home; none means all.

    Raises: HomeRefusedError for one that is not here, or if the CA's key is not.
    """
    authority = _authority(home)
    here = holders(home)
    for name in ids:
        if name not in here:
            raise HomeRefusedError(f"{home} has no certificate of {name!r}")
    chosen = {name: here[name] for name in ids or here}
    for name, identity in chosen.items():
        _replace(folder_of(home, name), authority.issue(identity, now=now))
    members = tuple(name for name in chosen if name in load_cell(home).member_addresses())
    clients = [name for name in chosen if name not in members]
    return Step(
        facts=(f"{len(chosen)} new certificates: {', '.join(chosen)}",),
        restart=members,
        by_hand=(f"these are started anew: {', '.join(clients)}",) if clients else (),
    )


def holders(home: Path) -> dict[str, Identity]:
    """Who has a certificate in this home, members first."""
    cell = load_cell(home)
    found = {
        name: member(cell.origin, name)
        for name in cell.member_addresses()
        if (home / name / CERTIFICATE_FILE).is_file()
    }
    for path in sorted((home / "clients").glob(f"*/{CERTIFICATE_FILE}")):
        profile = load_profile(path.parent)
        found[profile.name] = Identity(cell.origin, Role(profile.role), profile.name)
    return found


def folder_of(home: Path, name: str) -> Path:
    """Where a member's or client's certificate lies."""
    return home / name if (home / name).is_dir() else home / "clients" / name


def validity(path: Path) -> Validity:
    """Of the first certificate in a file. Raises: OSError; HomeRefusedError for no certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise HomeRefusedError(f"{path} holds no certificate") from error
    return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _replace(folder: Path, issued: Issued) -> None:
    key = folder / KEY_FILE
    following = key.with_name(key.name + NEXT_SUFFIX)
    write_atomically(following, issued.key_pem, mode=0o600)
    write_atomically(folder / CERTIFICATE_FILE, issued.certificate_pem, mode=0o644)
    rename(following, key)


def _authority(home: Path) -> CertificateAuthority:
    folder = home / "pki"
    if not (folder / CA_KEY_FILE).is_file():
        raise HomeRefusedError(
            f"{folder} holds no CA key: certificates come from whoever keeps it, see "
            "docs/operations/keys.md"
        )
    issued = Issued((folder / CA_FILE).read_bytes(), (folder / CA_KEY_FILE).read_bytes())
    return CertificateAuthority.load(issued)
