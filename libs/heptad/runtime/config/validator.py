"""`validator-<n>/config.toml`: the paces and bounds of one validator."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from heptad.runtime.config.decode import Between
from heptad.runtime.config.node import Node
from heptad.runtime.config.telemetry import TELEMETRY, Telemetry


@dataclass(frozen=True, slots=True)
class ValidatorConfig:
    """A validator's own settings."""

    role: ClassVar[str] = "validator"

    node: Node
    # A batch closes at this size (the cell's limits are the hard ones).
    batch_bytes_target: Annotated[int, Between(4_096, 1_048_576)] = 512 << 10
    # … or at this age; it goes at once when nothing is in flight.
    batch_age_ms_max: Annotated[int, Between(0, 1_000)] = 10
    # The age grows with each outstanding batch, up to this: fewer, larger batches under load.
    batch_age_loaded_ms_max: Annotated[int, Between(0, 1_000)] = 80
    # Batches sent and not yet committed.
    batches_outstanding_max: Annotated[int, Between(1, 256)] = 32
    # A batch that is not committed by then is sent again, the same bytes.
    batch_resend_ms: Annotated[int, Between(100, 60_000)] = 2_000
    # How long a caller waits for the commit before it is told PENDING.
    commit_wait_ms_max: Annotated[int, Between(100, 60_000)] = 5_000
    # Requests admitted and unanswered; beyond it: `overloaded`.
    requests_in_flight_max: Annotated[int, Between(1, 1_000_000)] = 20_000
    # Threads that verify signatures (they free the GIL): 1, or 2 for messages of 100 and more.
    verify_threads: Annotated[int, Between(1, 2)] = 2
    # Leases of subject keys held at once.
    leases_max: Annotated[int, Between(1, 10_000_000)] = 100_000
    # Remembered (iss, jti) pairs; they also leave when their validity ends.
    replay_entries_max: Annotated[int, Between(1_000, 100_000_000)] = 2_000_000
    # How long an answered request is remembered by its bytes: the same bytes, the same answer.
    answer_cache_ms: Annotated[int, Between(0, 60_000)] = 1_000
    # What is traced, and where it goes.
    telemetry: Telemetry = TELEMETRY

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Rules between the fields (`decode.Validated`)."""
        yield from self.node.mistakes()
        yield from self.telemetry.mistakes()
        if self.batch_age_loaded_ms_max < self.batch_age_ms_max:
            yield "batch_age_loaded_ms_max", "must not be below batch_age_ms_max"
        if self.batch_resend_ms >= self.commit_wait_ms_max:
            yield "batch_resend_ms", "must be below commit_wait_ms_max, or it never helps a caller"
