"""`heptad status`: how the running cell is."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from heptad.cli.exits import EXIT_FAILED, told
from heptad.cli.up import HOME_OPTION

if TYPE_CHECKING:
    from heptad.runtime.mesh import MeshStatus


def command(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every process of the running cell: state, pid, address, restarts, CPU and memory.

    Ends with 0 if all are ready, 1 if one is not, 2 if nothing runs there.
    """
    with told(as_json=as_json):
        from heptad.runtime.control import ControlClient

        with ControlClient(home.absolute()) as control:
            status = cast("MeshStatus", control.ask("status"))
    if as_json:
        print(json.dumps(status))
    else:
        from heptad.cli.summary import print_table, status_table

        print_table(status_table(status))
    if any(process["state"] != "ready" for process in status["processes"]):
        raise typer.Exit(EXIT_FAILED)
