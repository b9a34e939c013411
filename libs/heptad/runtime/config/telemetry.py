"""The table `[telemetry]` of every service's `config.toml`: what is traced, and where it goes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from heptad.runtime.config.decode import Between


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Traces of one process (docs/operations/monitoring.md); metrics need no settings."""

    # A validator traces one in so many of its batches by itself; 0: none. One costs some 40 spans
    # in the whole cell, so at a hundred batches a second it is a trace every ten seconds.
    trace_one_in: Annotated[int, Between(0, 1_000_000_000)] = 1_000
    # Traces that may begin or arrive in a second, for a sampled `traceparent` costs its sender
    # nothing; what comes over it is served as ever, without spans. 0: this process makes no spans.
    traces_per_s_max: Annotated[int, Between(0, 10_000)] = 20
    # Bytes of `traces.jsonl` and the one before it in the folder of data; 0: no such file.
    trace_file_bytes_max: Annotated[int, Between(0, 1 << 34)] = 8 << 20
    # A collector for OTLP over HTTP, such as http://127.0.0.1:4318; empty: none.
    otlp_endpoint: str = ""

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Rules that a type cannot say (`decode.Validated`)."""
        if not self.otlp_endpoint:
            return
        parts = urlsplit(self.otlp_endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield "telemetry.otlp_endpoint", "is no http:// or https:// address of a collector"
        elif parts.query or parts.fragment or parts.username or parts.password:
            yield "telemetry.otlp_endpoint", "may have a path, and no more than that"


TELEMETRY: Final = Telemetry()
"""Where nothing is said."""
