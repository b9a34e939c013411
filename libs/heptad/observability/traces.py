"""W3C trace context, and spans of what is sampled.

A trace is sampled per batch, never per operation: what nobody asked to be traced costs one branch,
and no object is made for it. What is traced was asked for by a sampled `traceparent`, or is one in
so many batches; either way there is a budget for each second, since a header costs its sender
nothing. The spans of one trace are made where things happen, by each service for itself, from facts
that its shell sees; the pure rooms know of none.

Names of spans and keys of attributes are two small tables. So nothing about a person can get into a
trace by a slip: there is no attribute that could hold it. A context that came over the network is
a number under which spans are filed, and is never trusted for anything else.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.context import Context as OtelContext
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer as OtelTracer

PACKED_BYTES: Final = 24
"""Of one sampled context on the wire: trace id (16), span id (8)."""

ATTRIBUTES: Final = frozenset(
    {
        "http.request.method", "http.route", "http.response.status_code",
        "heptad.code", "heptad.replayed", "heptad.validator", "heptad.sequence", "heptad.records",
        "heptad.bytes", "heptad.first_index", "heptad.height", "heptad.round", "heptad.leader",
        "heptad.size", "heptad.replica",
    }
)  # fmt: skip
"""All that a span may say besides its name: codes of the table, numbers, members, routes."""

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 0x01

Attributes: TypeAlias = Mapping[str, str | int | bool]
_NO_ATTRIBUTES: Final[Attributes] = MappingProxyType({})


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

    @property
    def packed(self) -> bytes:
        """The 24 bytes of a context that is sampled; others do not travel."""
        return self.trace_id + self.span_id


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


def unpack_contexts(packed: bytes) -> Iterator[TraceContext]:
    """The sampled contexts of 24 bytes each; what is none (a rest, an id of zeros) is left out."""
    for start in range(0, len(packed) - PACKED_BYTES + 1, PACKED_BYTES):
        trace_id, span_id = packed[start : start + 16], packed[start + 16 : start + PACKED_BYTES]
        if any(trace_id) and any(span_id):
            yield TraceContext(trace_id, span_id, sampled=True)


class Span:
    """A span that is open; `context` is what to hand on for whatever happens below it."""

    __slots__ = ("_span", "context")

    def __init__(self, span: "OtelSpan") -> None:
        self._span = span
        facts = span.get_span_context()
        self.context = TraceContext(
            facts.trace_id.to_bytes(16, "big"), facts.span_id.to_bytes(8, "big"), sampled=True
        )

    def end(self, attributes: Attributes = _NO_ATTRIBUTES, *, end_ns: int | None = None) -> None:
        """End it, now or at a Unix time in ns, with attributes out of `ATTRIBUTES`."""
        for key, value in attributes.items():
            assert key in ATTRIBUTES, key
            self._span.set_attribute(key, value)
        self._span.end(end_ns)


class Budget:
    """So many in each second, by a monotonic clock."""

    def __init__(self, per_s_max: int, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s_max = per_s_max
        self._now_s = now_s
        self._second = 0
        self._spent = 0
        self.refused = 0
        """How many came over it."""

    def take(self) -> bool:
        """True for one that is within the budget."""
        second = int(self._now_s())
        if second != self._second:
            self._second, self._spent = second, 0
        if self._spent >= self._per_s_max:
            self.refused += 1
            return False
        self._spent += 1
        return True


class Tracer:
    """Opens spans for contexts that it has accepted; without processors it accepts none."""

    def __init__(
        self,
        *,
        service: str = "",
        cell: str = "",
        processors: "tuple[SpanProcessor, ...]" = (),
        budget: Budget | None = None,
        one_in: int = 0,
    ) -> None:
        """`processors` take the spans that have ended; `one_in` of so many is `due`, 0: none."""
        self._budget = budget or Budget(0)
        self._one_in = one_in
        self._count = 0
        self._tracer: OtelTracer | None = None
        self._close: Callable[[], None] = lambda: None
        if processors:
            self._start(service, cell, processors)

    def _start(self, service: str, cell: str, processors: "tuple[SpanProcessor, ...]") -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  only where it is used
        from opentelemetry.sdk.trace import TracerProvider, sampling  # noqa: PLC0415  when traced

        provider = TracerProvider(
            sampler=sampling.ALWAYS_ON,
            resource=Resource({"service.name": service, "service.namespace": cell}),
            shutdown_on_exit=False,
        )
        for processor in processors:
            provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("heptad")
        self._close = provider.shutdown

    @property
    def refused(self) -> int:
        """How many contexts came over the budget."""
        return self._budget.refused

    def accepts(self, context: TraceContext | None) -> bool:
        """Whether spans are to be made under this context: it is sampled, and within the budget."""
        if self._tracer is None or context is None or not context.sampled:
            return False
        return self._budget.take()

    def due(self) -> bool:
        """True for one in so many calls: whoever asks begins a trace of its own."""
        if not self._one_in or self._tracer is None:
            return False
        self._count += 1
        return self._count % self._one_in == 0

    def begin(self, name: str, parent: TraceContext | None, *, start_ns: int | None = None) -> Span:
        """A span below an accepted `parent`, or the root of a new trace.

        It begins now, or at a Unix time in ns. `name` is a constant, or a route's template.
        """
        assert self._tracer is not None, "only what was accepted is traced"
        above = _nothing() if parent is None else _above(parent)
        return Span(self._tracer.start_span(name, above, start_time=start_ns))

    def record(
        self,
        name: str,
        parent: TraceContext,
        *,
        start_ns: int,
        end_ns: int,
        attributes: Attributes = _NO_ATTRIBUTES,
    ) -> None:
        """A span that is over already."""
        self.begin(name, parent, start_ns=start_ns).end(attributes, end_ns=end_ns)

    def close(self) -> None:
        """Export what is left and stop."""
        self._close()


def _nothing() -> "OtelContext":
    from opentelemetry.context import Context  # noqa: PLC0415  when traced

    return Context()


def _above(parent: TraceContext) -> "OtelContext":
    from opentelemetry import trace  # noqa: PLC0415  when traced

    remote = trace.SpanContext(
        trace_id=int.from_bytes(parent.trace_id, "big"),
        span_id=int.from_bytes(parent.span_id, "big"),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), _nothing())
