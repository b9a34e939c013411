"""`heptad status`: how the running cell is."""

import http.client
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from heptad.cli.exits import EXIT_FAILED, told
from heptad.cli.up import HOME_OPTION

if TYPE_CHECKING:
    from heptad.runtime.mesh import MeshStatus

NOT_SERVING: Final = "not_serving"
"""The state of a process that runs, was ready, and now says that it is not."""

_ANSWER_S_MAX: Final = 1.0
_ANSWER_BYTES_MAX: Final = 1_024


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
    for process in status["processes"]:
        if process["state"] == "ready":
            process["state"] = _state(process["metrics"])
    if as_json:
        print(json.dumps(status))
    else:
        from heptad.cli.summary import print_table, status_table

        print_table(status_table(status))
    if any(process["state"] != "ready" for process in status["processes"]):
        raise typer.Exit(EXIT_FAILED)


def _state(metrics_address: str) -> str:
    """What the process itself says at this moment; the supervisor knows how it was at its start.

    Ready, not serving, or that it does only a part of its work, in its own words.
    """
    connection = http.client.HTTPConnection(metrics_address, timeout=_ANSWER_S_MAX)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            return NOT_SERVING
        _, _, note = answer.read(_ANSWER_BYTES_MAX).decode("utf-8", "replace").partition(": ")
        return note.partition(":")[0].strip() or "ready"
    except (OSError, http.client.HTTPException):
        return NOT_SERVING
    finally:
        connection.close()
