"""The doctor: what it must notice, each in a home that was healthy a moment ago."""

import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heptad.cli import main
from heptad.runtime.checkup import machine
from heptad.runtime.checkup.findings import Finding, Verdict
from heptad.runtime.checkup.home import check_home
from heptad.runtime.checkup.machine import check_disks, check_domains
from heptad.runtime.checkup.running import check_running
from heptad.runtime.config import Cell, load_cell
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan
from heptad.runtime.version import VERSION

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cell]:
    home = tmp_path_factory.mktemp("doctor") / "cell"
    return home, create_home(home, GenesisPlan(ports=PortPlan(20_000)), now=NOW)


def told(findings: Iterator[Finding], verdict: Verdict) -> list[str]:
    return [f"{each.area}: {each.detail}" for each in findings if each.verdict is verdict]


def of_home(made: tuple[Path, Cell], *, now: datetime = NOW) -> Iterator[Finding]:
    return check_home(*made, now=now)


def test_a_fresh_home_is_healthy(made) -> None:
    assert {finding.verdict for finding in of_home(made)} == {Verdict.OK}


def test_a_key_that_others_may_read_is_a_failure(made) -> None:
    key = made[0] / "replica-2" / "keys" / "vote.pem"
    key.chmod(0o644)
    try:
        assert told(of_home(made), Verdict.FAIL) == [
            "keys: readable by others: replica-2/keys/vote.pem"
        ]
    finally:
        key.chmod(0o600)


def test_a_missing_or_broken_key_is_a_failure(made) -> None:
    key = made[0] / "ledger-1" / "keys" / "log.pem"
    content = key.read_bytes()
    try:
        key.write_bytes(b"rubbish")
        assert "ledger-1/keys/log.pem" in told(of_home(made), Verdict.FAIL)[0]
        key.unlink()
        assert told(of_home(made), Verdict.FAIL) == ["keys: ledger-1/keys/log.pem is missing"]
    finally:
        key.write_bytes(content)
        key.chmod(0o600)


def test_a_policy_of_another_cell_is_warned_of(made) -> None:
    path = made[0] / "policy"
    content = path.read_bytes()
    try:
        path.write_bytes(content.replace(b"5", b"4", 1))
        assert len(told(of_home(made), Verdict.WARN)) == 1
    finally:
        path.write_bytes(content)


def test_a_configuration_with_a_mistake_is_a_failure_that_names_it(made) -> None:
    path = made[0] / "gateway-1" / "config.toml"
    content = path.read_text()
    try:
        path.write_text(content.replace("connections_max = ", "connexions_max = "))
        [failure] = told(of_home(made), Verdict.FAIL)
        assert "connexions_max" in failure
    finally:
        path.write_text(content)


@pytest.mark.parametrize(("days", "verdict"), [(380, Verdict.WARN), (400, Verdict.FAIL)])
def test_certificates_are_looked_at_before_they_expire(made, days: int, verdict: Verdict) -> None:
    found = told(of_home(made, now=NOW + timedelta(days=days)), verdict)
    assert len(found) == 11
    assert all(line.startswith("certificates: that of ") for line in found)


@pytest.mark.parametrize(
    ("domains", "verdict"),
    [("aabbccd", Verdict.OK), ("aaabbcc", Verdict.WARN), ("aaaaaaa", Verdict.WARN)],
)
def test_a_domain_may_hold_no_more_replicas_than_may_fail(made, domains, verdict) -> None:
    cell = made[1]
    replicas = [replace(r, domain=d) for r, d in zip(cell.replicas, domains, strict=True)]
    assert check_domains(replace(cell, replicas=tuple(replicas))).verdict is verdict


@pytest.mark.parametrize(
    ("free", "verdict"), [(0.5, Verdict.OK), (0.05, Verdict.WARN), (0.01, Verdict.FAIL)]
)
def test_a_disk_that_fills_is_told_before_and_when_it_is_full(
    made, monkeypatch, free: float, verdict: Verdict
) -> None:
    monkeypatch.setattr(machine, "disk_of", lambda _folder: (free * 1e9, 1e9))
    first, shared = check_disks(*made)
    assert first.verdict is verdict
    assert "7 replicas share one disk" in shared.detail


