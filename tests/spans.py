"""A tracer for tests: what has ended lies in `spans`, the clock is a counter."""

from itertools import count

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from heptad.observability.traces import Budget, Tracer


class Traced:
    """A tracer and what it has made."""

    def __init__(self, *, per_s=1_000, one_in=0):
        self.exporter = InMemorySpanExporter()
        self.tracer = Tracer(
            service="of a test",
            processors=(SimpleSpanProcessor(self.exporter),),
            budget=Budget(per_s, now_s=lambda: 0.0),
            one_in=one_in,
        )
        self.ticks = count(1)

    def now_ns(self):
        return next(self.ticks)

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    @property
    def names(self):
        return [span.name for span in self.spans]

    def named(self, name):
        return [span for span in self.spans if span.name == name]


def context(number):
    """A packed context, other than that of any other number."""
    return number.to_bytes(16, "big") + number.to_bytes(8, "big")
