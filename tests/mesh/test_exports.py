"""A person takes out all that is held about it, from a cell of real processes.

Its requests, a service's event and an officer's look are in the archive, each proved off line by
the cell's public keys; a small program of this test's own, in a dozen lines of hashlib, comes to
the same result for every entry.
"""

import base64
import json
import time
import zipfile
from hashlib import sha256

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.client import BlockingClient, Event
from heptad.crypto.keys import Ed25519Key
from heptad.transparency.merkle import verify_inclusion
from heptad.transparency.receipt import Receipt

pytestmark = pytest.mark.timeout(180)
REASON = "asked for by letter of 3 May"


def heptad(*arguments, code=0):
    words = [str(word) for word in arguments]
    done = CliRunner().invoke(build(words), words)
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture(name="person", scope="module")
def _person(mesh, tmp_path_factory):
    """Somebody with three requests and an event of a service; its folder."""
    folder = tmp_path_factory.mktemp("person")
    key, url = folder / "key.jwk", mesh.gateway_url
    heptad("keygen", "--out", key)
    said = json.loads(heptad("register", "--key", key, "--url", url, "--json"))
    for number in range(3):
        heptad("submit", "--key", key, "--service", "tax-portal", "--action", "consent.grant",
               "--data", json.dumps({"n": number}), "--url", url)  # fmt: skip
    with BlockingClient(mesh.home / "clients" / "tax-portal") as service:
        stranger = service.register(Ed25519Key.generate()).subject_id
        now_ms = time.time_ns() // 1_000_000
        service.submit_bundle(
            [
                Event(stranger, "record.access", b"{}", now_ms),
                Event(said["subject_id"], "record.access", b'{"file":"F-1"}', now_ms),
            ]
        )
    return folder, said["subject_id"]


@pytest.fixture(name="exports", scope="module")
def _exports(mesh, person):
    """An officer's export, and the person's own after it."""
    folder, subject = person
    officers, own = folder / "officers.zip", folder / "own.zip"
    heptad("export", "--profile", mesh.home / "clients" / "officer", "--subject", subject,
           "--reason", REASON, "--ground", "GDPR, Art. 15", "--out", officers)  # fmt: skip
    heptad("export", "--key", folder / "key.jwk", "--url", mesh.gateway_url, "--out", own)
    return officers, own


def member(path, name):
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def test_all_of_it_is_valid_by_the_cells_public_keys(mesh, exports):
    for path in exports:
        said = json.loads(heptad("verify", path, "--policy", mesh.home / "policy", "--cell",
                                 mesh.home / "cell.toml", "--json"))  # fmt: skip
        assert said["valid"]
        assert said["state"] == "complete"
    assert said["kinds"] == {
        "ACCESS": 1, "EVENT": 1, "EXPORT": 1, "REQUEST": 3, "SUBJECT_REGISTERED": 1,
    }  # fmt: skip


def test_each_entry_checks_by_a_program_that_is_not_ours(exports):
    _, own = exports
    rows = json.loads(member(own, "data.json"))["entries"]
    _, size, root = member(own, "checkpoint").decode().split("\n")[:3]
    assert len(rows) == 7
    for row in rows:
        receipt = json.loads(member(own, row["receipt"]))
        entry, payload, witness = (
            base64.b64decode(receipt[name]) for name in ("entry", "payload", "witness")
        )
        committed = sha256(b"heptad/v1/commitment\0" + witness + payload).digest()
        assert b"\x42\x20" + committed in entry
        assert row["commitment"] == committed.hex()
        proof = Receipt.parse(receipt["proof"].encode())
        verify_inclusion(
            leaf_index=row["index"], tree_size=int(size), proof=proof.proof,
            leaf_hash=sha256(b"\0" + entry).digest(), root_hash=base64.b64decode(root),
        )  # fmt: skip


def test_the_person_reads_who_has_opened_its_data_and_why(exports):
    officer, own = json.loads(member(exports[1], "accesses.json"))["accesses"]
    assert (officer["role"], officer["by"], officer["reason"]) == ("officer", "officer", REASON)
    assert (own["role"], own["action"]) == ("subject", "subject.export")


def test_the_services_are_named_with_purpose_recipients_and_retention(exports):
    services = {
        one["service"]: one for one in json.loads(member(exports[1], "sources.json"))["services"]
    }
    assert services["tax-portal"]["entries"] == 4
    for name in ("purpose", "recipients", "retention"):
        assert services["tax-portal"][name]
    assert services["heptad"]["purpose"]


def test_the_log_shows_that_somebody_looked_and_not_at_whom(mesh, exports, person):
    entry = json.loads(
        heptad("entries", "--kind", "ACCESS", "--url", mesh.gateway_url, "--json").splitlines()[-1]
    )
    assert person[1] not in json.dumps(entry)
    assert REASON not in json.dumps(entry)


def test_without_a_reason_an_officer_gets_nothing(mesh, person, tmp_path):
    profile, out = mesh.home / "clients" / "officer", tmp_path / "x.zip"
    said = heptad("export", "--profile", profile, "--subject", person[1], "--reason", " ", "--out",
                  out, code=1)  # fmt: skip
    assert said == ""
    assert not out.exists()


def test_another_clients_certificate_opens_nothing(mesh, person, tmp_path):
    for client in ("operator", "auditor", "tax-portal"):
        heptad("export", "--profile", mesh.home / "clients" / client, "--subject", person[1],
               "--reason", "curious", "--out", tmp_path / "x.zip", code=1)  # fmt: skip


def test_a_receipt_of_ones_own_comes_with_its_private_half(mesh, exports, person, tmp_path):
    import urllib.request

    row = json.loads(member(exports[1], "data.json"))["entries"][1]
    name = row["record"]["id"]
    jws = heptad("sign", "--key", person[0] / "key.jwk", "--service", "heptad", "--action",
                 "receipt.open", "--data", json.dumps({"request_id": name})).strip()  # fmt: skip
    request = urllib.request.Request(
        f"{mesh.gateway_url}/v1/requests/{name}/receipt", headers={"Authorization": f"Heptad {jws}"}
    )
    path = tmp_path / "receipt.json"
    with urllib.request.urlopen(request, timeout=20) as answer:
        path.write_bytes(answer.read())
    said = json.loads(heptad("verify", path, "--policy", mesh.home / "policy", "--json"))
    assert said["request_id"] == name
