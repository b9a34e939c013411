"""`heptad verify`: valid, invalid, or not to be judged; and every step is shown."""

import json

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import sign_request
from heptad.crypto.sealing import commitment
from heptad.model.entry import Entry, Kind, Outcome
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import leaf_hash, node_hash
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.policy import fingerprint, k_of_n_policy
from heptad.transparency.receipt import Receipt
from heptad.verification import ReceiptFile
from heptad.wire.convert.entry import encode_entry

ORIGIN = "cell.example"
LOG = Ed25519Key(bytes([9]) * 32)
REPLICAS = [Ed25519Key(bytes([n]) * 32) for n in range(1, 8)]
LOG_KEY = VerifierKey(ORIGIN, SignatureType.LOG, LOG.public_key)
WITNESSES = [
    (f"replica-{n}", VerifierKey(f"replica-{n}.{ORIGIN}", SignatureType.COSIGNATURE, r.public_key))
    for n, r in enumerate(REPLICAS, start=1)
]
PAYLOAD = sign_request(
    Ed25519Key(bytes([8]) * 32), iss="kn-x", aud=ORIGIN,
    jti="0b8f1f9e-6c1f-4c39-9c57-52a0d2fdd8a1", iat=1_000, exp=1_300,
    svc="tax", act="consent.grant", data={"secret": "medical"},
)  # fmt: skip
WITNESS = bytes(32)
ENTRY = encode_entry(
    Entry(Kind.REQUEST, "tax", "consent.grant", Outcome.ALLOWED, 1_000_000, 1,
          commitment(witness=WITNESS, payload=PAYLOAD))
)  # fmt: skip
SIBLING = leaf_hash(b"the other entry")


def receipt_file() -> ReceiptFile:
    root = node_hash(leaf_hash(ENTRY), SIBLING)
    checkpoint = Checkpoint(ORIGIN, 2, root)
    signatures = [sign_checkpoint(checkpoint, key=LOG_KEY, sign=LOG.sign)] + [
        cosign_checkpoint(checkpoint, key=key, time_s=1_001, sign=replica.sign)
        for (_, key), replica in zip(WITNESSES[:5], REPLICAS, strict=False)
    ]
    note = Note(checkpoint.body(), tuple(signatures)).encode()
    return ReceiptFile(ENTRY, Receipt(0, (SIBLING,), note), PAYLOAD, WITNESS)


@pytest.fixture
def files(tmp_path):
    receipt, policy = tmp_path / "receipt.json", tmp_path / "policy"
    receipt.write_bytes(receipt_file().encode())
    policy.write_bytes(k_of_n_policy(log=LOG_KEY, witnesses=WITNESSES, threshold=5).format())
    return receipt, policy


def verify(receipt, policy, *more, stdin=None):
    arguments = ["verify", str(receipt), "--policy", str(policy), *more]
    return CliRunner().invoke(build(arguments), arguments, input=stdin)


def test_a_valid_receipt_ends_with_0_and_shows_every_step(files):
    receipt, policy = files
    result = verify(receipt, policy)
    assert result.exit_code == 0, result.stdout
    assert result.stdout.rstrip().endswith("VALID")
    assert "FAILED" not in result.stdout
    assert fingerprint(policy.read_bytes()) in result.stdout
    for step in ("leaf", "step 1", "root", "quorum", "commitment", "request"):
        assert f"ok      {step}" in result.stdout


def test_json_has_every_step_and_the_fingerprint(files):
    receipt, policy = files
    said = json.loads(verify(receipt, policy, "--json").stdout)
    assert said["valid"] is True
    assert said["policy_fingerprint"] == fingerprint(policy.read_bytes())
    assert said["checkpoint"]["size"] == 2
    assert said["entry"]["action"] == "consent.grant"
    assert all(step["holds"] for step in said["steps"])
    assert said["cosigned_at_s"] == {f"replica-{n}": 1_001 for n in range(1, 6)}


def test_what_a_person_said_is_not_printed(files):
    for more in ((), ("--json",)):
        assert "medical" not in verify(*files, *more).output


def test_an_invalid_receipt_ends_with_1_and_names_the_step(files):
    receipt, policy = files
    members = json.loads(receipt.read_bytes())
    members["entry"] = "AA" + members["entry"][2:]
    receipt.write_text(json.dumps(members))
    result = verify(receipt, policy)
    assert result.exit_code == 1
    assert "FAILED  root" in result.stdout
    assert result.stdout.rstrip().endswith("INVALID")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_receipt_that_is_none_is_invalid_and_says_why(files, more):
    receipt, policy = files
    receipt.write_text('{"format": "other"}')
    result = verify(receipt, policy, *more)
    assert result.exit_code == 1
    assert "entry" in result.stdout


def test_four_of_seven_are_not_enough(files):
    receipt, policy = files
    members = json.loads(receipt.read_bytes())
    lines = members["proof"].split("\n")
    members["proof"] = "\n".join(line for line in lines if "replica-5" not in line)
    receipt.write_text(json.dumps(members))
    result = verify(receipt, policy)
    assert result.exit_code == 1
    assert "needs 5 of 7, has 4" in result.stdout


def test_a_file_that_is_not_there_is_no_judgement(files, tmp_path):
    receipt, policy = files
    assert verify(tmp_path / "none", policy).exit_code == 2
    assert verify(receipt, tmp_path / "none").exit_code == 2
    assert verify(receipt, receipt).exit_code == 2
    arguments = ["verify", str(receipt)]
    assert CliRunner().invoke(build(arguments), arguments).exit_code == 2


def test_a_receipt_can_come_through_a_pipe(files):
    receipt, policy = files
    assert verify("-", policy, stdin=receipt.read_bytes()).exit_code == 0
