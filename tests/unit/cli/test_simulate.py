"""`heptad simulate` runs, replays, and says how to see a failure again."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.cli.simulate import Lines
from heptad.simulation.scenario import Scenario, Submit
from heptad.simulation.scenario_file import load, save


def call(*arguments):
    words = ["simulate", *(str(argument) for argument in arguments)]
    return CliRunner().invoke(build(words), words)


def test_a_campaign_without_failures_ends_with_zero_and_tells_what_it_did():
    result = call("--seed", 3, "--histories", 3, "--members", 4, "--workers", 1, "--json")
    report = json.loads(result.stdout)

    assert result.exit_code == 0
    assert report["histories"] == 3
    assert report["first_seed"] == 3
    assert report["rounds"] > 0
    assert report["counts"]["messages sent"] > 0
    assert report["failure"] is None


def test_people_get_a_table():
    result = call("--seed", 3, "--histories", 2, "--members", 4, "--workers", 1, "--faults", "none")

    assert "Every promise was kept." in result.stdout
    assert "rounds per s" in result.stdout


def test_the_first_seed_is_said_before_anything_can_fail_and_in_json_only_in_the_report():
    plan = ("--seed", 3, "--histories", 1, "--members", 4, "--workers", 1)
    assert call(*plan).stderr.startswith("first seed 3\n")
    assert call(*plan, "--json").stderr == ""


def test_without_a_terminal_a_line_a_minute_tells_how_far_it_is():
    said = []
    lines = Lines(said.append)
    for passed_s in (1, 59, 61, 100, 121, 200):
        lines.tell("5 histories", passed_s)
    assert said == [f"5 histories in {passed_s} s" for passed_s in (61, 121, 200)]


def test_a_failure_ends_with_one_and_can_be_seen_again(tmp_path):
    result = call("--seed", 0, "--histories", 30, "--members", 4, "--twins", 2, "--faults", "twins",
                  "--workers", 1, "--out", tmp_path, "--json")  # fmt: skip
    failure = json.loads(result.stdout)["failure"]
    assert result.exit_code == 1
    assert failure["broken"] == "fork"

    replayed = call(*shlex.split(failure["replay"])[2:])
    assert replayed.exit_code == 1
    assert "Broken: fork" in replayed.stdout
    assert "proposal round" in replayed.stdout

    again = call(*shlex.split(failure["again"])[2:], "--out", tmp_path, "--workers", 1)
    assert again.exit_code == 1


def test_a_failure_can_be_thinned_out(tmp_path):
    result = call("--seed", 0, "--histories", 30, "--members", 4, "--twins", 2, "--faults", "twins",
                  "--workers", 1, "--out", tmp_path, "--json")  # fmt: skip
    path = json.loads(result.stdout)["failure"]["scenario"]
    thin = call("--scenario", path, "--shrink", "--out", tmp_path / ".", "--json")

    assert thin.exit_code == 1
    assert len(load(tmp_path / path).actions) < 60


def test_a_transcript_of_a_seed_is_printed():
    result = call("--seed", 3, "--members", 4, "--faults", "none", "--transcript")

    assert result.exit_code == 0
    assert "commits up to" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--faults", "gremlins"], "gremlins"),
        (["--members", "4", "--twins", "5"], "5 twins of 4"),
        (["--scenario", "absent.toml"], "absent.toml"),
        (["--histories", "0"], "greater than"),
    ],
)
def test_what_cannot_be_run_ends_with_two(arguments, said):
    result = call(*arguments)

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_scenario_that_names_strangers_or_makes_no_sense_ends_with_two(tmp_path):
    path = tmp_path / "s.toml"
    save(Scenario(seed=1, actions=(Submit(1, "validator-9", 1),)), path)
    assert call("--scenario", path).exit_code == 2

    path.write_text("sed = 1")
    assert call("--scenario", path).exit_code == 2
