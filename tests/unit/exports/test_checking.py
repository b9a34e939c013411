"""Checking an export: nothing in it can be changed, left out or added unnoticed."""

import dataclasses
import json
from hashlib import sha256

import pytest

from heptad.crypto.bundles import ServiceKey
from heptad.crypto.keys import Ed25519Key
from heptad.exports import (
    AboutErased,
    ExportUnreadableError,
    Held,
    checking,
    erased_archive,
)


def resign(files):
    """Let the manifest name the files as they are now: the best that a forger can do."""
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = [
        {"name": name, "bytes": len(content), "sha256": sha256(content).hexdigest()}
        for name, content in files.items()
        if name != "manifest.json"
    ]
    files["manifest.json"] = json.dumps(manifest).encode()


def failed(report):
    return [finding.subject for finding in report.findings if not finding.holds]


def test_an_honest_export_holds_also_by_the_cells_keys(export, checked, kit):
    for keys in ({}, kit.keys):
        report = checked(export, **keys)
        assert report.holds, report.findings
        assert sum(report.kinds.values()) == len(export.log.indexes)


def test_a_file_that_was_changed_is_named(export, checked):
    for name in export.open().namelist():
        if name == "manifest.json":
            continue

        def change(files, name=name):
            files[name] = files[name][:-1] + b"?"

        report = checked(export.spoiled(change))
        assert failed(report) == ["files"], name
        assert name in report.findings[0].detail


@pytest.mark.parametrize("how", ["lost", "added"])
def test_a_file_too_few_or_too_many_is_named(export, checked, how):
    def change(files):
        if how == "lost":
            del files["data.csv"]
        else:
            files["virus.exe"] = b"x"

    report = checked(export.spoiled(change))
    assert failed(report) == ["files"]


def without_row(text, index):
    return b"\n".join(
        line for line in text.split(b"\n") if not line.startswith(b'{"index":%d,' % index)
    )


