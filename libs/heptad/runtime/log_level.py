"""Changing how much a member logs: in its configuration, which it reads again on SIGHUP."""

from dataclasses import replace
from pathlib import Path

from heptad.runtime.config.files import NODE_FILE, NodeConfigT, load_node_config, write_config
from heptad.runtime.config.gateway import GatewayConfig
from heptad.runtime.config.ledger import LedgerConfig
from heptad.runtime.config.replica import ReplicaConfig
from heptad.runtime.config.validator import ValidatorConfig
from heptad.runtime.identity import Role


def set_log_level(home: Path, member_id: str, level: str) -> None:
    """Write a member's `log_level`. Raises: ConfigInvalidError, with nothing written; OSError."""
    match Role(member_id.rpartition("-")[0]):
        case Role.REPLICA:
            _set(ReplicaConfig, home, member_id, level)
        case Role.VALIDATOR:
            _set(ValidatorConfig, home, member_id, level)
        case Role.LEDGER:
            _set(LedgerConfig, home, member_id, level)
        case Role.GATEWAY:
            _set(GatewayConfig, home, member_id, level)


def _set(kind: type[NodeConfigT], home: Path, member_id: str, level: str) -> None:
    config = load_node_config(kind, home=home, name=member_id)
    node = replace(config.node, log_level=level)
    write_config(replace(config, node=node), home / member_id / NODE_FILE, head=member_id)
