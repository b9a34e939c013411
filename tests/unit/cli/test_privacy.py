"""`heptad privacy check`: how it ends, and how it shows what it found."""

import pytest
from typer.testing import CliRunner

from heptad.cli import privacy
from heptad.trials import meshes
from heptad.trials.privacy import check as checks
from heptad.trials.privacy.report import Link, Outcome, Report, Row, row_of

HOLDS = row_of("files", "nothing is there", "3 files", [])
BROKEN = row_of("files", "nothing is there", "3 files", ["log.jsonl, byte 9: mark, plain"])
NOT_CHECKED = Row("packets", "nothing is there", Outcome.NOT_CHECKED, "not permitted")


def link(server):
    cipher = "AES-128-GCM"
    return Link("ledger-1", server, 2, "TLS 1.3", "X25519MLKEM768", cipher, True, "on the wire")


def ran(monkeypatch, *rows, links=(), options=()):
    report = Report("home", list(rows), list(links))
    monkeypatch.setattr(checks, "check", lambda home, tell: report)
    return CliRunner().invoke(privacy.app, ["check", *options])


@pytest.mark.parametrize(
    ("rows", "status"), [((HOLDS,), 0), ((HOLDS, BROKEN), 1), ((HOLDS, NOT_CHECKED), 2)]
)
def test_it_ends_with_what_it_found(monkeypatch, rows, status):
    assert ran(monkeypatch, *rows).exit_code == status
    assert ran(monkeypatch, *rows, options=["--json"]).exit_code == status


def test_a_finding_is_shown_under_its_claim(monkeypatch):
    shown = ran(monkeypatch, BROKEN).output

    assert "broken      files: nothing is there\n" in shown
    assert "            - log.jsonl, byte 9: mark, plain\n" in shown


def test_links_that_differ_only_in_the_server_are_one_line(monkeypatch):
    shown = ran(monkeypatch, HOLDS, links=[link("replica-1"), link("replica-2")]).output

    assert "ledger-1 → replica-1, replica-2\n" in shown
    assert "X25519MLKEM768 (quantum-safe), AES-128-GCM; 4 connections, on the wire" in shown


def test_where_nothing_runs_nothing_is_checked(tmp_path):
    ended = CliRunner().invoke(privacy.app, ["check", "--home", str(tmp_path / "nowhere")])

    assert ended.exit_code == 2


def test_who_may_not_capture_is_told_why(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    meshes.new_home(tmp_path / "cell")
    monkeypatch.setattr(checks, "Capture", refuse)

    check = checks.Check(tmp_path / "cell", tell=print)
    with check._captured() as capture:
        assert "Operation not permitted" in capture
