"""`heptad …`: one table of commands, each imported only when it is called.

`heptad --help` shows the table without importing a command, so it answers at once, and a command
never pays for what another needs. A command is a module of this room, of the row's name, which
exports either a function `command` or a typer application `app`. It runs inside `exits.told`.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import typer


@dataclass(frozen=True, slots=True)
class Row:
    """A command: its name (also the module's, `-` becoming `_`) and one line of help."""

    name: str
    help: str

    @property
    def module(self) -> str:
        """The module that holds the command."""
        return f"heptad.cli.{self.name.replace('-', '_')}"


COMMANDS: Final = (
    Row("up", "Start a whole cell on this machine; makes it if there is none."),
    Row("init", "Make a cell's keys and configuration without starting it."),
    Row("down", "Stop the cell that runs in a home."),
    Row("status", "Show how the running cell is."),
    Row("drain", "Take a member out of service in order, or put it back."),
    Row("replica", "Restart replicas one by one: `heptad replica restart --all`."),
    Row("log-level", "Change how much members log while they run."),
    Row("doctor", "Check configuration, keys, disks, clocks, failure domains, versions."),
    Row("trace", "Show where the time of one traced request went, service by service."),
    Row("debug", "Gather what finds a fault, without secrets: `heptad debug zip`."),
    Row("scrape-targets", "Print where Prometheus finds the members."),
    Row("demo", "Drive a running cell as a citizen, a service and an auditor would."),
    Row("keys", "Show the keys of a cell, how old they are and what is due; exchange them."),
    Row("keygen", "Make a key to sign requests with."),
    Row("register", "Register a subject and its first key."),
    Row("subject-key", "Add, replace and revoke a subject's keys: `heptad subject-key add`, …"),
    Row("sign", "Sign a request and print the JWS."),
    Row("submit", "Sign and send a request, and wait until it is recorded."),
    Row("bundle", "Record many events of a service under one signature."),
    Row("receipt", "Fetch the receipt of a request."),
    Row("export", "Take out all that a cell holds about a subject, with proofs."),
    Row("entries", "List, count or follow the log's entries."),
    Row("evidence", "List or fetch the evidence of misbehaviour that the log holds."),
    Row("erase", "Erase a subject's data, at its word or an officer's; decide, hold, list."),
    Row("verify", "Check a receipt, a bundle, a certificate, evidence or an alarm, off line."),
    Row("audit", "Follow a log and raise alarms, with proofs, when anything is wrong."),
    Row("ledger", "Check, back up and restore the ledger: `heptad ledger fsck`, …"),
    Row("simulate", "Run consensus in a simulated, hostile world."),
    Row("privacy", "Try what a cell shows, and to whom: `heptad privacy check`, …"),
    Row("faults", "Break things on a running cell, under load, and check its history."),
    Row("hostile", "Let an evil member with real keys attack a running cell, and measure."),
    Row("model", "Check the protocol's rules exhaustively, and that each is needed."),
    Row("bench", "Measure the running cell."),
    Row("explain", "Explain an error code, or list them all."),
)


def build(arguments: Sequence[str]) -> typer.Typer:
    """The application for this command line: the called command in full, the others by name."""
    called = next((word for word in arguments if not word.startswith("-")), None)
    app = typer.Typer(
        name="heptad",
        help="A shared audit ledger that several authorities run together.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for row in COMMANDS:
        if row.name == called:
            _add(app, row)
        elif importlib.util.find_spec(row.module) is not None:
            app.command(row.name, help=row.help)(_only_named)
    return app


def _add(app: typer.Typer, row: Row) -> None:
    if importlib.util.find_spec(row.module) is None:
        return
    module = importlib.import_module(row.module)
    if hasattr(module, "app"):
        app.add_typer(module.app, name=row.name, help=row.help)
    else:
        from heptad.cli.dashed_ids import TakesIds

        help_text = module.command.__doc__ or row.help
        app.command(row.name, cls=TakesIds, help=help_text)(module.command)


def _only_named() -> None:
    """Stands in the table for a command that this command line does not call."""


def _version(wanted: bool) -> None:
    if wanted:
        from heptad.runtime.version import VERSION

        print(f"heptad {VERSION}")
        raise typer.Exit


def _options(
    _version_wanted: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_version, is_eager=True
    ),
) -> None:
    """A shared audit ledger that several authorities run together."""


def main() -> None:
    """The entry point of the `heptad` command."""
    build(sys.argv[1:])()


if __name__ == "__main__":
    main()
