"""`ledger-<n>/config.toml`: the paces and bounds of one ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from heptad.runtime.config.decode import Between, Length
from heptad.runtime.config.node import Node
from heptad.runtime.config.telemetry import TELEMETRY, Telemetry


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """A ledger's own settings."""

    role: ClassVar[str] = "ledger"

    node: Node
    # A cosignature's time must lie this near to ours, or one evil replica could poison a note.
    cosignature_skew_s_max: Annotated[int, Between(1, 600)] = 60
    # Committed bytes fetched ahead of what is applied.
    fetch_bytes_max: Annotated[int, Between(1 << 20, 1 << 32)] = 64 << 20
    # Records per page of a listing.
    page_records_max: Annotated[int, Between(1, 10_000)] = 1_000
    # How often the routing key that hides key_ref from replicas is replaced.
    routing_key_s_max: Annotated[int, Between(60, 86_400)] = 86_400
    # Whether an officer decides about erasures that subjects ask for; else the ledger orders them,
    # unless the subject is on hold.
    erasure_review: bool = False
    # How long replicas may keep blocks from before an erasure, for a ledger that is restored from a
    # backup; at least as long as the newest backup is old. The certificate names the day.
    erased_blocks_s_max: Annotated[int, Between(0, 604_800)] = 86_400
    # Size of LMDB's address spaces; sparse.
    log_map_bytes_max: Annotated[int, Between(1 << 24, 1 << 44)] = 256 << 30
    vault_map_bytes_max: Annotated[int, Between(1 << 24, 1 << 44)] = 64 << 30

    # Where the public log lies as plain files, for nginx and for copies: below `data`, or anywhere
    # else by an absolute path; empty: nowhere. What is in it can be deleted, and comes back.
    static_folder: Annotated[str, Length(0, 4_096)] = "static"
    # Shortest time between two checkpoints of that folder; each one is a few files and their syncs.
    static_interval_ms: Annotated[int, Between(10, 3_600_000)] = 1_000
    # How long partial tiles stay there after the full one, for readers of an older checkpoint.
    static_partials_s: Annotated[int, Between(0, 2_592_000)] = 600

    # Exports of subjects' data at a time; two threads do the work, as fast as it is taken.
    exports_at_once_max: Annotated[int, Between(1, 256)] = 32
    # Exports of one subject's data in an hour.
    subject_exports_per_hour_max: Annotated[int, Between(1, 3_600)] = 12
    # Entries in one archive; who has more asks for the next part.
    export_entries_max: Annotated[int, Between(1, 500_000)] = 200_000
    # What is traced, and where it goes.
    telemetry: Telemetry = TELEMETRY

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Rules between the fields (`decode.Validated`)."""
        yield from self.node.mistakes()
        yield from self.telemetry.mistakes()
