"""W3C trace context, and spans of what is sampled.

A trace is sampled per batch, never per operation: one span for a batch says as much as a thousand
for its records and costs a thousandth. The SDK's tracing half is imported only when spans are
exported at all; parsing and writing the `traceparent` header needs none of it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer as OtelTracer

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 0x01
_NO_ATTRIBUTES: Final[Mapping[str, str | int | float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where a piece of work stands in a trace. Ids are non-zero; 16 and 8 bytes."""

    trace_id: bytes
    span_id: bytes
    sampled: bool

    @property
    def traceparent(self) -> str:
        """The header of W3C Trace Context, level 1."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}-{int(self.sampled):02x}"


def parse_traceparent(header: str) -> TraceContext | None:
    """Read the header; None for what the standard says must be ignored.

    Source: W3C Trace Context, section 3.2.
    """
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    sampled = bool(int(flags, 16) & _SAMPLED)
    return TraceContext(bytes.fromhex(trace_id), bytes.fromhex(span_id), sampled)


def new_context(*, entropy: Callable[[int], bytes], sampled: bool) -> TraceContext:
    """The root of a new trace; `entropy(n)` returns n random bytes."""
    return TraceContext(_non_zero(entropy(16)), _non_zero(entropy(8)), sampled)


def _non_zero(identifier: bytes) -> bytes:
    """The standard forbids all-zero ids; setting one bit is simpler than drawing again."""
    return identifier[:-1] + bytes([identifier[-1] | 1])


class Tracer:
    """Opens spans for sampled contexts; without an exporter it does nothing at no cost."""

    def __init__(self, *, service: str, exporter: "SpanExporter | None" = None) -> None:
        self._tracer: OtelTracer | None = None
        self._close: Callable[[], None] = lambda: None
        if exporter is not None:
            self._start(service, exporter)

    def _start(self, service: str, exporter: "SpanExporter") -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  only where it is used
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        provider = TracerProvider(resource=Resource({"service.name": service}))
        provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = provider.get_tracer("heptad")
        self._close = provider.shutdown

    @contextmanager
    def span(
        self,
        name: str,
        parent: TraceContext,
        attributes: Mapping[str, str | int | float] = _NO_ATTRIBUTES,
    ) -> Iterator[TraceContext]:
        """A span below `parent`; yields the context to pass on. Attributes: never personal."""
        if self._tracer is None or not parent.sampled:
            yield parent
            return
        from opentelemetry import trace  # noqa: PLC0415

        remote = trace.SpanContext(
            trace_id=int.from_bytes(parent.trace_id, "big"),
            span_id=int.from_bytes(parent.span_id, "big"),
            is_remote=True,
            trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        )
        above = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        with self._tracer.start_as_current_span(name, above, attributes=dict(attributes)) as span:
            span_id = span.get_span_context().span_id
            yield TraceContext(parent.trace_id, span_id.to_bytes(8, "big"), sampled=True)

    def close(self) -> None:
        """Export what is left and stop."""
        self._close()
