"""`heptad verify` of a whole log: valid, invalid, or not to be judged, wherever the log lies."""

import json

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.crypto.keys import Ed25519Key
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.policy import k_of_n_policy
from heptad.transparency.tiled_tree import append_leaves
from heptad.transparency.tiles import TilePath, encode_entries

ORIGIN = "cell.example"
LOG = Ed25519Key(bytes([9]) * 32)
LOG_KEY = VerifierKey(ORIGIN, SignatureType.LOG, LOG.public_key)
REPLICAS = [Ed25519Key(bytes([n]) * 32) for n in range(1, 8)]
WITNESSES = [
    (f"replica-{n}", VerifierKey(f"replica-{n}.{ORIGIN}", SignatureType.COSIGNATURE, r.public_key))
    for n, r in enumerate(REPLICAS, start=1)
]
ENTRIES = [b"entry %d" % index for index in range(9)]


def write_log(folder, *, cosigners):
    hashes = leaf_hashes(ENTRIES)
    grown = append_leaves(before=CompactRange.empty(), leaf_hashes=hashes, tiles=None)
    checkpoint = Checkpoint(ORIGIN, len(ENTRIES), grown.after.root())
    signatures = [sign_checkpoint(checkpoint, key=LOG_KEY, sign=LOG.sign)] + [
        cosign_checkpoint(checkpoint, key=key, time_s=1_001, sign=replica.sign)
        for (_, key), replica in list(zip(WITNESSES, REPLICAS, strict=True))[:cosigners]
    ]
    files = {
        "checkpoint": Note(checkpoint.body(), tuple(signatures)).encode(),
        TilePath(None, 0, len(ENTRIES)).format(): encode_entries(ENTRIES),
        TilePath(0, 0, len(ENTRIES)).format(): b"".join(hashes),
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    write_log(folder, cosigners=5)
    return folder


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy"
    path.write_bytes(k_of_n_policy(log=LOG_KEY, witnesses=WITNESSES, threshold=5).format())
    return path


def verify(where, *more):
    arguments = ["verify", str(where), *map(str, more)]
    return CliRunner().invoke(build(arguments), arguments)


def test_a_good_log_ends_with_0_and_shows_what_was_read(log, policy):
    result = verify(log, "--policy", policy)
    assert result.exit_code == 0, result.output
    assert "ok      entries: 9 in 1 bundles, 1 tiles" in result.stdout
    assert "ok      quorum" in result.stdout
    assert result.stdout.rstrip().endswith("VALID")


def test_json_has_the_checkpoint_and_every_step(log, policy):
    said = json.loads(verify(log, "--policy", policy, "--json").stdout)
    assert said["valid"] is True
    assert said["checkpoint"]["size"] == 9
    assert said["log"] == str(log)
    assert said["steps"][-1]["step"] == "entries"


@pytest.mark.parametrize("name", ["tile/0/000.p/9", "tile/entries/000.p/9"])
def test_a_changed_or_missing_file_ends_with_1_and_is_named(log, policy, name):
    content = bytearray((log / name).read_bytes())
    content[-1] ^= 1
    (log / name).write_bytes(content)
    result = verify(log, "--policy", policy)
    assert result.exit_code == 1
    assert "FAILED  log: tile/0/000.p/9: hash 8" in result.stdout
    (log / name).unlink()
    result = verify(log, "--policy", policy)
    assert result.exit_code == 1
    assert name in result.stdout


def test_without_a_quorum_nothing_else_is_looked_at(log, policy):
    write_log(log, cosigners=4)
    (log / "tile/0/000.p/9").unlink()
    result = verify(log, "--policy", policy)
    assert result.exit_code == 1
    assert "needs 5 of 7, has 4" in result.stdout
    assert "tile/" not in result.stdout


@pytest.mark.parametrize("note", [None, b"no note"])
def test_a_folder_without_a_checkpoint_is_no_valid_log(log, policy, note):
    (log / "checkpoint").unlink()
    if note is not None:
        (log / "checkpoint").write_bytes(note)
    assert verify(log, "--policy", policy).exit_code == 1


def test_what_cannot_be_judged_ends_with_2(log, policy, tmp_path):
    assert verify("http://127.0.0.1:1", "--policy", policy).exit_code == 2
    assert verify("ftp://127.0.0.1", "--policy", policy).exit_code == 2
    assert verify(log).exit_code == 2
    assert verify(log, "--cell", policy).exit_code == 2
    assert verify(log, "--policy", log / "checkpoint").exit_code == 2
