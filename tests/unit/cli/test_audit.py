"""`heptad audit`: exit codes, what is printed, and proofs that `heptad verify` takes."""

import errno
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.crypto.keys import Ed25519Key
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hash, leaf_hashes
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.policy import fingerprint, k_of_n_policy
from heptad.transparency.tiles import encode_entries

ORIGIN = "cell.example"
LOG = Ed25519Key(bytes([9]) * 32)
LOG_KEY = VerifierKey(ORIGIN, SignatureType.LOG, LOG.public_key)
WITNESS = Ed25519Key(bytes([1]) * 32)
WITNESS_KEY = VerifierKey("replica-1." + ORIGIN, SignatureType.COSIGNATURE, WITNESS.public_key)


def heptad(*words):
    arguments = [str(word) for word in words]
    return CliRunner().invoke(build(arguments), arguments)


def publish(folder, entries):
    """A log of at most 256 entries in a folder."""
    edge = CompactRange.empty().extended(leaf_hashes(entries))
    head = Checkpoint(ORIGIN, edge.size, edge.root())
    lines = (
        sign_checkpoint(head, key=LOG_KEY, sign=LOG.sign),
        cosign_checkpoint(head, key=WITNESS_KEY, time_s=1_000, sign=WITNESS.sign),
    )
    tile, bundle = folder / f"tile/0/000.p/{edge.size}", folder / f"tile/entries/000.p/{edge.size}"
    for path in (tile, bundle):
        path.parent.mkdir(parents=True, exist_ok=True)
    tile.write_bytes(b"".join(map(leaf_hash, entries)))
    bundle.write_bytes(encode_entries(entries))
    (folder / "checkpoint").write_bytes(Note(head.body(), lines).encode())


def entry(number):
    from heptad.model.entry import Entry, Kind, Outcome
    from heptad.wire.convert.entry import encode_entry

    return encode_entry(
        Entry(Kind.REQUEST, "tax", "read", Outcome.ALLOWED, 1, 1, bytes([number]) * 32)
    )


@pytest.fixture
def scene(tmp_path):
    """A folder with a log, the words of an audit of it, and the policy."""
    log, policy = tmp_path / "log", tmp_path / "policy"
    publish(log, [entry(n) for n in range(10)])
    rules = k_of_n_policy(log=LOG_KEY, witnesses=[("replica-1", WITNESS_KEY)], threshold=1)
    policy.write_bytes(rules.format())
    words = ["audit", log, "--policy", policy, "--state", tmp_path / "state", "--once"]
    return log, words, policy


def test_an_honest_log_ends_with_0_and_says_how_far_it_is_proved(scene):
    _, words, policy = scene
    result = heptad(*words)
    assert result.exit_code == 0, result.output
    assert "proved 10 entries" in result.stdout
    assert fingerprint(policy.read_bytes()) in result.stderr
    said = json.loads(heptad(*words, "--json").stdout)
    assert (said["verified"]["size"], said["entries"], said["alarms"]) == (10, 0, [])
    assert (said["rechecked"], said["unread"]) == (0, [])
    assert heptad(*words, "--recheck", "513").exit_code == 2


def test_an_alarm_ends_with_1_and_its_file_is_proved_by_heptad_verify(scene):
    log, words, policy = scene
    assert heptad(*words).exit_code == 0
    publish(log, [entry(n) for n in range(3)])
    result = heptad(*words, "--json")
    assert result.exit_code == 1
    (alarm,) = json.loads(result.stdout)["alarms"]
    assert (alarm["kind"], alarm["severity"]) == ("rollback", "error")
    judged = heptad("verify", alarm["proof"], "--policy", policy)
    assert (judged.exit_code, judged.stdout.rstrip().splitlines()[-1]) == (0, "VALID")
    assert "ok      rollback: 3 entries after 10 had been seen" in judged.stdout
    said = json.loads(heptad("verify", alarm["proof"], "--policy", policy, "--json").stdout)
    assert (said["valid"], said["alarm"]["kind"]) == (True, "rollback")


def test_an_alarm_that_is_not_true_is_invalid(scene, tmp_path):
    log, words, policy = scene
    heptad(*words)
    publish(log, [entry(n) for n in range(9)] + [entry(99)])
    (alarm,) = json.loads(heptad(*words, "--json").stdout)["alarms"]
    members = json.loads(Path(alarm["proof"]).read_text())
    assert members["alarm"] == "fork"
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(members | {"second": members["first"]}))
    judged = heptad("verify", forged, "--policy", policy)
    assert judged.exit_code == 1
    assert "FAILED  fork" in judged.stdout
    forged.write_text(json.dumps(members | {"more": 1}))
    assert heptad("verify", forged, "--policy", policy).exit_code == 1
    assert heptad("verify", alarm["proof"], "--cell", policy).exit_code == 2


def test_what_keeps_an_auditor_from_looking_ends_with_2(scene, tmp_path):
    log, words, _ = scene
    (log / "checkpoint").unlink()
    result = heptad(*words)
    assert (result.exit_code, "AWAY" in result.stdout) == (2, True)
    assert heptad("audit", tmp_path / "none", *words[2:]).exit_code == 2
    assert heptad("audit", log, "--policy", log / "none", *words[4:]).exit_code == 2
    assert heptad(*words, "--metrics", "nowhere").exit_code == 2
    (tmp_path / "state" / "state.json").write_text("{}")
    assert heptad(*words).exit_code == 2


def test_a_copied_folder_may_be_old_unless_a_limit_is_given(scene):
    _, words, _ = scene
    assert heptad(*words).exit_code == 0
    result = heptad(*words, "--freeze-after", "60")
    assert (result.exit_code, "freeze" in result.stdout) == (1, True)


def test_a_comparison_that_could_not_be_made_ends_with_2_and_is_told(scene, tmp_path):
    log, words, _ = scene
    slip = heptad(*words, "--compare", tmp_path / "mistyped")
    assert (slip.exit_code, "UNCOMPARED" in slip.stdout) == (2, True)
    assert "No such file" in slip.stdout
    result = heptad(*words, "--compare", log, "--json")
    assert result.exit_code == 0
    (made,) = json.loads(result.stdout)["compared"]
    assert made == {"other": str(log), "found": "consistent", "is_made": True}


def test_what_could_not_be_written_down_is_told_and_ends_with_2_or_with_1_beside_an_alarm(
    scene, tmp_path, monkeypatch
):
    """As on a full disk."""
    log, words, _ = scene
    assert heptad(*words).exit_code == 0
    publish(log, [entry(n) for n in range(20)])

    def full(path, content, *, mode):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("heptad.auditing.state.write_atomically", full)
    monkeypatch.setattr("heptad.auditing.alarm_folder.write_atomically", full)
    result = heptad(*words)
    assert (result.exit_code, "UNSAVED" in result.stdout) == (2, True)
    publish(log, [entry(n) for n in range(3)])
    result = heptad(*words)
    assert result.exit_code == 1
    assert "ALARM  rollback" in result.stdout
    assert "could not be written: No space left on device" in result.stdout
