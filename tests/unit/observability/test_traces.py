"""W3C trace context, and spans only for what is sampled."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from heptad.observability.logs import _PRIVATE_NAMES
from heptad.observability.traces import (
    ATTRIBUTES,
    PACKED_BYTES,
    Budget,
    TraceContext,
    Tracer,
    parse_traceparent,
    unpack_contexts,
)

# The example of W3C Trace Context, section 3.2.3.
EXAMPLE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

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


def collecting(**settings):
    exporter = InMemorySpanExporter()
    processors = (SimpleSpanProcessor(exporter),)
    budget = Budget(settings.pop("per_s", 100), now_s=lambda: 0.0)
    return exporter, Tracer(service="validator-1", processors=processors, budget=budget, **settings)


@given(contexts.map(lambda context: replace(context, sampled=True)))
def test_a_packed_context_is_unpacked_as_it_was(context: TraceContext) -> None:
    assert len(context.packed) == PACKED_BYTES
    assert list(unpack_contexts(context.packed)) == [context]


@pytest.mark.parametrize("packed", [b"", b"x" * 23, bytes(24), bytes(16) + b"x" * 8])
def test_what_is_no_context_is_unpacked_as_nothing(packed: bytes) -> None:
    assert list(unpack_contexts(packed)) == []


def test_a_sampled_span_is_exported_below_its_parent() -> None:
    exporter, tracer = collecting()
    parent = parse_traceparent(EXAMPLE)
    assert tracer.accepts(parent)
    span = tracer.begin("validator.batch", parent)
    assert span.context.trace_id == parent.trace_id
    span.end({"heptad.records": 7})
    (found,) = exporter.get_finished_spans()
    assert (found.name, found.attributes["heptad.records"]) == ("validator.batch", 7)
    assert found.parent.span_id.to_bytes(8, "big") == parent.span_id
    assert found.context.span_id.to_bytes(8, "big") == span.context.span_id


def test_a_span_may_lie_in_the_past() -> None:
    exporter, tracer = collecting()
    tracer.record("replica.order", parse_traceparent(EXAMPLE), start_ns=5, end_ns=9)
    (found,) = exporter.get_finished_spans()
    assert (found.start_time, found.end_time) == (5, 9)


def test_a_trace_without_a_parent_has_a_root() -> None:
    exporter, tracer = collecting()
    tracer.begin("validator.batch", None).end()
    (found,) = exporter.get_finished_spans()
    assert found.parent is None


def test_what_is_not_sampled_is_not_accepted() -> None:
    _, tracer = collecting()
    assert not tracer.accepts(parse_traceparent(EXAMPLE[:-1] + "0"))
    assert not tracer.accepts(None)


def test_a_tracer_without_processors_accepts_nothing_and_nothing_is_ever_due() -> None:
    tracer = Tracer(budget=Budget(100), one_in=1)
    assert not tracer.accepts(parse_traceparent(EXAMPLE))
    assert not tracer.due()


def test_one_in_so_many_is_due_and_none_where_none_shall_be() -> None:
    _, tracer = collecting(one_in=3)
    assert [tracer.due() for _ in range(7)] == [False, False, True, False, False, True, False]
    _, tracer = collecting(one_in=0)
    assert not any(tracer.due() for _ in range(10))


def test_a_second_has_a_budget_and_the_next_one_another() -> None:
    now_s = 0.0
    budget = Budget(2, now_s=lambda: now_s)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    now_s = 1.0
    assert budget.take()
    assert budget.refused == 1


def test_a_span_has_no_attribute_that_is_not_in_the_table() -> None:
    _, tracer = collecting()
    with pytest.raises(AssertionError, match="subject"):
        tracer.begin("validator.batch", None).end({"subject": "kn-1"})


def test_no_attribute_of_the_table_could_hold_what_a_log_withholds() -> None:
    assert [name for name in ATTRIBUTES if _PRIVATE_NAMES.search(name.rpartition(".")[2])] == []
