"""The tracer of a process, from its configuration, and the trace that a call belongs to."""

from pathlib import Path
from typing import Final

import grpc

from heptad.observability import catalogue
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.observability.span_export import CollectorSink, FileSink, SpanQueue, SpanSink
from heptad.observability.traces import Budget, TraceContext, Tracer, parse_traceparent
from heptad.runtime.config.telemetry import Telemetry

TRACES_FILE: Final = "traces.jsonl"
"""In a service's folder of data."""


def open_tracer(
    telemetry: Telemetry, *, data: Path, cell: str, service: str, metrics: Metrics, log: EventLog
) -> Tracer:
    """A tracer that writes to where `telemetry` says; nothing is opened before the first span."""
    fates = metrics.counter(catalogue.TRACE_SPANS_TOTAL)
    sinks: list[SpanSink] = []
    if telemetry.traces_per_s_max and telemetry.trace_file_bytes_max:
        sinks.append(FileSink(data / TRACES_FILE, bytes_max=telemetry.trace_file_bytes_max))
    if telemetry.traces_per_s_max and telemetry.otlp_endpoint:
        sinks.append(CollectorSink(telemetry.otlp_endpoint))
    tracer = Tracer(
        service=service,
        cell=cell,
        processors=tuple(SpanQueue(sink, log=log, count=fates.add) for sink in sinks),
        budget=Budget(telemetry.traces_per_s_max),
        one_in=telemetry.trace_one_in,
    )
    metrics.read(catalogue.TRACES_REFUSED_TOTAL, lambda: {(): float(tracer.refused)})
    return tracer


def trace_of_call(context: "grpc.aio.ServicerContext[object, object]") -> TraceContext | None:
    """The sampled trace that a call's metadata name (`traceparent`), if they name one."""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(value, str):
            trace = parse_traceparent(value)
            return trace if trace is not None and trace.sampled else None
    return None
