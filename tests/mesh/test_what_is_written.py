"""What README, examples and commands promise, done as it is written there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from heptad.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()

pytestmark = pytest.mark.timeout(240)


def heptad(*arguments, cwd=None, code=0, feed=None):
    done = subprocess.run(
        [sys.executable, "-m", "heptad.cli.main", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        input=feed,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_every_command_that_is_written_down_exists():
    written = set(re.findall(r"heptad ([a-z]+)\b", README)) - {"is"}
    help_text = heptad("--help")

    assert written <= {row.name for row in COMMANDS}
    assert all(row.name in help_text for row in COMMANDS)


EACH_IN_A_PROCESS_OF_ITS_OWN = """
import os, sys
from heptad.cli import main
for row in main.COMMANDS:
    if os.fork() == 0:
        sys.argv = ["heptad", row.name, "--help"]
        main.main()
        sys.exit("it did not end")
    if os.wait()[1]:
        sys.exit(f"heptad {row.name} --help failed")
"""


def test_every_command_explains_itself_whatever_else_was_imported():
    """`tests/unit/cli` looks at each text, in a process that has imported everything."""
    program = [sys.executable, "-c", EACH_IN_A_PROCESS_OF_ITS_OWN]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: heptad ") == len(COMMANDS)


def test_the_ten_lines_for_an_internal_service_run_as_they_stand(mesh):
    example = ROOT / "docs" / "examples" / "service.py"
    profile = mesh.home / "clients" / "tax-portal"

    done = subprocess.run(
        [sys.executable, str(example), str(profile)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"entry (\d+) is in the log, proved by ([5-7]) replicas\n", done.stdout)
    assert found is not None, done.stdout


def test_a_citizens_way_through_the_shell(mesh, tmp_path):
    """The README's second box: keygen, register, sign, post, receipt, verify."""
    url = ("--url", mesh.gateway_url)
    heptad("keygen", "--out", "alice.jwk", cwd=tmp_path)
    heptad("register", "--key", "alice.jwk", *url, cwd=tmp_path)
    sign = ("--key", "alice.jwk", "--service", "tax-portal", "--action", "consent.grant")
    jws = heptad("sign", *sign, "--data", '{"scope": "2026"}', cwd=tmp_path)
    posted = subprocess.run(
        ["curl", "-sS", "--data-binary", "@-", "-H", "Content-Type: application/jose",
         f"{mesh.gateway_url}/v1/requests"],
        input=jws, check=True, capture_output=True, text=True,
    )  # fmt: skip
    recorded = json.loads(posted.stdout)
    assert recorded["state"] == "COMMITTED", recorded

    heptad("receipt", recorded["request_id"], "--out", "receipt.json", *url, cwd=tmp_path)
    judged = heptad("verify", "receipt.json", "--policy", mesh.home / "policy", cwd=tmp_path)
    assert judged.rstrip().endswith("VALID")
    assert f"index {recorded['index']}" in judged

    other = heptad("submit", *sign, *url, "--json", cwd=tmp_path)
    assert json.loads(other)["index"] > recorded["index"]
    denied = ("--key", "alice.jwk", "--service", "tax-portal", "--action", "world.dominate")
    heptad("submit", *denied, *url, cwd=tmp_path, code=1)


def test_the_demo_holds_from_beginning_to_end(tmp_path):
    """On a cell of its own, since it counts what is in the log."""
    told = json.loads(heptad("demo", "--home", tmp_path / "nothing", "--json"))

    assert told["holds"]
    assert len(told["steps"]) >= 15
    assert [step for step in told["steps"] if not step["holds"]] == []
    assert {step["who"] for step in told["steps"]} == {
        "citizen", "service", "officer", "auditor", "operator",
    }  # fmt: skip


def test_the_bench_measures_every_path_and_keeps_what_it_found(tmp_path):
    figures = json.loads(heptad("bench", "--quick", "--json", cwd=tmp_path))

    ways = {way["way"]: way for way in figures["ways"]}
    assert set(ways) == {"consensus", "bundles", "grpc", "http-batch", "http"}
    for way in ways.values():
        assert way["capacity"]["measured"]["achieved_per_s"] > 0
        assert way["half"]["measured"]["latencies"]["count"] > 0
        assert way["capacity"]["measured"]["refused"] == {}
        assert sum(way["capacity"]["cpu_us_per_op"].values()) > 0
    assert figures["mesh"]["ready_s"] > 0
    assert figures["mesh"]["idle_request"]["measured"]["latencies"]["count"] == 20
    assert len(list((tmp_path / ".heptad-bench").glob("*.json"))) == 1
