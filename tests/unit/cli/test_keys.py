"""`heptad keys`: what it shows, how it ends, and rotations where nothing is run from here."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from heptad.cli import main
from heptad.crypto.jwk import jwk_of
from heptad.crypto.keys import P256Key
from heptad.runtime.config import cell_digest, load_cell
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan
from heptad.transparency.policy import fingerprint


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    home = tmp_path_factory.mktemp("keys") / "home"
    create_home(home, GenesisPlan(PortPlan(7700)), now=datetime.now(UTC))
    return home


@pytest.fixture
def home(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "home")


@pytest.fixture
def run(home):
    """Exit code and output; as JSON if it was asked for."""

    def run(*words):
        arguments = ["keys", *words, "--home", str(home)]
        result = CliRunner().invoke(main.build(arguments), arguments)
        if "--json" in words and result.exit_code != 2:
            return result.exit_code, json.loads(result.output)
        return result.exit_code, result.output

    return run


def aged(home, days):
    """Let the home be so old: keys of its genesis are as old as its CA."""
    shutil.rmtree(home)
    create_home(home, GenesisPlan(PortPlan(7700)), now=datetime.now(UTC) - timedelta(days=days))


def test_a_new_home_has_nothing_due(run):
    code, shown = run()
    assert code == 0
    assert shown.rstrip().endswith("nothing is due")
    assert "validator-2" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_is_due_is_named_and_ends_with_1(home, run):
    aged(home, 340)
    code, shown = run()
    assert code == 1
    assert "DUE" in shown
    code, said = run("--json")
    due = {(key["holder"], key["duty"]) for key in said["keys"] if key["overdue"]}
    assert code == 1
    assert said["due"] == len(due)
    assert {duty for _, duty in due} == {"tls"}


def test_ages_are_those_of_the_home(home, run):
    aged(home, 40)
    assert run()[0] == 0
    (home / "keys.toml").write_text("batch_days_max = 30\n")
    code, said = run("--json")
    assert code == 1
    assert {key["duty"] for key in said["keys"] if key["overdue"]} == {"batch"}
    (home / "keys.toml").write_text("batch_days_max = 0\n")
    assert run()[0] == 2


def test_a_step_says_what_people_have_to_do_elsewhere(home, run):
    code, said = run("rotate", "validator", "1", "--start", "--json")
    assert code == 0
    assert said["to_restart"] == [*(f"replica-{n}" for n in range(1, 8)), "ledger-1"]
    assert said["restarted"] == []
    assert "before --finish" in said["by_hand"][0]
    assert said["cell_sha256"] == cell_digest(home).hex()
    assert said["policy_sha256"] == fingerprint((home / "policy").read_bytes())
    assert said["changed"]
    assert not run("rotate", "validator", "1", "--start", "--json")[1]["changed"]


def test_a_key_does_not_take_over_while_a_member_here_does_not_know_it(home, run):
    (home / "replica-3" / "ready.json").write_text('{"begun_ns": 1}')
    assert run("rotate", "validator", "1", "--start")[0] == 0
    code, shown = run("rotate", "validator", "1", "--finish")
    assert code == 2
    assert "restart them first: replica-3" in shown
    assert (home / "validator-1" / "keys" / "batch.next.pem").exists()
    (home / "replica-3" / "ready.json").unlink()
    assert run("rotate", "validator", "1", "--finish")[0] == 0


def test_a_home_that_does_not_run_does_both_steps_at_once(home, run):
    for words in (("validator", "2"), ("attestation",)):
        assert run("rotate", *words)[0] == 0
    code, said = run("--json")
    assert code == 0
    assert {(key["holder"], key["duty"]) for key in said["keys"] if key["state"] == "retired"} == {
        ("validator-2", "batch"),
        ("ledger-1", "attestation"),
    }


@pytest.mark.parametrize(
    "words", [("log",), ("service", "tax-portal"), ("log", "--start", "--finish")]
)
def test_what_needs_people_in_between_is_done_in_single_steps(home, run, words):
    before = (home / "cell.toml").read_bytes()
    code, shown = run("rotate", *words)
    assert code == 2
    assert "say which step" in shown
    assert (home / "cell.toml").read_bytes() == before


def test_a_service_brings_its_public_key_and_retires_the_old_one_at_a_date(home, run, tmp_path):
    key = P256Key.generate().public
    (tmp_path / "key.jwk").write_text(json.dumps({**jwk_of(key), "kid": key.kid}))
    shutil.rmtree(home / "clients" / "tax-portal")
    words = ("rotate", "service", "tax-portal")
    assert run(*words, "--start", "--jwk", str(tmp_path / "key.jwk"))[0] == 0
    assert run(*words, "--finish", "--at", "2027-01-01T00:00:00Z")[0] == 0
    old, new = load_cell(home).service("tax-portal").keys
    assert (old.retired, new.kid, new.retired) == ("2027-01-01T00:00:00Z", key.kid, "")
    (tmp_path / "key.jwk").write_text("[]")
    assert run(*words, "--start", "--jwk", str(tmp_path / "key.jwk"))[0] == 2


@pytest.mark.parametrize(
    "words",
    [("validator", "9"), ("service", "nobody", "--start"), ("tls", "nobody"), ("roll-out",)],
)
def test_what_is_not_here_cannot_be_rotated(home, run, words):
    before = (home / "cell.toml").read_bytes()
    assert run("rotate", *words)[0] == 2
    assert (home / "cell.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "absent"), [(("validator", "1"), "replica-5"), (("attestation",), "validator-2")]
)
def test_both_steps_at_once_need_everybody_in_one_home(home, run, words, absent):
    shutil.rmtree(home / absent)
    before = (home / "cell.toml").read_bytes()
    code, shown = run("rotate", *words)
    assert code == 2
    assert absent in shown
    assert (home / "cell.toml").read_bytes() == before
    code, said = run("rotate", *words, "--start", "--json")
    assert code == 0
    assert absent in said["to_restart"]


def test_two_commands_do_not_change_keys_at_once(home, run):
    from heptad.runtime.keyring.cell_file import alone

    with alone(home):
        code, shown = run("rotate", "log", "--start")
    assert code == 2
    assert "another command" in shown
