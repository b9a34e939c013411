"""The command line's frame: a quick table, lazy commands, one way to fail."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from heptad.cli import main
from heptad.cli.exits import told
from heptad.model.problems import PROBLEMS, Problem
from heptad.runtime.errors import ConfigInvalidError, SupervisionFault

runner = CliRunner()


def run(*arguments: str) -> tuple[int, str, str]:
    result = runner.invoke(main.build(arguments), list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_help_lists_every_command_that_is_installed_with_its_line() -> None:
    status, out, _ = run("--help")
    assert status == 0
    for row in main.COMMANDS:
        assert row.name in out
    assert "Start a whole cell on this machine" in out


def test_help_imports_no_command_and_nothing_heavy() -> None:
    program = (
        "import sys; from heptad.cli import main; sys.argv = ['heptad', '--help']\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith(('heptad.cli.', 'grpc',"
        " 'heptad.runtime', 'cryptography', 'nacl', 'aiohttp', 'opentelemetry'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "['heptad.cli.main']"


def test_a_command_that_is_not_known_is_an_error_of_use() -> None:
    status, _, err = run("dance")
    assert status == 2
    assert "No such command 'dance'" in err


@pytest.mark.parametrize("row", main.COMMANDS, ids=lambda row: row.name)
def test_every_command_explains_itself(row: main.Row) -> None:
    status, out, _ = run(row.name, "--help")
    assert status == 0
    assert f"heptad {row.name}" in out


def test_the_version_is_told() -> None:
    status, out, _ = run("--version")
    assert (status, out.split()[0]) == (0, "heptad")


def test_explain_says_what_a_code_means() -> None:
    status, out, _ = run("explain", "request_expired")
    assert status == 0
    assert "The request has expired." in out
    assert "Sign a new request and send that." in out
    assert "401" in out


def test_explain_without_a_code_lists_all() -> None:
    _, out, _ = run("explain")
    assert [line.split()[0] for line in out.splitlines()] == list(PROBLEMS)


def test_explain_speaks_json() -> None:
    one = json.loads(run("explain", "overloaded", "--json")[1])
    all_codes = json.loads(run("explain", "--json")[1])
    assert one["retry"] is True
    assert one in all_codes
    assert len(all_codes) == len(PROBLEMS)


def test_explain_of_a_misspelt_code_suggests_the_right_one() -> None:
    status, _, err = run("explain", "overloded")
    assert status == 2
    assert "did you mean overloaded?" in err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Problem("key_unknown", "no such kid"), 1, "key_unknown: no such kid\nRegister the"),
        (SupervisionFault("replica-1 does not stay up"), 1, "replica-1 does not stay up"),
        (ConfigInvalidError(("f: a: b", "f: c: d")), 2, "f: a: b\nf: c: d"),
        (FileNotFoundError(2, "No such file or directory", "k.pem"), 2, "k.pem: No such file"),
    ],
)
def test_failures_become_a_message_and_an_exit_code(
    error: Exception, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, told(as_json=False):
        raise error
    assert end.value.code == status
    assert capsys.readouterr().err.startswith(f"heptad: {message}")


def test_failures_are_json_where_json_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), told(as_json=True):
        raise Problem("key_unknown", "no such kid")
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "key_unknown"


def test_a_bug_is_not_dressed_up(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), told(as_json=True):
        raise ZeroDivisionError
    assert capsys.readouterr().err == ""
