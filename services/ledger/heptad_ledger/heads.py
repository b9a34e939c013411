"""A head of the log: what a checkpoint says, and since when it stands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Head:
    """`size` entries with root `root` (RFC 6962, 32 bytes), since a block of `time_ms` (Unix)."""

    size: int
    root: bytes
    time_ms: int
