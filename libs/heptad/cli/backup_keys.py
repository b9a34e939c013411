"""`heptad ledger backup-keys …`: which keys open which backups, and that they go in time."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from heptad.cli import ledger_process
from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail
from heptad.cli.ledger_process import backup_command
from heptad.cli.up import HOME_OPTION

app = typer.Typer(help="List the keys of backups; destroy those whose day has come.")

_MS_PER_DAY = 86_400_000
_JSON = typer.Option("--json", help="Print JSON.")


@app.callback(invoke_without_command=True)
def backup_keys(
    context: typer.Context,
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """List the keys that `heptad ledger backup --with-root-key` has made, and what is due.

    Ends with 1 if a key's day has come and it is not known to be destroyed: erasures are beyond use
    only without it. Lists without a command.
    """
    if context.invoked_subcommand is not None:
        return
    done = ledger_process.done(backup_command(home, "keys"), as_json=as_json)
    keys: list[dict[str, Any]] = done["keys"]
    is_due = any(key["overdue"] for key in keys)
    if as_json:
        print(json.dumps(done))
    for key in [] if as_json else keys:
        print(_line(key))
    if not keys and not as_json:
        print("no backup key was ever made")
    if is_due:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def efface(
    ids: Annotated[list[str] | None, typer.Argument(help="Which keys, as the list names them.")] = (
        None
    ),
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    expired: Annotated[bool, typer.Option("--expired", help="All whose day has come.")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Destroy keys: overwrite their files where they lie, read them back, take them away.

    Only a file that is the key which the book means is overwritten. Ends with 1 if one could not be
    destroyed; the others are all the same. Copies that somebody has made are not found by this.
    """
    if not ids and not expired:
        fail("name keys, or say --expired", status=EXIT_USAGE, as_json=as_json)
    words = ["efface", *(ids or []), *(["--expired"] if expired else [])]
    done = ledger_process.done(backup_command(home, *words), as_json=as_json)
    if as_json:
        print(json.dumps(done))
    else:
        for key in done["effaced"]:
            print(_line(key))
        for refused in done["refused"]:
            print(f"{refused['id']}  NOT destroyed: {refused['why']}")
        if not done["effaced"] and not done["refused"]:
            print("no key is due")
    if done["refused"]:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def declare(
    key_id: Annotated[str, typer.Argument(help="Which key, as the list names it.")],
    *,
    by: Annotated[str, typer.Option(help="Who says that it is destroyed.")],
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Since when, UTC; else now."),
    ] = None,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Note that a key which lies elsewhere was destroyed there, by whose word, and when.

    The book keeps that this is a declaration, and certificates rest on it. Refused while the file
    is still where it was put.
    """
    words = ["declare", key_id, "--by", by]
    if at is not None:
        words += ["--at-ms", str(int(at.replace(tzinfo=UTC).timestamp() * 1000))]
    done = ledger_process.done(backup_command(home, *words), as_json=as_json)
    print(json.dumps(done) if as_json else _line(done))


def _line(key: dict[str, Any]) -> str:
    """One key on one line."""
    days = (key["expires_ms"] - key["created_ms"]) // _MS_PER_DAY
    told = f"{key['id']}  epoch {key['epoch'] or '?'}  until {_day(key['expires_ms'])} ({days} d)"
    where = key["path"] or "of backups that were lost with the ledger, if there were any"
    match key["state"]:
        case "overwritten":
            state = f"overwritten {_day(key['closed_ms'])}"
        case "declared":
            state = f"declared destroyed {_day(key['closed_ms'])} by {key['closed_by']}"
        case state:
            state = f"OVERDUE, {state}" if key["overdue"] else state
    return f"{told}  {state}  {where}"


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