FORGERIES = {
    "a row says something else": (
        "data.json", lambda text: text.replace(b"consent.grant", b"consent.deny", 1), "entries",
    ),
    "a row is left out": ("data.json", lambda text: without_row(text, 3), "entries"),
    "the table says something else": (
        "data.csv", lambda text: text.replace(b"allowed", b"denied", 1), "data.csv",
    ),
    "an access is left out": (
        "accesses.json", lambda text: text.replace(b"dpo", b"nobody"), "accesses.json",
    ),
    "a private half is altered": (
        "receipts/000000000001.json",
        lambda text: text.replace(b'"payload": "ZX', b'"payload": "ZZ'), "entries",
    ),
    "a receipt is another's": (
        "receipts/000000000001.json", lambda text: text.replace(b"index 1\\n", b"index 3\\n"),
        "entries",
    ),
    "the head is another": (
        "checkpoint", lambda text: text.replace(b"\n13\n", b"\n14\n"), "signature",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_what_a_forger_changes_together_with_the_manifest_is_found(export, checked, name):
    path, change, subject = FORGERIES[name]

    def forge(files):
        before = files[path]
        files[path] = change(before)
        assert files[path] != before
        resign(files)

    report = checked(export.spoiled(forge))
    assert any(each.startswith(subject) for each in failed(report)), report.findings


def test_an_entry_left_out_everywhere_but_in_the_count_is_found(export, checked):
    def forge(files):
        del files["receipts/000000000003.json"]
        resign(files)

    assert "entries" in failed(checked(export.spoiled(forge)))


def test_a_receipt_that_no_row_shows_is_found(export, checked):
    def forge(files):
        files["receipts/000000000099.json"] = files["receipts/000000000003.json"]
        resign(files)

    assert failed(checked(export.spoiled(forge))) == ["entries"]


def test_an_entry_shown_under_the_index_of_another_is_found(export, checked):
    """Row and receipt agree, and the receipt is good: only its index tells."""

    def forge(files):
        files["receipts/000000000001.json"] = files["receipts/000000000003.json"]
        lines = files["data.json"].split(b"\n")
        third = next(line for line in lines if line.startswith(b'{"index":3,'))
        shown = third.replace(b'"index":3,', b'"index":1,').replace(
            b"000000000003", b"000000000001"
        )
        files["data.json"] = b"\n".join(
            shown if line.startswith(b'{"index":1,') else line for line in lines
        )
        resign(files)

    report = checked(export.spoiled(forge))
    [entries] = [finding for finding in report.findings if finding.subject == "entries"]
    assert "of another entry" in entries.detail


def test_an_export_of_another_log_is_refused(export, checked, kit):
    [log] = kit.POLICY.logs
    stranger = dataclasses.replace(log.key, public_key=Ed25519Key(b"z" * 32).public_key)
    policy = dataclasses.replace(kit.POLICY, logs=(dataclasses.replace(log, key=stranger),))
    assert "log" in failed(checked(export, policy=policy))


def test_an_entry_of_somebody_else_is_not_taken_for_the_subjects(checked, kit):
    log, _ = kit.filled()
    report = checked(kit.made(log, "kn-" + "b" * 26))
    assert failed(report) == ["entries"]
    assert "another subject's" in report.findings[-3].detail


def test_without_its_private_half_an_entry_is_still_proved(checked, kit):
    log, subject = kit.filled()
    log.helds[1] = Held(log.helds[1].index, log.helds[1].data)
    report = checked(kit.made(log, subject))
    assert report.holds
    assert "of 1 the private half is not held" in report.findings[-3].detail


def test_an_event_whose_service_never_signed_it_is_told(checked, kit, export):
    stranger = Ed25519Key(b"q" * 32).public
    report = checked(export, services={"tax-portal": {stranger.kid: ServiceKey(stranger)}})
    assert failed(report) == ["entries"]


def test_an_access_that_the_ledger_never_attested_is_told(checked, export):
    stranger = Ed25519Key(b"q" * 32).public
    report = checked(export, attestation={stranger.kid: stranger})
    assert failed(report) == ["entries"]
    assert "attestation" in report.findings[-3].detail


@pytest.mark.parametrize("data", [b"", b"PK", b"no archive at all"])
def test_what_is_no_archive_is_unreadable(export, tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    assert not checking.is_export(path)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"manifest.json": b"[]"},
        {"manifest.json": b'{"format":"heptad-export/v9"}'},
        {"manifest.json": b'{"format":"heptad-export/v1"}'},
        {"manifest.json": b'{"format":"heptad-export/v1","files":[{"name":"x"}]}'},
    ],
)
def test_an_archive_that_is_no_export_is_unreadable(export, checked, kit, files):
    with pytest.raises(ExportUnreadableError):
        checked(dataclasses.replace(export, data=kit.zipped(files)))


def test_an_archive_that_unpacks_to_more_than_it_says_is_not_read_to_its_end(export, checked):
    """A small file of zeros may unpack to gigabytes: no more than was said is read."""

    def bomb(files):
        manifest = json.loads(files["manifest.json"])
        files["data.csv"] = bytes(50_000_000)
        for file in manifest["files"]:
            if file["name"] == "data.csv":
                file["bytes"] = 10
        files["manifest.json"] = json.dumps(manifest).encode()

    assert failed(checked(export.spoiled(bomb))) == ["files"]


@pytest.mark.parametrize("certificate", [None, b"{}"])
def test_the_export_of_an_erased_subject_holds_and_says_so(export, checked, certificate):
    about = AboutErased("cell.example", "kn-" + "a" * 26, 1, "officer", "dpo", "x", certificate)
    report = checked(dataclasses.replace(export, data=erased_archive(about)))
    assert report.holds
    assert report.manifest["state"] == "erased"


def test_an_export_that_says_erased_may_hold_nothing_else(export, checked):
    def forge(files):
        manifest = json.loads(files["manifest.json"])
        files["manifest.json"] = json.dumps({**manifest, "state": "erased"}).encode()

    assert failed(checked(export.spoiled(forge))) == ["erased"]


def test_a_damaged_archive_is_unreadable(export, checked):
    middle = len(export.data) // 2
    data = export.data[:middle] + bytes(200) + export.data[middle + 200 :]
    try:
        report = checked(dataclasses.replace(export, data=data))
    except ExportUnreadableError:
        return
    assert not report.holds
