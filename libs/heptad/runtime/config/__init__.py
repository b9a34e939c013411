"""Every file of configuration, as one frozen dataclass each, and how to read them.

`cell.toml` → `Cell` · `<role>-<n>/config.toml` → `ReplicaConfig`, `ValidatorConfig`, `LedgerConfig`
or `GatewayConfig` · `clients/<name>/profile.toml` → `Profile`.

Files are read once, when a process starts, and passed on; nothing looks anything up elsewhere.
"""

from heptad.runtime.config.addresses import split_address
from heptad.runtime.config.cell import (
    Cell,
    CellLimits,
    GatewayMember,
    LedgerMember,
    RelyingService,
    ReplicaMember,
    ValidatorMember,
)
from heptad.runtime.config.dated_keys import ServiceKey
from heptad.runtime.config.files import (
    cell_digest,
    load_cell,
    load_node_config,
    load_profile,
    write_config,
)
from heptad.runtime.config.gateway import GatewayConfig
from heptad.runtime.config.ledger import LedgerConfig
from heptad.runtime.config.node import Node
from heptad.runtime.config.profile import Endpoint, Profile
from heptad.runtime.config.replica import ReplicaConfig
from heptad.runtime.config.validator import ValidatorConfig

__all__ = [
    "Cell",
    "CellLimits",
    "Endpoint",
    "GatewayConfig",
    "GatewayMember",
    "LedgerConfig",
    "LedgerMember",
    "Node",
    "Profile",
    "RelyingService",
    "ReplicaConfig",
    "ReplicaMember",
    "ServiceKey",
    "ValidatorConfig",
    "ValidatorMember",
    "cell_digest",
    "load_cell",
    "load_node_config",
    "load_profile",
    "split_address",
    "write_config",
]
