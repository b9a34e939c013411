"""Who began before a file was changed does not know it."""

import json
import os
import time

import pytest
from unit.runtime.keyring.conftest import BEGAN

from heptad.crypto.keys import KeyRole
from heptad.runtime.keyring import batch, certificates, dated
from heptad.runtime.keyring.staleness import CLOCK_STEP_NS, stale

NAMES = ("replica-1", "replica-2", "validator-1", "ledger-1")


@pytest.fixture
def began(home):
    """All of them have begun after everything that lies there now."""

    def began(*names):
        newest_ns = max(path.stat().st_ctime_ns for path in home.rglob("*") if path.is_file())
        for name in names:
            ready = {"pid": os.getpid(), "begun_ns": newest_ns + CLOCK_STEP_NS + 1}
            (home / name / "ready.json").write_text(json.dumps(ready))
        while time.time_ns() <= newest_ns + 2 * CLOCK_STEP_NS:
            pass

    return began


def test_who_does_not_run_and_who_began_later_knows_all(home, began):
    assert stale(home, NAMES) == ()
    began(*NAMES)
    assert stale(home, NAMES) == ()


def test_everybody_that_runs_is_behind_a_new_cell_file(home, began):
    began("replica-1", "ledger-1", "gateway-1")
    dated.start(home, KeyRole.LOG, since="2026-06-01T00:00:00Z")
    assert stale(home, (*NAMES, "gateway-1")) == ("replica-1", "ledger-1")
    certificates.renew(home, ("gateway-1",), now=BEGAN)
    assert stale(home, (*NAMES, "gateway-1")) == ("replica-1", "ledger-1", "gateway-1")


def test_only_the_member_itself_is_behind_its_own_key_and_certificate(home, began):
    batch.start(home, "validator-1", now_ms=1_780_000_000_000, since="2026-06-01T00:00:00Z")
    began(*NAMES)
    batch.finish(home, "validator-1")
    certificates.renew(home, ("replica-2",), now=BEGAN)
    assert stale(home, NAMES) == ("replica-2", "validator-1")


def test_a_process_that_does_not_say_when_it_began_is_behind(home):
    (home / "replica-1" / "ready.json").write_text('{"pid": 1}')
    assert stale(home, NAMES) == ("replica-1",)


def test_everybody_is_behind_a_new_file_of_the_ca(home, began):
    began("replica-1", "gateway-1")
    (home / "pki" / "ca.pem").write_bytes((home / "pki" / "ca.pem").read_bytes() * 2)
    assert stale(home, (*NAMES, "gateway-1")) == ("replica-1", "gateway-1")