class Listener:
    """Somebody's metrics; `lines` may be changed."""

    def __init__(self) -> None:
        self.lines = [f'heptad_build_info{{version="{VERSION}"}} 1.0', "heptad_ready 1.0"]
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = "\n".join(told.lines).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def listeners() -> Iterator[tuple[Listener, Listener]]:
    pair = Listener(), Listener()
    yield pair
    for listener in pair:
        listener.close()


def running(listeners: tuple[Listener, Listener]) -> list[Finding]:
    names = ("validator-1", "replica-1")
    addresses = (listener.address for listener in listeners)
    return list(check_running(dict(zip(names, addresses, strict=True))))


def test_members_that_are_well_are_told_to_be(listeners) -> None:
    listeners[0].lines.append("validator_clock_offset_seconds 0.004")
    listeners[1].lines.append("consensus_follows_only 0.0")
    assert {finding.verdict for finding in running(listeners)} == {Verdict.OK}


@pytest.mark.parametrize(
    ("line", "verdict", "words"),
    [
        ("consensus_follows_only 1.0", Verdict.FAIL, "signs nothing"),
        ("consensus_stranded 1.0", Verdict.FAIL, "nobody gives it what it lacks"),
        ("consensus_charges_proven 2.0", Verdict.FAIL, "proven misbehaviour"),
        ("validator_clock_offset_seconds -3.5", Verdict.WARN, "off by -3.50 s"),
    ],
)
def test_what_a_member_says_of_itself_is_heard(listeners, line, verdict, words) -> None:
    listeners[0].lines.append(line)
    [found] = told(iter(running(listeners)), verdict)
    assert words in found
    assert "validator-1" in found


def test_a_member_that_is_not_ready_or_silent_is_a_failure(listeners) -> None:
    listeners[0].lines[1] = "heptad_ready 0.0"
    assert told(iter(running(listeners)), Verdict.FAIL) == [
        "members: validator-1 run and are not ready"
    ]
    found = check_running({"validator-1": "127.0.0.1:9", "replica-1": listeners[1].address})
    assert told(found, Verdict.FAIL) == ["members: no answer from validator-1"]


def test_two_versions_in_one_cell_are_warned_of(listeners) -> None:
    listeners[0].lines[0] = 'heptad_build_info{version="0.0.9"} 1.0'
    [found] = told(iter(running(listeners)), Verdict.WARN)
    assert "1 of 0.0.9" in found


def test_the_archive_holds_no_secret_and_nobodys_data(made, tmp_path: Path) -> None:
    home, cell = made
    subject = f"{cell.code}-{'a' * 26}"
    secrets = [subject, "jane@example.org", "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln"]
    log = home / "replica-1" / "log.jsonl"
    log.write_text(json.dumps({"event": "slip", "said": secrets}) + "\n")
    (home / "up.jsonl").write_text((home / "pki" / "ca.key").read_text())
    try:
        out = tmp_path / "debug.zip"
        arguments = ["debug", "zip", "--home", str(home), "--out", str(out)]
        result = CliRunner().invoke(main.build(arguments), arguments)
        assert result.exit_code == 0, result.output
        with zipfile.ZipFile(out) as archive:
            texts = {name: archive.read(name).decode() for name in archive.namelist()}
        assert "slip" in texts["logs/replica-1.jsonl"]
        assert "doctor.json" in texts
        whole = "\n".join(texts.values())
        for secret in [*secrets, "PRIVATE KEY"]:
            assert secret not in whole
        for key in home.rglob("*.key"):
            assert key.read_text().splitlines()[1] not in whole
        assert not [name for name in texts if "keys/" in name or "/data/" in name]
        again = CliRunner().invoke(main.build(arguments), arguments)
        assert again.exit_code != 0  # An archive is never written over.
    finally:
        log.unlink()
        (home / "up.jsonl").unlink()


def test_the_doctor_ends_with_1_where_something_fails(made) -> None:
    home = made[0]
    arguments = ["doctor", "--home", str(home), "--json"]
    app = main.build(arguments)
    healthy = CliRunner().invoke(app, arguments)
    assert healthy.exit_code == 0, healthy.output
    assert {row["area"] for row in json.loads(healthy.stdout)} >= {"keys", "disks", "members"}
    key = home / "replica-2" / "tls.key"
    key.chmod(0o640)
    try:
        assert CliRunner().invoke(app, arguments).exit_code == 1
    finally:
        key.chmod(0o600)
    assert load_cell(home) == made[1]
