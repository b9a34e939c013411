"""`heptad keys`: which keys a home has, how old they are, what is due; and exchanging them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from heptad.cli import key_rotation
from heptad.cli.exits import EXIT_FAILED, told
from heptad.cli.up import HOME_OPTION

if TYPE_CHECKING:
    from heptad.runtime.keyring.inventory import KeyFact

app = typer.Typer(help="Show the keys of a home and what is due; exchange them.")
app.add_typer(key_rotation.app, name="rotate")

ROUTING_OVERDUE: Final = 2.0
"""A routing key of this many times its age was not replaced when it should have been."""

_BACKUP_KEYS_FILE: Final = "backup-keys.json"
_STYLES: Final = {"next": "yellow", "current": "green", "retired": "dim"}


@app.callback(invoke_without_command=True)
def keys(
    context: typer.Context,
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    retired: Annotated[
        bool, typer.Option("--retired", help="Show those too that only check what they signed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every key and certificate: whose, for what, since when, until when, and what is due.

    Ages are those of keys.toml in the home, or the defaults: signing, batch and attestation keys a
    year, log keys two years, certificates until 60 days before their end. Ends with 0 if nothing is
    due, 1 if something is, 2 if the home cannot be read.
    """
    if context.invoked_subcommand is not None:
        return
    home, now = home.absolute(), datetime.now(UTC)
    with told(as_json=as_json):
        from heptad.runtime.config.key_ages import load_key_ages
        from heptad.runtime.keyring.inventory import KeyState, inventory

        facts = [
            *inventory(home, ages=load_key_ages(home)),
            *_routing_key(home),
            *_backup_keys(home, as_json=as_json),
        ]
    shown = [fact for fact in facts if retired or fact.state is not KeyState.RETIRED]
    overdue = [fact for fact in facts if fact.is_overdue(now)]
    if as_json:
        print(json.dumps({"keys": [_members(fact, now) for fact in facts], "due": len(overdue)}))
    else:
        _print(shown, now)
        print(f"{len(overdue)} due" if overdue else "nothing is due")
    if overdue:
        raise typer.Exit(EXIT_FAILED)


def _routing_key(home: Path) -> "list[KeyFact]":
    """The vault's current routing key, from the ledger's metrics; nothing while it does not run."""
    from heptad.cli.status import asked
    from heptad.runtime.config import LedgerConfig, load_cell, load_node_config
    from heptad.runtime.keyring.inventory import KeyFact, KeyState

    name = load_cell(home).ledger.id
    if not (home / name).is_dir():
        return []
    config = load_node_config(LedgerConfig, home=home, name=name)
    exposition = asked(config.node.metrics, "/metrics") or b""
    made_s = _gauge(exposition, b"vault_routing_key_time_seconds")
    if made_s is None:
        return []
    created = datetime.fromtimestamp(made_s, UTC)
    due = created + timedelta(seconds=config.routing_key_s_max * ROUTING_OVERDUE)
    remark = "the ledger replaces it by itself"
    return [KeyFact(name, "routing", KeyState.CURRENT, "", created, due, remark)]


def _gauge(exposition: bytes, name: bytes) -> float | None:
    for line in exposition.splitlines():
        if line.startswith(name) and not line.startswith(b"#"):
            return float(line.rsplit(b" ", 1)[-1])
    return None


def _backup_keys(home: Path, *, as_json: bool) -> "list[KeyFact]":
    """Those that open a backup of the vault and are not known to be destroyed."""
    from heptad.cli import ledger_process
    from heptad.cli.ledger_process import backup_command
    from heptad.runtime.config import LedgerConfig, load_cell, load_node_config
    from heptad.runtime.keyring.inventory import KeyFact, KeyState

    name = load_cell(home).ledger.id
    if not (home / name).is_dir():
        return []
    config = load_node_config(LedgerConfig, home=home, name=name)
    if not (home / name / config.node.data / _BACKUP_KEYS_FILE).is_file():
        return []
    done: dict[str, Any] = ledger_process.done(backup_command(home, "keys"), as_json=as_json)
    return [
        KeyFact(
            name,
            "backup",
            KeyState.CURRENT,
            str(key["id"])[:16],
            datetime.fromtimestamp(key["created_ms"] / 1000, UTC),
            datetime.fromtimestamp(key["expires_ms"] / 1000, UTC),
            "destroy it: heptad ledger backup-keys efface",
        )
        for key in done["keys"]
        if key["state"] in ("live", "effacing")
    ]


def _members(fact: "KeyFact", now: datetime) -> dict[str, object]:
    from heptad.runtime.config.dates import format_date

    return {
        "holder": fact.holder,
        "duty": str(fact.duty),
        "state": str(fact.state),
        "key_id": fact.key_id,
        "created": fact.created and format_date(fact.created),
        "due": fact.due and format_date(fact.due),
        "overdue": fact.is_overdue(now),
        "remark": fact.remark,
    }


def _print(facts: "list[KeyFact]", now: datetime) -> None:
    from rich.table import Table

    from heptad.cli.summary import print_shown

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("whose", "for", "state", "key", "created", "age", "due"):
        table.add_column(name, justify="right" if name == "age" else "left", no_wrap=True)
    for fact in facts:
        age = f"{(now - fact.created).days} d" if fact.created else ""
        due = f"{fact.due:%Y-%m-%d}" if fact.due else "-"
        mark = f"[red]{due} DUE[/red]" if fact.is_overdue(now) else due
        created = f"{fact.created:%Y-%m-%d}" if fact.created else ""
        state = f"[{_STYLES[fact.state]}]{fact.state}[/]"
        table.add_row(fact.holder, str(fact.duty), state, fact.key_id[:8], created, age, mark)
    print_shown(table)
    for fact in facts:
        if fact.is_overdue(now) or fact.state == "next":
            print(f"{fact.holder}, {fact.duty} {fact.key_id[:8]}: {fact.remark}")
