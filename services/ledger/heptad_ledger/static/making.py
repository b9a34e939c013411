"""Puts the keeper of static files together, where there are to be any."""

import time

from heptad.crypto import signatures
from heptad.runtime.config import LedgerConfig
from heptad.runtime.service_kind import Context
from heptad.runtime.vkeys import log_vkeys
from heptad_ledger.static.exporter import Exporter
from heptad_ledger.static.folder import DiskFolder
from heptad_ledger.static.keeper import StaticKeeper
from heptad_ledger.store import LogStore


def make_static_keeper(context: Context[LedgerConfig], store: LogStore) -> StaticKeeper | None:
    """The keeper of this ledger's folder; None if its settings name none."""
    config = context.config
    if not config.static_folder:
        return None
    exporter = Exporter(
        store=store,
        folder=DiskFolder(context.data / config.static_folder),
        log_keys=log_vkeys(context.cell),
        verify=signatures.verify,
        partials_s=config.static_partials_s,
        now_s=time.monotonic,
    )
    return StaticKeeper(
        exporter,
        interval_s=config.static_interval_ms / 1000,
        log=context.log,
        metrics=context.metrics,
    )
