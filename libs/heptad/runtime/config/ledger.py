"""`ledger-<n>/config.toml`: the paces and bounds of one ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from heptad.runtime.config.decode import Between
from heptad.runtime.config.node import Node


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
    # Size of LMDB's address spaces; sparse.
    log_map_bytes_max: Annotated[int, Between(1 << 24, 1 << 44)] = 256 << 30
    vault_map_bytes_max: Annotated[int, Between(1 << 24, 1 << 44)] = 64 << 30

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Rules between the fields (`decode.Validated`)."""
        yield from self.node.mistakes()
