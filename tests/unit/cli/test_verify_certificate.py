"""`heptad verify` on a certificate of erasure: what it proves, what not, and judged by what."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner
from unit.verification.conftest import policy_of
from unit.verification.erasure_log import KEYS, SUBJECT, made

from heptad.cli.main import build
from heptad.runtime import attestation
from heptad.verification import CertificateFile, certificate_members
from heptad.verification.certificate_file import to_json


@pytest.fixture
def files(tmp_path):
    certificate, policy = tmp_path / "certificate.json", tmp_path / "policy"
    certificate.write_bytes(to_json(certificate_members(made(), links={})))
    policy.write_bytes(policy_of().format())
    return certificate, policy


@pytest.fixture
def cell(tmp_path, monkeypatch):
    """A cell.toml with the attestation key of `erasure_log`."""
    path = tmp_path / "cell.toml"
    path.write_text("the cell's")
    monkeypatch.setattr(
        "heptad.runtime.config.decode.read", lambda kind, path: SimpleNamespace(origin="cell.test")
    )
    monkeypatch.setattr(attestation, "attestation_keys", lambda cell: KEYS(0))
    monkeypatch.setattr(attestation, "attestation_keys_at", lambda cell, time_ms: KEYS(time_ms))
    return path


def verify(*arguments):
    arguments = ["verify", *map(str, arguments)]
    return CliRunner().invoke(build(arguments), arguments)


def test_a_true_certificate_ends_with_0_and_says_what_it_does_not_prove(files, cell):
    certificate, policy = files
    result = verify(certificate, "--policy", policy, "--cell", cell, "--subject", SUBJECT)
    assert result.exit_code == 0, result.output
    for step in ("root", "quorum", "attestation", "order in log", "order signed", "request"):
        assert f"ok      {step}" in result.stdout
    assert f"it is about {SUBJECT}" in result.stdout
    assert "does not prove" in result.stdout
    assert "Art. 17(1)(b)" in result.stdout
    assert result.stdout.rstrip().endswith("VALID")


def test_what_is_not_judged_is_said(files):
    certificate, policy = files
    result = verify(certificate, "--policy", policy)
    assert result.exit_code == 0
    assert "signature NOT judged" in result.stdout
    assert "whom it is about was NOT judged" in result.stdout
    assert "\nproves" not in result.stdout
    said = json.loads(verify(certificate, "--policy", policy, "--json").stdout)
    assert (said["attestation"], said["subject"]) == ("not judged", "not judged")


def test_json_has_the_certificate_and_every_step(files, cell):
    certificate, policy = files
    result = verify(certificate, "--policy", policy, "--cell", cell, "--json")
    said = json.loads(result.stdout)
    assert said["valid"] is True
    assert said["certificate"]["slot"] == 4_711
    assert said["does_not_prove"]
    assert {"attestation", "core"} <= {step["step"] for step in said["steps"]}


def test_a_certificate_of_somebody_else_ends_with_1(files, cell):
    certificate, policy = files
    other = "kn-" + "b" * 26
    result = verify(certificate, "--policy", policy, "--cell", cell, "--subject", other)
    assert result.exit_code == 1
    assert "FAILED  subject" in result.stdout


def test_a_changed_certificate_ends_with_1(files, cell):
    certificate, policy = files
    members = json.loads(certificate.read_bytes())
    members["core"]["ciphertexts"] = 0
    certificate.write_text(json.dumps(members))
    result = verify(certificate, "--policy", policy, "--cell", cell)
    assert result.exit_code == 1
    assert "FAILED  core" in result.stdout
    del members["order"]
    certificate.write_text(json.dumps(members))
    result = verify(certificate, "--policy", policy)
    assert result.exit_code == 1
    assert "FAILED  certificate: " in result.stdout


def test_without_a_policy_nothing_is_judged(files, cell):
    certificate, _ = files
    assert CertificateFile.parse(certificate.read_bytes())
    result = verify(certificate, "--cell", cell)
    assert result.exit_code == 2
    assert "--policy" in result.output
