"""Puts a replica together: the one place where its parts learn of each other.

A replica that has lost its record must never sign again with the same keys. So beside the store
lies a marker, made by the first start once the empty record is durable and before anything is
signed: an empty store beside the marker is a loss, not a beginning, and is refused.
"""

from pathlib import Path
from typing import Final

from heptad.consensus.driver import Driver
from heptad.consensus.limits import Limits
from heptad.consensus.ports import Outbox, Sink
from heptad.crypto import signatures
from heptad.crypto.keys import KeyRole, load_service_key
from heptad.runtime.config.replica import ReplicaConfig
from heptad.runtime.disk import sync_folder
from heptad.runtime.group import agreed_cell, member_index
from heptad.runtime.service import Context
from heptad_replica.storage import LmdbStore

STARTED_MARKER: Final = "started"


def limits_of(config: ReplicaConfig) -> Limits:
    """The core's bounds, with what the operator may choose."""
    return Limits(
        pace_ms=config.round_pace_ms,
        timeout_ms_min=config.timeout_ms_min,
        timeout_ms_max=config.timeout_ms_max,
        pool_bytes_max_per_validator=config.pending_bytes_per_validator_max,
    )


def open_store(context: Context[ReplicaConfig]) -> LmdbStore:
    """The replica's disk. Raises: StoreInUseError, lmdb.Error, OSError."""
    return LmdbStore(context.data / "store", map_bytes=context.config.map_bytes_max)


def build_driver(
    context: Context[ReplicaConfig], *, store: LmdbStore, outbox: Outbox, sink: Sink
) -> Driver:
    """The driver of this replica over real ports.

    Raises: RecordMissingError when this replica has started before and its record is gone.
    """
    return Driver(
        cell=agreed_cell(context.cell),
        me=member_index(context.name),
        limits=limits_of(context.config),
        vote_signer=load_service_key(context.keys / KeyRole.VOTE.file_name),
        cosigner=load_service_key(context.keys / KeyRole.COSIGN.file_name),
        verifier=signatures,
        store=store,
        outbox=outbox,
        sink=sink,
        is_new=not (context.data / STARTED_MARKER).exists(),
    )


def mark_started(data: Path) -> None:
    """Make the marker durable.

    Called after the first wave and before any event: if we crash before it, the record is there
    and the next start makes the marker.
    """
    (data / STARTED_MARKER).write_bytes(b"")
    sync_folder(data)
