"""`heptad init`: a cell's keys, certificates and configuration, and nothing started."""

import json
from pathlib import Path
from typing import Annotated

import typer

from heptad.cli.exits import told


def command(
    *,
    home: Annotated[Path, typer.Option("--home", help="Folder of the new cell.")],
    containers: Annotated[
        bool,
        typer.Option(
            "--containers",
            help="Each member on a host of its own that has the member's name, as in compose.yaml.",
        ),
    ] = False,
    port_base: Annotated[
        int, typer.Option(min=1, max=65_000, help="First port of the cell.")
    ] = 7_700,
    validators: Annotated[int, typer.Option(min=1, max=9, help="How many validators.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a cell without starting it: keys, certificates, configuration.

    `cell.toml` and `policy` are public and the same for everybody. Of the rest each member needs
    only the folder of its own name.
    """
    with told(as_json=as_json):
        from datetime import UTC, datetime

        from heptad.runtime.genesis import GenesisPlan, create_home
        from heptad.runtime.ports import PortPlan, container_plan

        ports = container_plan(port_base) if containers else PortPlan(port_base)
        plan = GenesisPlan(ports=ports, validator_count=validators)
        cell = create_home(home.absolute(), plan, now=datetime.now(UTC))
    if as_json:
        print(json.dumps({"origin": cell.origin, "members": cell.member_addresses()}))
        return
    print(f"made {cell.origin} in {home}")
    for member_id, address in cell.member_addresses().items():
        print(f"  {member_id:<12} {address}")
