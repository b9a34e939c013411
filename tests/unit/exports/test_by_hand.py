"""README.txt's own commands, run as they stand there: a person can check without us."""

import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "openssl", "sha256sum", "od"))), reason="needs a shell"
)


def commands(export):
    text = export.read("README.txt").decode()
    by_hand = text[text.index("BY HAND") : text.index("WHAT STAYS")]
    lines = [line[2:] for line in by_hand.splitlines() if line.startswith("  ")]
    assert len(lines) > 25
    return "\n".join(lines)


@pytest.fixture
def run(kit, tmp_path):
    def run(export, script):
        with export.open() as archive:
            archive.extractall(tmp_path)
        (tmp_path / "policy").write_bytes(kit.POLICY.format())
        return subprocess.run(
            ["bash", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


def test_each_entry_verifies_by_hand(export, run):
    script = commands(export)
    last = f"receipts/{export.log.indexes[-1]:012d}.json"
    for index in export.log.indexes[::3]:
        done = run(export, script.replace(last, f"receipts/{index:012d}.json"))
        assert done.returncode == 0, done.stderr
        assert "committed\nin the log\nSignature Verified Successfully" in done.stdout
        assert "FAILED" not in done.stdout


@pytest.mark.parametrize("name", ["payload", "witness"])
def test_by_hand_an_altered_private_half_is_noticed(export, run, name):
    def alter(files):
        path = f"receipts/{export.log.indexes[-1]:012d}.json"
        head, mark, rest = files[path].partition(f'"{name}": "'.encode())
        files[path] = head + mark + (b"AAAA" if rest[:4] != b"AAAA" else b"BBBB") + rest[4:]

    done = run(export.spoiled(alter), commands(export))
    assert done.returncode != 0
    assert "committed" not in done.stdout


def test_by_hand_another_checkpoint_is_noticed(export, run):
    def alter(files):
        lines = files["checkpoint"].split(b"\n")
        lines[2] = b"A" * 43 + b"="
        files["checkpoint"] = b"\n".join(lines)

    done = run(export.spoiled(alter), commands(export))
    assert done.returncode != 0
    assert "in the log" not in done.stdout
