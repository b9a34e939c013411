"""`heptad export` and `heptad verify EXPORT`: who asks, what is kept, and what is found."""

import asyncio
import io
import json
import stat
import zipfile

import pytest
from unit.cli.test_request_commands import ORIGIN, SUBJECT, problem, run, serving
from unit.exports import conftest as exports

from heptad.client.export_file import save_export, whole_file
from heptad.crypto.requests import parse_request
from heptad.model.exporting import ExportBegun, ExportChunk, OfficersExport
from heptad.model.problems import Problem

EXPORT = ("GET", "/v1/subjects/me/export")


@pytest.fixture
def gateway():
    with serving() as fake:
        yield fake


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr("heptad.cli.export._PAUSE_S", 0.001)


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "alice.jwk"
    assert run("keygen", "--out", path).exit_code == 0
    content = {"subject_id": SUBJECT, "origin": ORIGIN, "kid": "k" * 43}
    path.with_suffix(".subject").write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def archive():
    return exports.made(*exports.filled()).data


@pytest.fixture
def kept(tmp_path, archive):
    """An export and the policy to judge it by."""
    path, policy = tmp_path / "export.zip", tmp_path / "policy"
    path.write_bytes(archive)
    policy.write_bytes(exports.POLICY.format())
    return path, policy


# As the subject.


def test_a_subject_takes_its_data_with_its_own_key(gateway, key, tmp_path, archive):
    gateway.answers[EXPORT] = [(200, archive)]
    out = tmp_path / "me.zip"
    result = run("export", "--key", key, "--out", out, "--url", gateway.url, "--json")
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == archive
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert json.loads(result.stdout)["bytes"] == len(archive)
    [(_, _, headers, _)] = gateway.heard
    scheme, _, jws = headers["Authorization"].partition(" ")
    request = parse_request(jws.encode())
    assert scheme == "Heptad"
    assert (request.iss, request.aud) == (SUBJECT, ORIGIN)
    assert (request.svc, request.act, request.data) == ("heptad", "subject.export", {})


def test_the_next_part_is_asked_for_by_its_index(gateway, key, tmp_path, archive):
    gateway.answers[EXPORT] = [(200, archive)]
    out = tmp_path / "me.zip"
    run("export", "--key", key, "--out", out, "--url", gateway.url, "--from-index", "77")
    jws = gateway.heard[0][2]["Authorization"].partition(" ")[2]
    assert parse_request(jws.encode()).data == {"from_index": 77}


def test_until_it_is_committed_the_same_request_is_sent_again(gateway, key, tmp_path, archive):
    gateway.answers[EXPORT] = [(202, {"state": "PENDING"}), (202, {}), (200, archive)]
    out = tmp_path / "me.zip"
    assert run("export", "--key", key, "--out", out, "--url", gateway.url).exit_code == 0
    assert len({heard[2]["Authorization"] for heard in gateway.heard}) == 1
    assert len(gateway.heard) == 3


def test_what_never_commits_ends_with_1_and_leaves_nothing(gateway, key, tmp_path):
    gateway.answers[EXPORT] = [(202, {"state": "PENDING"})]
    result = run("export", "--key", key, "--out", tmp_path / "x.zip", "--url", gateway.url,
                 "--wait", "0")  # fmt: skip
    assert result.exit_code == 1
    assert "deadline_exceeded" in result.stderr
    assert not list(tmp_path.glob("*x.zip*"))


def test_a_refusal_is_told_and_leaves_nothing(gateway, key, tmp_path):
    gateway.answers[EXPORT] = [(429, problem("export_rate_limited"))]
    result = run("export", "--key", key, "--out", tmp_path / "x.zip", "--url", gateway.url)
    assert result.exit_code == 1
    assert "export_rate_limited" in result.stderr
    assert not list(tmp_path.glob("*x.zip*"))


def test_a_file_that_is_there_is_not_written_over(gateway, key, tmp_path, archive):
    gateway.answers[EXPORT] = [(200, archive)]
    out = tmp_path / "me.zip"
    out.write_text("mine")
    assert run("export", "--key", key, "--out", out, "--url", gateway.url).exit_code == 2
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--key", "a", "--profile", "b"),
        ("--profile", "b"),
        ("--profile", "b", "--subject", "s"),
        ("--profile", "b", "--reason", "r"),
        ("--key", "a", "--profile", "b", "--subject", "s", "--reason", "r"),
    ],
)
def test_who_asks_must_be_said(arguments):
    assert run("export", *arguments).exit_code == 2


