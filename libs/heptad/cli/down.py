"""`heptad down`: stop the cell that runs in a home."""

import json
from pathlib import Path
from typing import Annotated

import typer

from heptad.cli.exits import told
from heptad.cli.up import HOME_OPTION


def command(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Stop the running cell in order: gateway, validators, replicas, ledger.

    All state is kept; `heptad up` continues with it.
    """
    with told(as_json=as_json):
        from heptad.runtime.control import ControlClient

        with ControlClient(home.absolute(), timeout_s=120.0) as control:
            control.ask("down")
            control.wait_for_end()
    print(json.dumps({"stopped": True}) if as_json else "stopped")
