"""`replica-<n>/config.toml`: the paces and bounds of one replica."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from heptad.runtime.config.decode import Between
from heptad.runtime.config.node import Node
from heptad.runtime.config.telemetry import TELEMETRY, Telemetry


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    """A replica's own settings; none of them can make it unsafe, only slow or stuck."""

    role: ClassVar[str] = "replica"

    node: Node
    # Shortest pause between two proposals under load, so that a round carries many batches; it
    # grows up to four times where certificates take long, and is at most half of timeout_ms_min.
    round_pace_ms: Annotated[int, Between(0, 1_000)] = 25
    # Shortest and longest wait for a round before it is given up.
    timeout_ms_min: Annotated[int, Between(20, 60_000)] = 200
    timeout_ms_max: Annotated[int, Between(100, 600_000)] = 10_000
    # One validator's batches waiting for a proposal, so that it cannot starve the others; beyond
    # it: `overloaded`.
    pending_bytes_per_validator_max: Annotated[int, Between(1 << 20, 1 << 34)] = 64 << 20
    # Unsent bytes to one peer; beyond it the oldest messages go, for consensus copes with loss.
    peer_queue_bytes_max: Annotated[int, Between(1 << 20, 1 << 30)] = 64 << 20
    # Bytes of committed blocks (headers, proofs, batches) kept for members that were away, who else
    # have to jump; beyond it the oldest go that the ledger has acknowledged and published.
    retention_bytes_max: Annotated[int, Between(1 << 20, 1 << 40)] = 1 << 30
    # Committed bytes beyond the retention that still wait for the ledger's acknowledgement; beyond
    # it validators are told `overloaded`, or a ledger that stays away would fill the disk.
    backlog_bytes_max: Annotated[int, Between(1 << 20, 1 << 40)] = 4 << 30
    # Bytes of what leads from one size of the log to another, about 150 for a small block. They
    # outlive the blocks, for a member that was away for longer than the retention can come back
    # only as long as they reach back to where it left: 1 GiB is some seven million blocks.
    consistency_bytes_max: Annotated[int, Between(1 << 20, 1 << 36)] = 1 << 30
    # Size of LMDB's address space; sparse, so it costs nothing until used.
    map_bytes_max: Annotated[int, Between(1 << 24, 1 << 44)] = 1 << 40
    # What is traced, and where it goes.
    telemetry: Telemetry = TELEMETRY

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Rules between the fields (`decode.Validated`)."""
        yield from self.node.mistakes()
        yield from self.telemetry.mistakes()
        if self.timeout_ms_min > self.timeout_ms_max:
            yield "timeout_ms_min", f"{self.timeout_ms_min} is above timeout_ms_max"
        kept = self.retention_bytes_max + self.backlog_bytes_max + self.consistency_bytes_max
        if kept > self.map_bytes_max:
            yield "map_bytes_max", f"holds less than the {kept} bytes that may have to be kept"
