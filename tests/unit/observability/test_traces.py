"""W3C trace context, and spans only for what is sampled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from heptad.observability.traces import TraceContext, Tracer, new_context, parse_traceparent

# The example of W3C Trace Context, section 3.2.3.
EXAMPLE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

ids = st.integers(1, 255).map(lambda byte: bytes([byte]))
contexts = st.builds(
    TraceContext,
    st.binary(min_size=16, max_size=16).filter(any),
    st.binary(min_size=8, max_size=8).filter(any),
    st.booleans(),
)


def test_the_standards_example_is_read() -> None:
    context = parse_traceparent(EXAMPLE)
    assert context.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert context.span_id.hex() == "00f067aa0ba902b7"
    assert context.sampled
    assert context.traceparent == EXAMPLE


@given(contexts)
def test_what_is_written_is_read_back(context: TraceContext) -> None:
    assert parse_traceparent(context.traceparent) == context


@pytest.mark.parametrize(
    "header",
    [
        "",
        EXAMPLE.upper(),
        EXAMPLE + "-more",
        EXAMPLE[:-1],
        EXAMPLE.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        EXAMPLE + "\n",
    ],
)
def test_what_the_standard_says_to_ignore_is_ignored(header: str) -> None:
    assert parse_traceparent(header) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parse_traceparent(EXAMPLE.replace("00-", "01-", 1) + "-more").sampled


def test_flags_other_than_sampled_are_not_believed() -> None:
    assert not parse_traceparent(EXAMPLE[:-2] + "fe").sampled


def test_ids_are_never_all_zero() -> None:
    context = new_context(entropy=bytes, sampled=True)
    assert parse_traceparent(context.traceparent) == context


def test_a_sampled_span_is_exported_below_its_parent() -> None:
    exporter = InMemorySpanExporter()
    tracer = Tracer(service="validator-1", exporter=exporter)
    parent = parse_traceparent(EXAMPLE)
    with tracer.span("batch", parent, {"records": 7}) as context:
        assert context.trace_id == parent.trace_id
        assert context.span_id != parent.span_id
    tracer.close()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.attributes["records"]) == ("batch", 7)
    assert span.parent.span_id.to_bytes(8, "big") == parent.span_id
    assert span.context.span_id.to_bytes(8, "big") == context.span_id


def test_what_is_not_sampled_passes_through_untouched() -> None:
    exporter = InMemorySpanExporter()
    tracer = Tracer(service="validator-1", exporter=exporter)
    parent = parse_traceparent(EXAMPLE[:-1] + "0")
    with tracer.span("batch", parent) as context:
        assert context is parent
    tracer.close()
    assert exporter.get_finished_spans() == ()


def test_without_an_exporter_a_span_is_its_parent() -> None:
    parent = parse_traceparent(EXAMPLE)
    with Tracer(service="x").span("batch", parent) as context:
        assert context is parent