# As an officer.


def test_an_officer_asks_with_a_profile_and_a_reason(tmp_path, monkeypatch):
    heard = []

    class Officer:
        def __init__(self, profile):
            heard.append(profile)

        async def __aenter__(self):
            return self

        async def __aexit__(self, *error):
            pass

        async def export(self, call, *, to, tell):
            heard.append(call)
            tell(1, 2)
            to.write_bytes(b"zip")
            return ExportBegun(call.subject_id, 3, 9)

    monkeypatch.setattr("heptad.client.connect_officer", Officer)
    result = run("export", "--profile", tmp_path, "--subject", SUBJECT, "--reason", "a letter",
                 "--ground", "Art. 15", "--out", tmp_path / "o.zip", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert heard == [tmp_path, OfficersExport(SUBJECT, "a letter", "Art. 15", 0)]
    assert json.loads(result.stdout)["recorded_at_index"] == 9


async def parts_of(*parts):
    for part in parts:
        if isinstance(part, Problem):
            raise part
        yield part


def test_an_export_that_breaks_off_leaves_no_file(tmp_path):
    begun, chunk = ExportBegun(SUBJECT, 3, 9), ExportChunk(b"PK", 1, 2)
    path = tmp_path / "o.zip"
    with pytest.raises(Problem):
        asyncio.run(save_export(parts_of(begun, chunk, Problem("subject_erased", "x")), path))
    assert list(tmp_path.iterdir()) == []
    told = []
    parts = parts_of(begun, chunk, chunk)
    asyncio.run(save_export(parts, path, tell=lambda *progress: told.append(progress)))
    assert path.read_bytes() == b"PKPK"
    assert told == [(1, 2), (1, 2)]


def test_a_file_that_is_not_whole_has_no_name(tmp_path):
    path = tmp_path / "a"
    with whole_file(path) as file:
        file.write(b"x")
        assert not path.exists()
    assert path.read_bytes() == b"x"


# Checking it.


def test_a_good_export_is_valid_and_its_entries_are_counted(kept):
    path, policy = kept
    result = run("verify", path, "--policy", policy)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("VALID\n")
    assert "1 ACCESS, 1 EVENT, 1 EXPORT, 4 REQUEST, 1 SUBJECT_REGISTERED" in result.stdout
    assert "NOT judged" in result.stdout
    said = json.loads(run("verify", path, "--policy", policy, "--json").stdout)
    assert said["valid"]
    assert said["kinds"]["EVENT"] == 1


def test_a_changed_export_is_invalid(kept, archive):
    path, policy = kept
    changed = exports.Export(None, "", archive).spoiled(
        lambda files: files.update({"data.csv": b"x"})
    )
    path.write_bytes(changed.data)
    result = run("verify", path, "--policy", policy)
    assert result.exit_code == 1
    assert result.stdout.endswith("\nINVALID\n")


def test_an_archive_cannot_write_over_its_verdict(kept, archive):
    """In a terminal an escape sequence would clear the line, or paint another one."""
    path, policy = kept
    changed = exports.Export(None, "", archive).spoiled(lambda files: None)
    with zipfile.ZipFile(io.BytesIO(changed.data)) as before:
        files = {name: before.read(name) for name in before.namelist()}
    manifest = json.loads(files["manifest.json"])
    manifest |= {"subject": "\x1b[2J\rVALID\x1b[8m", "state": "complete\n\nVALID\n"}
    files["manifest.json"] = json.dumps(manifest).encode()
    path.write_bytes(exports.zipped({"\x1b[2Ja": b"", **files}))
    result = run("verify", path, "--policy", policy)
    assert result.exit_code == 1
    assert not set("\x1b\r") & set(result.stdout)
    assert "VALID" not in result.stdout.splitlines()


def test_an_archive_that_is_no_export_is_invalid_and_says_why(kept):
    path, policy = kept
    path.write_bytes(exports.zipped({"a": b"b"}))
    result = run("verify", path, "--policy", policy, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"valid": False, "reason": "it holds no manifest.json"}


def test_an_export_is_judged_by_a_policy(kept, tmp_path):
    path, _ = kept
    cell = tmp_path / "cell.toml"
    cell.write_text("")
    assert run("verify", path, "--cell", cell).exit_code == 2
