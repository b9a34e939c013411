"""`heptad faults` says how it went by its exit code, and never passes over what it cannot do."""

import json

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.trials.faults import campaign
from heptad.trials.faults.machinery import NotPossibleHere
from heptad.trials.faults.trial import FAILED, HOLDS, Finding

runner = CliRunner()


def faults(*arguments):
    return runner.invoke(build(["faults"]), ["faults", *arguments])


@pytest.fixture
def played(monkeypatch):
    """Let faults come out as the test says, without a cell."""

    def play(**outcomes):
        def run_faults(names, _pace, told):
            for name in names:
                told(Finding(name, outcomes[name], True, detail="seen"))

        monkeypatch.setattr(campaign, "run_faults", run_faults)

    return play


def test_a_kept_promise_is_0(played):
    played(sigkill=HOLDS)
    done = faults("sigkill")
    assert done.exit_code == 0
    assert "holds" in done.output


def test_a_broken_promise_is_1_also_beside_what_is_not_possible(played):
    played(sigkill=FAILED, ring="not possible here")
    assert faults("sigkill", "ring").exit_code == 1


def test_an_unknown_fault_is_2_and_nothing_is_run():
    done = faults("earthquake")
    assert done.exit_code == 2
    assert "no fault earthquake" in done.output


def test_what_this_machine_cannot_do_is_said_and_is_3(monkeypatch):
    def wrapper_of(_ground):
        raise NotPossibleHere("unshare --net true: Operation not permitted")

    monkeypatch.setattr(campaign, "wrapper_of", wrapper_of)
    done = faults("ring", "--json")
    assert done.exit_code == 3
    [finding] = json.loads(done.output)
    assert (finding["fault"], finding["outcome"]) == ("ring", "not possible here")
    assert finding["detail"] == "unshare --net true: Operation not permitted"


def test_a_stage_that_dies_is_a_failure_and_not_a_silence(monkeypatch):
    monkeypatch.setattr(campaign, "wrapper_of", lambda _ground: ("false",))
    done = faults("ring", "--json")
    assert done.exit_code == 1
    [finding] = json.loads(done.output)
    assert finding["broken"] == ["the stage ended with 1 before this was judged"]


def test_every_fault_is_listed_with_what_a_cell_owes():
    done = faults("--list")
    assert done.exit_code == 0
    assert len(done.output.splitlines()) == len(campaign.names_of_all())
