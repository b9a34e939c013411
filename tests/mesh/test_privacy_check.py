"""`heptad privacy check` on real cells: a clean one, and one with a canary left behind."""

import base64
import json
import os
import subprocess
import sys

import pytest

from heptad.trials.privacy.canaries import Canaries
from heptad.trials.privacy.check import Check
from heptad.trials.privacy.report import Outcome

pytestmark = pytest.mark.timeout(240)

MAY_CAPTURE = os.geteuid() == 0


def test_a_cell_of_its_own_shows_nothing_and_lets_nobody_in():
    command = [sys.executable, "-m", "heptad.cli.main", "privacy", "check", "--own", "--json"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    report = json.loads(ended.stdout)
    outcomes = {row["outcome"] for row in report["rows"]}

    assert "broken" not in outcomes, report["rows"]
    assert ended.returncode == (2 if "not checked" in outcomes else 0)
    if not MAY_CAPTURE:
        return
    # All whom the services call by themselves: each replica the others, the ledger and the
    # validators all replicas, the gateway and the validators the ledger.
    links = {(link["client"], link["server"]) for link in report["links"]}
    replicas = [f"replica-{number}" for number in range(1, 8)]
    assert {(a, b) for a in ("ledger-1", "validator-1") for b in replicas} <= links
    assert {(a, b) for a in replicas for b in replicas if a < b} <= links | {
        (b, a) for a, b in links
    }
    assert {("gateway-1", "ledger-1"), ("validator-2", "ledger-1")} <= links
    assert {link["group"] for link in report["links"]} == {"X25519MLKEM768"}


def test_a_canary_that_was_left_in_the_home_is_named_by_file_and_byte(mesh):
    canaries = Canaries.fresh()
    leak = mesh.home / "replica-3" / "left-behind"
    leak.write_bytes(b"x" * 777 + base64.b64encode(canaries.text("leak").encode()))
    told = []
    try:
        report = Check(mesh.home, tell=told.append, canaries=canaries).attached()
    finally:
        leak.unlink()

    broken = [row for row in report.rows if row.outcome is Outcome.BROKEN]
    place = f"{mesh.home.name}/replica-3/left-behind"
    assert [row.findings for row in broken] == [(f"{place}, byte 777: mark, base64 (0)",)]
    assert report.exit_status() == 1
    assert canaries.mark not in report.encode() + "".join(told)
