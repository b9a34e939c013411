"""`heptad status`: how the running cell is."""

import http.client
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from heptad.cli.exits import EXIT_FAILED, told
from heptad.cli.up import HOME_OPTION

if TYPE_CHECKING:
    from heptad.runtime.mesh import MeshStatus, ProcessFacts

NOT_SERVING: Final = "not_serving"
"""The state of a process that runs, was ready, and now says that it is not."""

_ANSWER_S_MAX: Final = 1.0
_WATCH_PAUSE_S: Final = 1.0
_ANSWER_BYTES_MAX: Final = 1 << 20
_NOTE_BYTES_MAX: Final = 1_024
_FAILED: Final = re.compile(rb'^consensus_leader_failed\{leader="(\d+)"\} 1', re.MULTILINE)


def command(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and show it anew every second until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every process of the running cell: state, pid, address, restarts, CPU and memory.

    And which replicas have failed to lead, as more of them say than may lie. Ends with 0 if all are
    ready, 1 if one is not, 2 if nothing runs there.
    """
    with told(as_json=as_json):
        if watch:
            _watch(home.absolute(), as_json=as_json)
            return
        status = _status(home.absolute())
    failed = _leaders_failed(status["processes"])
    if as_json:
        print(json.dumps({**status, "leaders_failed": failed}))
    else:
        from heptad.cli.summary import print_shown, status_shown

        print_shown(status_shown(status, failed))
    if any(process["state"] != "ready" for process in status["processes"]):
        raise typer.Exit(EXIT_FAILED)


def _status(home: Path) -> "MeshStatus":
    """How all processes are; those that the supervisor calls ready are asked themselves.

    Raises: HomeRefusedError, SupervisionFault.
    """
    from heptad.runtime.control import ControlClient

    with ControlClient(home) as control:
        status = cast("MeshStatus", control.ask("status"))
    for process in status["processes"]:
        if process["state"] == "ready":
            process["state"] = _state(process["metrics"])
    return status


def _watch(home: Path, *, as_json: bool) -> None:
    """Until Ctrl-C, or until the cell is stopped: once a second on a screen, or a line of JSON."""
    from rich.live import Live

    from heptad.cli.summary import status_shown

    first = _status(home)
    with suppress(KeyboardInterrupt), Live(screen=not as_json, auto_refresh=False) as live:
        status = first
        while True:
            failed = _leaders_failed(status["processes"])
            if as_json:
                print(json.dumps({**status, "leaders_failed": failed}), flush=True)
            else:
                live.update(status_shown(status, failed), refresh=True)
            time.sleep(_WATCH_PAUSE_S)
            status = _status(home)


def _state(metrics_address: str) -> str:
    """What the process itself says at this moment; the supervisor knows how it was at its start.

    Ready, not serving, or that it does only a part of its work, in its own words.
    """
    answer = asked(metrics_address, "/readyz")
    if answer is None:
        return NOT_SERVING
    _, _, note = answer[:_NOTE_BYTES_MAX].decode("utf-8", "replace").partition(": ")
    return note.partition(":")[0].strip() or "ready"


def _leaders_failed(processes: "Sequence[ProcessFacts]") -> list[str]:
    """The replicas that more replicas than may lie call failed leaders."""
    replicas = [process for process in processes if process["role"] == "replica"]
    named: Counter[str] = Counter()
    for process in replicas:
        if process["state"] == "ready":
            exposition = asked(process["metrics"], "/metrics") or b""
            named.update(f"replica-{number.decode()}" for number in _FAILED.findall(exposition))
    fault_count = (len(replicas) - 1) // 3
    return sorted(name for name, voices in named.items() if voices > fault_count)


def asked(metrics_address: str, path: str) -> bytes | None:
    """What a process answers at its listener; None where it is not 200."""
    connection = http.client.HTTPConnection(metrics_address, timeout=_ANSWER_S_MAX)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read(_ANSWER_BYTES_MAX) if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
