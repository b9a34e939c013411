"""Evidence on the command line: fetched through the gateway, judged off line by public files."""

import http.server
import json
import threading
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.consensus.codec import vote_signing_bytes
from heptad.consensus.evidence import of_votes
from heptad.consensus.objects import Vote
from heptad.crypto.keys import KeyRole, load_service_key
from heptad.model.control_entry import control_entry
from heptad.model.entry import Kind
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan
from heptad.runtime.vkeys import log_vkey, witness_vkey
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import leaf_hash, node_hash
from heptad.transparency.notes import Note
from heptad.transparency.receipt import Receipt
from heptad.verification import ReceiptFile
from heptad.wire.convert.entry import decode_entry

PLAN = GenesisPlan(PortPlan(7700), replica_count=4, validator_count=1)
SIBLING = leaf_hash(b"the other entry")


def run(*arguments):
    words = [str(word) for word in arguments]
    return CliRunner().invoke(build(words), words)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("cells") / "home"
    create_home(home, PLAN, now=datetime(2026, 1, 1, tzinfo=UTC))
    return home


@pytest.fixture(scope="module")
def cell(home):
    from heptad.runtime.config import load_cell

    return load_cell(home)


def key_of(home, name, role):
    return load_service_key(home / name / "keys" / role.file_name)


def entry_against(cell, signer):
    """The log's entry that says replica-3 signed two blocks of round 9, as `signer` did."""
    votes = []
    for block_id in (b"a" * 32, b"b" * 32):
        message = vote_signing_bytes(
            origin=cell.origin, epoch=cell.epoch, round_=9, block_id=block_id
        )
        votes.append(Vote(cell.epoch, 9, block_id, 2, signer.sign(message)))
    statement = of_votes(*votes, origin=cell.origin).encoded
    return control_entry(Kind.MISBEHAVIOUR_EVIDENCE, time_ms=1_000_000, statement=statement)


@pytest.fixture(scope="module")
def entry(home, cell):
    return entry_against(cell, key_of(home, "replica-3", KeyRole.VOTE))


@pytest.fixture(scope="module")
def note(home, cell, entry):
    checkpoint = Checkpoint(cell.origin, 2, node_hash(leaf_hash(entry), SIBLING))
    log = key_of(home, "ledger-1", KeyRole.LOG)
    lines = [sign_checkpoint(checkpoint, key=log_vkey(cell), sign=log.sign)]
    for replica in cell.replicas:
        signer = key_of(home, replica.id, KeyRole.COSIGN)
        witness = witness_vkey(cell, replica)
        lines.append(cosign_checkpoint(checkpoint, key=witness, time_s=1_001, sign=signer.sign))
    return Note(checkpoint.body(), tuple(lines)).encode()


@pytest.fixture
def receipt(tmp_path, entry, note):
    path = tmp_path / "evidence.json"
    path.write_bytes(ReceiptFile(entry, Receipt(0, (SIBLING,), note)).encode())
    return path


def test_evidence_is_judged_by_the_cells_public_keys_alone(home, receipt):
    result = run("verify", receipt, "--cell", home / "cell.toml")
    assert result.exit_code == 0, result.output
    for step in ("evidence: that replica-3", "origin", "accused", "conflict", "second signature"):
        assert f"ok      {step}" in result.stdout
    assert result.stdout.rstrip().endswith("\nVALID")


def test_with_the_policy_its_place_in_the_log_is_judged_too(home, receipt):
    result = run("verify", receipt, "--cell", home / "cell.toml", "--policy", home / "policy")
    assert result.exit_code == 0, result.output
    assert "ok      quorum" in result.stdout
    assert "ok      second signature" in result.stdout


def test_json_names_the_accused_and_every_step(home, receipt):
    said = json.loads(run("verify", receipt, "--cell", home / "cell.toml", "--json").stdout)
    assert said["valid"] is True
    assert said["evidence"] == {"accused": "replica-3", "offence": "blocks"}
    assert [step["step"] for step in said["steps"]][-2:] == ["first signature", "second signature"]


def test_a_false_accusation_is_invalid_even_where_the_log_holds_it(home, cell, tmp_path, note):
    forged = entry_against(cell, key_of(home, "replica-1", KeyRole.VOTE))
    path = tmp_path / "forged.json"
    path.write_bytes(ReceiptFile(forged, Receipt(0, (SIBLING,), note)).encode())
    result = run("verify", path, "--cell", home / "cell.toml")
    assert result.exit_code == 1
    assert "FAILED  first signature: not by replica-3" in result.stdout
    assert result.stdout.rstrip().endswith("\nINVALID")


def test_a_receipt_of_a_request_is_no_evidence(home, tmp_path, note):
    path = tmp_path / "receipt.json"
    path.write_bytes(ReceiptFile(b"\x08\x01\x10\x01", Receipt(0, (SIBLING,), note)).encode())
    result = run("verify", path, "--cell", home / "cell.toml")
    assert result.exit_code == 1
    assert "proves nothing against anybody" in result.stdout


def test_without_anything_to_judge_by_there_is_no_judgement(home, receipt, tmp_path):
    assert run("verify", receipt).exit_code == 2
    assert run("verify", receipt, "--cell", tmp_path / "none.toml").exit_code == 2
    assert run("verify", receipt, "--cell", home / "policy").exit_code == 2


@pytest.fixture
def gateway(entry, note):
    """Answers what the commands ask, as the gateway does."""
    rows = [
        {"index": 0, "entry": b64encode(entry).decode(), "kind": "MISBEHAVIOUR_EVIDENCE",
         "time_ms": 1_000_000, "statement": b64encode(decode_entry(entry).statement).decode()},
        {"index": 1, "entry": "AA==", "kind": "REQUEST", "time_ms": 1_000_001},
    ]  # fmt: skip
    listing = "/v1/entries?kind=MISBEHAVIOUR_EVIDENCE"
    answers = {
        "/checkpoint": note,
        "/v1/entries/0": json.dumps(rows[0]).encode(),
        f"{listing}&start_index=0&page_size=1000": json.dumps(
            {"entries": rows[1:], "next": f"{listing}&start_index=1&page_size=1000"}
        ).encode(),
        f"{listing}&start_index=1&page_size=1000": json.dumps({"entries": rows[:1]}).encode(),
        "/v1/proofs/inclusion?index=0&tree_size=2": json.dumps(
            {"hashes": [b64encode(SIBLING).decode()]}
        ).encode(),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_was_fetched_holds(home, gateway, tmp_path):
    path = tmp_path / "fetched.json"
    assert run("evidence", 0, "--out", path, "--url", gateway).exit_code == 0
    result = run("verify", path, "--cell", home / "cell.toml", "--policy", home / "policy")
    assert result.exit_code == 0, result.output


def test_a_list_names_the_accused_and_the_index(gateway):
    result = run("evidence", "--url", gateway, "--json")
    assert result.exit_code == 0, result.output
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"index": 0, "time_ms": 1_000_000, "accused": "replica-3", "offence": "blocks"}
    ]
