"""New certificates: the same holders, a new term, and a pair that fits at every moment."""

from datetime import timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from unit.runtime.keyring.conftest import BEGAN

from heptad.runtime.errors import HomeRefusedError
from heptad.runtime.keyring import certificates
from heptad.runtime.pki import CERTIFICATE_DAYS, CertificateAuthority
from heptad.runtime.tls import load_tls

LATER = BEGAN + timedelta(days=300)


def loaded(home, name):
    folder = certificates.folder_of(home, name)
    return load_tls(
        ca=home / "pki" / "ca.pem", certificate=folder / "tls.pem", key=folder / "tls.key"
    )


def names_in(tls):
    certificate = x509.load_pem_x509_certificate(tls.certificate_pem)
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def fits(tls):
    public = x509.load_pem_x509_certificate(tls.certificate_pem).public_key()
    return public == serialization.load_pem_private_key(tls.key_pem, None).public_key()


def test_everybody_gets_a_new_key_and_a_new_term_under_the_same_names(home):
    before = {name: loaded(home, name) for name in certificates.holders(home)}
    step = certificates.renew(home, (), now=LATER)
    assert len(before) > 10
    assert step.restart == tuple(name for name in before if (home / name).is_dir())
    for name, old in before.items():
        new = loaded(home, name)
        assert fits(new)
        assert new.key_pem != old.key_pem
        assert names_in(new) == names_in(old)
        path = certificates.folder_of(home, name) / "tls.pem"
        assert certificates.validity(path).ends == LATER + timedelta(days=CERTIFICATE_DAYS)
        ca = x509.load_pem_x509_certificate(new.ca_pem)
        x509.load_pem_x509_certificate(new.certificate_pem).verify_directly_issued_by(ca)


def test_only_those_that_are_named_change(home):
    before = {name: loaded(home, name) for name in certificates.holders(home)}
    step = certificates.renew(home, ("replica-2", "auditor"), now=LATER)
    changed = {name for name, old in before.items() if loaded(home, name) != old}
    assert changed == {"replica-2", "auditor"}
    assert step.restart == ("replica-2",)
    assert "auditor" in step.by_hand[0]


def test_without_the_cas_key_and_for_strangers_nothing_is_made(home):
    with pytest.raises(HomeRefusedError, match="no certificate of 'replica-9'"):
        certificates.renew(home, ("replica-2", "replica-9"), now=LATER)
    (home / "pki" / "ca.key").unlink()
    with pytest.raises(HomeRefusedError, match="holds no CA key"):
        certificates.renew(home, (), now=LATER)


def test_at_every_moment_of_the_exchange_the_pair_that_is_read_fits(home, crashes):
    for number in crashes(partial(certificates.renew, home, ("replica-2",), now=LATER)):  # noqa: B007  looked at afterwards
        assert fits(loaded(home, "replica-2"))
    assert number == 3
    assert not (home / "replica-2" / "tls.key.next").exists()


def test_the_first_certificate_of_the_cas_file_issues(home):
    """Others behind it are trusted, and issue nothing: so a CA is replaced step by step."""
    other = CertificateAuthority.generate(origin="other.example", now=LATER).issued
    ca = home / "pki" / "ca.pem"
    ca.write_bytes(ca.read_bytes() + other.certificate_pem)
    certificates.renew(home, ("replica-2",), now=LATER)
    first = x509.load_pem_x509_certificate(ca.read_bytes())
    issued = x509.load_pem_x509_certificate(loaded(home, "replica-2").certificate_pem)
    issued.verify_directly_issued_by(first)
