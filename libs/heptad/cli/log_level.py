"""`heptad log-level`: how much members log, changed while they run."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from heptad.cli.exits import EXIT_USAGE, fail, told
from heptad.cli.up import HOME_OPTION


class Level(StrEnum):
    """What `log_level` in a `config.toml` may be."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def command(
    level: Annotated[Level, typer.Argument(help="The lowest level that is written.")],
    members: Annotated[
        list[str] | None, typer.Argument(help="Such as replica-3; all if none is named.")
    ] = None,
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change the log level of members, without restarting them.

    Written into their config.toml. Members that run under `heptad up` take it at once; others do at
    SIGHUP, or when they start.
    """
    with told(as_json=as_json):
        from heptad.runtime.config import load_cell
        from heptad.runtime.control import ControlClient
        from heptad.runtime.errors import HomeRefusedError
        from heptad.runtime.log_level import set_log_level

        home = home.absolute()
        known = load_cell(home).member_addresses()
        named = members or list(known)
        if strangers := [name for name in named if name not in known]:
            fail(f"no member {', '.join(strangers)}", status=EXIT_USAGE, as_json=as_json)
        for name in named:
            set_log_level(home, name, level.value)
        try:
            with ControlClient(home) as control:
                for name in named:
                    control.ask("reload", name)
            is_taken = True
        except HomeRefusedError:
            is_taken = False
    if as_json:
        print(json.dumps({"log_level": level.value, "members": named, "taken": is_taken}))
        return
    print(f"{', '.join(named)}: {level.value}")
    if not is_taken:
        print("written; members take it when they start, or at SIGHUP")
