"""`heptad model` prints what came out of each configuration, and ends with 1 if one surprises."""

import json

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.specification import table
from heptad.specification.table import ALL, FORK, FOUR, Configuration

FAILS = table.MUST_FAIL[0]
HOLDS = Configuration("three rounds", ALL, FOUR, "rounds", 3)


def call(*arguments):
    words = ["model", "--short", *(str(argument) for argument in arguments)]
    return CliRunner().invoke(build(words), words)


@pytest.fixture
def rows(monkeypatch):
    """Sets the table's rows."""
    return lambda *rows: monkeypatch.setattr(table, "CONFIGURATIONS", rows)


def test_the_table_ends_with_zero_if_every_row_is_as_it_must_be(rows):
    rows(HOLDS, FAILS)
    result = call("--walks", 2, "--seed", 1, "--json")
    report = json.loads(result.stdout)

    assert result.exit_code == 0
    assert [row["must"] for row in report["configurations"]] == ["hold", "fail"]
    assert report["configurations"][0]["states"] > 50
    assert report["walks"]["walks"] == 2
    assert report["walks"]["violation"] is None


@pytest.mark.parametrize("surprise", [
    Configuration("should fail and holds", ALL, FOUR, "rounds", 3, FORK),
    Configuration("should hold and fails", FAILS.rules, FOUR, "rounds", 3),
])  # fmt: skip
def test_a_surprise_ends_with_one(rows, surprise):
    rows(HOLDS, surprise)
    result = call("--walks", 0)

    assert result.exit_code == 1
    assert "NOT AS" in result.stdout


def test_counter_examples_are_printed_step_by_step(rows):
    rows(FAILS)
    result = call("--walks", 0, "--traces")

    assert "  1. member 1 votes in round 1" in result.stdout
    assert "with all rules: step 4 is refused: round 1 <= last voted 1" in result.stdout
