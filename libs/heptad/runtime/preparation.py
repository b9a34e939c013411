"""What `heptad up` does before it starts anything: a home, and ports that are free."""

import os
from collections.abc import Container
from datetime import UTC, datetime
from pathlib import Path

from heptad.runtime.config.cell import Cell
from heptad.runtime.config.files import CELL_FILE, load_cell
from heptad.runtime.errors import HomeRefusedError, PortTakenError
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.mesh import locked, require_ports
from heptad.runtime.ports import DEFAULT_PORT_BASE, PortBlock, PortPlan, reserve_block
from heptad.runtime.readdress import readdress

VALIDATORS_DEFAULT = 2

_reserved: list[PortBlock] = []
"""Held until this process ends: by then the mesh has bound its ports, or never will."""


def prepare(
    home: Path,
    *,
    port_base: int | None,
    validator_count: int | None,
    elsewhere: Container[str] = (),
) -> Cell:
    """Make the home if there is none, and see that every port of its cell can be bound.

    `port_base` None keeps an existing home's ports (7700 for a new one), 0 takes a free block where
    needed, any other number moves the home there. `validator_count` counts for a new home only. The
    members in `elsewhere` may listen where this process cannot, so their ports are not tried.
    Raises: HomeRefusedError, ConfigInvalidError, PortTakenError.
    """
    if not (home / CELL_FILE).exists():
        base = _base(port_base) if port_base is not None else DEFAULT_PORT_BASE
        plan = GenesisPlan(
            ports=PortPlan(base), validator_count=validator_count or VALIDATORS_DEFAULT
        )
        create_home(home, plan, now=datetime.now(UTC))
    with locked(home):
        cell = load_cell(home)
        if validator_count not in (None, len(cell.validators)):
            raise HomeRefusedError(
                f"{home} was made with {len(cell.validators)} validators; for another number "
                "choose another --home"
            )
        return _with_ports(home, cell, port_base, elsewhere)


def _with_ports(home: Path, cell: Cell, port_base: int | None, elsewhere: Container[str]) -> Cell:
    if port_base and PortPlan(port_base).http() != cell.gateways[0].http:
        cell = readdress(home, PortPlan(port_base))
    try:
        require_ports(home, cell, elsewhere=elsewhere)
    except PortTakenError:
        if port_base != 0:
            raise
        cell = readdress(home, PortPlan(_base(0)))
    return cell


def _base(port_base: int) -> int:
    if port_base:
        return port_base
    _reserved.append(reserve_block(start_hint=os.getpid()))
    return _reserved[-1].base
