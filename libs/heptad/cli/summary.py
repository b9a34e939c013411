"""A running cell in a few lines for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table

if TYPE_CHECKING:
    from heptad.runtime.mesh import MeshStatus

_STYLES: Final = {
    "ready": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "backing_off": "yellow",
    "follows only": "yellow",
}


def ready_text(status: "MeshStatus", *, detached: bool) -> str:
    """What `heptad up` prints once all is ready."""
    home, url = status["home"], status["gateway_url"]
    processes = status["processes"]
    width = max(len(process["name"]) for process in processes)
    rows = [f"  {process['name']:<{width}}  {process['address']}" for process in processes]
    stop = f"heptad down --home {home}" if detached else "Ctrl-C"
    return "\n".join(
        [
            f"Heptad is up: cell {status['origin']}, ready after {status['uptime_s']:.1f} s.",
            "",
            f"  gateway      {url}",
            f"  certificate, keys and addresses for clients in {home}/clients",
            "",
            *rows,
            "",
            "Try it:",
            f"  curl {url}/v1",
            f"  heptad demo --home {home}",
            "",
            f"Stop it: {stop}",
        ]
    )


def status_table(status: "MeshStatus") -> Table:
    """What `heptad status` prints."""
    table = Table(title=f"cell {status['origin']} · {status['gateway_url']}")
    for heading in ("process", "state", "pid", "address", "restarts", "CPU", "memory"):
        right = heading in ("pid", "restarts", "CPU", "memory")
        table.add_column(heading, justify="right" if right else "left")
    for process in status["processes"]:
        usage = process["usage"]
        state = process["state"]
        table.add_row(
            process["name"],
            f"[{_STYLES.get(state, 'red')}]{state}[/]",
            str(process["pid"] or "-"),
            process["address"],
            str(process["restarts"]),
            f"{usage['cpu_s']:.1f} s" if usage else "-",
            f"{usage['pss_bytes'] / 1e6:.0f} MB" if usage else "-",
        )
    return table


def status_shown(status: "MeshStatus", leaders_failed: Sequence[str]) -> Group:
    """The table, and below it who waits for what and who has failed to lead."""
    lines = [
        f"{process['name']} waits {process['awaited']}."
        for process in status["processes"]
        if process["awaited"]
    ]
    if leaders_failed:
        lines.append(f"{', '.join(leaders_failed)} failed to lead; others lead in the meantime.")
    return Group(status_table(status), *lines)


def print_shown(shown: RenderableType) -> None:
    """On standard output, coloured where that is a terminal."""
    Console().print(shown)
