"""Moving a home to other ports: the only part of a genesis that may change afterwards.

Addresses stand in `cell.toml`, in each member's configuration and in each client's profile, so that
each of them can live on a machine of its own; here all are on one, and change together.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from heptad.runtime.config.cell import Cell
from heptad.runtime.config.files import (
    CELL_FILE,
    NODE_FILE,
    PROFILE_FILE,
    NodeConfigT,
    load_cell,
    load_node_config,
    load_profile,
    write_config,
)
from heptad.runtime.config.gateway import GatewayConfig
from heptad.runtime.config.ledger import LedgerConfig
from heptad.runtime.config.replica import ReplicaConfig
from heptad.runtime.config.validator import ValidatorConfig
from heptad.runtime.genesis import CELL_HEAD, client_profile, watched_by_gateway
from heptad.runtime.identity import Role
from heptad.runtime.ports import PortPlan


def readdress(home: Path, ports: PortPlan) -> Cell:
    """Write the addresses of `ports` into every file of the home; nothing else changes.

    `cell.toml` comes last: until then a crash leaves files that disagree, which `heptad up` with
    the same ports sets right. Raises: ConfigInvalidError, OSError.
    """
    cell = _moved(load_cell(home), ports)
    for member_id in cell.member_addresses():
        _move_member(home, member_id, ports, members=tuple(cell.member_addresses()))
    for folder in sorted((home / "clients").iterdir()):
        profile = load_profile(folder)
        fresh = client_profile(cell, role=Role(profile.role), name=profile.name)
        moved = replace(
            profile,
            gateway_url=fresh.gateway_url,
            validators=fresh.validators,
            ledger=fresh.ledger,
            replicas=fresh.replicas,
            gateways=fresh.gateways,
        )
        head = f"{profile.name}, a client of {cell.origin}"
        write_config(moved, folder / PROFILE_FILE, head=head)
    write_config(cell, home / CELL_FILE, head=CELL_HEAD)
    return cell


def _moved(cell: Cell, ports: PortPlan) -> Cell:
    return replace(
        cell,
        replicas=tuple(replace(m, address=ports.grpc(m.id)) for m in cell.replicas),
        validators=tuple(replace(m, address=ports.grpc(m.id)) for m in cell.validators),
        ledgers=tuple(replace(m, address=ports.grpc(m.id)) for m in cell.ledgers),
        gateways=tuple(
            replace(m, address=ports.grpc(m.id), http=ports.http()) for m in cell.gateways
        ),
    )


def _move_member(home: Path, member_id: str, ports: PortPlan, *, members: Sequence[str]) -> None:
    match member_id.rpartition("-")[0]:
        case Role.REPLICA:
            _move_node(ReplicaConfig, home, member_id, ports)
        case Role.VALIDATOR:
            _move_node(ValidatorConfig, home, member_id, ports)
        case Role.LEDGER:
            _move_node(LedgerConfig, home, member_id, ports)
        case Role.GATEWAY:
            config = load_node_config(GatewayConfig, home=home, name=member_id)
            node = replace(
                config.node, listen=ports.grpc_listen(member_id), metrics=ports.metrics(member_id)
            )
            moved = replace(
                config,
                node=node,
                http=ports.http_listen(),
                admin=ports.admin(),
                watched=watched_by_gateway(ports, members),
            )
            write_config(moved, home / member_id / NODE_FILE, head=member_id)


def _move_node(kind: type[NodeConfigT], home: Path, member_id: str, ports: PortPlan) -> None:
    config = load_node_config(kind, home=home, name=member_id)
    node = replace(
        config.node, listen=ports.grpc_listen(member_id), metrics=ports.metrics(member_id)
    )
    write_config(replace(config, node=node), home / member_id / NODE_FILE, head=member_id)
