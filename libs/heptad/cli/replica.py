"""`heptad replica …`: what an operator does to replicas of a running cell."""

import json
from pathlib import Path
from typing import Annotated

import typer

from heptad.cli.exits import EXIT_USAGE, fail, told
from heptad.cli.up import HOME_OPTION

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def _replica() -> None:
    """Restart replicas of a running cell."""


@app.command()
def restart(
    numbers: Annotated[
        list[int] | None, typer.Argument(help="Such as 3 for replica-3; see --all.")
    ] = None,
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    everyone: Annotated[bool, typer.Option("--all", help="All of them, one by one.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Restart replicas one after the other, each once the one before is ready.

    Refused where less than a quorum would be left while one is down: then it would stop the cell.
    """
    if bool(numbers) is everyone:
        fail("name replicas, or say --all", status=EXIT_USAGE, as_json=as_json)
    done = []
    with told(as_json=as_json):
        from heptad.runtime.config import load_cell
        from heptad.runtime.control import ControlClient
        from heptad.runtime.service_order import restart_in_turn

        known = [replica.id for replica in load_cell(home.absolute()).replicas]
        names = known if everyone else [f"replica-{number}" for number in numbers or ()]
        if strangers := [name for name in names if name not in known]:
            fail(f"no member {', '.join(strangers)}", status=EXIT_USAGE, as_json=as_json)
        with ControlClient(home.absolute(), timeout_s=120.0) as control:
            for name in restart_in_turn(control, names):
                done.append(name)
                if not as_json:
                    print(f"{name} is ready", flush=True)
    if as_json:
        print(json.dumps({"restarted": done}))
