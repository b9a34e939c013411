"""The log's LMDB environment: what is written in one transaction, and what is read from snapshots.

`LogStore` writes (one thread), `Snapshot` reads (any thread, never blocked by the writer, never
blocking it), `Wave` is what one write transaction holds.
"""

from heptad_ledger.store.log_store import LogStore
from heptad_ledger.store.snapshot import Duplicate, Snapshot
from heptad_ledger.store.state import AppliedState
from heptad_ledger.store.wave import ServicePosting, TimeSpan, Totals, Wave

__all__ = [
    "AppliedState",
    "Duplicate",
    "LogStore",
    "ServicePosting",
    "Snapshot",
    "TimeSpan",
    "Totals",
    "Wave",
]
