"""Puts a replica together: the one place where its parts learn of each other.

A replica that has lost its record must never sign again with the same keys. So two markers are
made by the first start, once the empty record is durable and before anything is signed: one beside
the store, one beside the keys, for a disk that takes the store away takes its marker too, and what
must not sign twice is the key. An empty store beside either marker is a loss and not a beginning.

Such a replica is not refused, for the others and the ledger can use what it holds: it *follows*,
without ever loading its keys, until it is re-keyed. Its record says so from then on.
"""

from pathlib import Path
from typing import Final

from heptad.consensus.core import may_sign
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
    config = context.config
    return LmdbStore(
        context.data / "store",
        map_bytes=config.map_bytes_max,
        subtrees_bytes_max=config.consistency_bytes_max,
    )


def build_driver(
    context: Context[ReplicaConfig], *, store: LmdbStore, outbox: Outbox, sink: Sink
) -> Driver:
    """The driver of this replica over real ports.

    A follower is given no signers, and its keys stay where they are, unread.
    """
    signs = may_sign(store.load(), is_new=not has_started(context))
    return Driver(
        cell=agreed_cell(context.cell),
        me=member_index(context.name),
        limits=limits_of(context.config),
        vote_signer=load_service_key(context.keys / KeyRole.VOTE.file_name) if signs else None,
        cosigner=load_service_key(context.keys / KeyRole.COSIGN.file_name) if signs else None,
        verifier=signatures,
        store=store,
        outbox=outbox,
        sink=sink,
        is_new=signs,
    )


def has_started(context: Context[ReplicaConfig]) -> bool:
    """True if these keys may have signed something in an earlier process."""
    return any((folder / STARTED_MARKER).exists() for folder in (context.data, context.keys))


def mark_started(context: Context[ReplicaConfig]) -> None:
    """Make the markers durable.

    Called after the first wave and before any event: if we crash before it, the record is there
    and the next start makes them. Keys may lie where nothing can be written, as secrets of
    Kubernetes do; then the marker beside the store has to do, and the log says so.
    """
    _mark(context.data)
    try:
        _mark(context.keys)
    except OSError as error:
        context.log.warning("key_not_marked", folder=str(context.keys), reason=str(error))


def _mark(folder: Path) -> None:
    if not (folder / STARTED_MARKER).exists():
        (folder / STARTED_MARKER).write_bytes(b"")
        sync_folder(folder)
