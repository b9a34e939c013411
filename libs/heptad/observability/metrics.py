"""Metrics: counted cheaply on the hot path, exported through the OpenTelemetry SDK.

`Counter.add` of the SDK costs 6 µs, thirty times what a dictionary costs. So counters and gauges
here are plain Python numbers that the SDK reads when somebody scrapes; only histograms go through
the SDK one by one, and therefore count batches, rounds or calls, never single operations.

Everything is made from a row of `catalogue`, so no metric exists that the table does not list.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.metrics import Histogram as OtelHistogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from heptad.observability.catalogue import Kind, Metric

LabelValues: TypeAlias = tuple[str, ...]
Readings: TypeAlias = Callable[[], Mapping[LabelValues, float]]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Counter:
    """A number that only grows, one for each combination of label values."""

    __slots__ = ("_label_count", "_values")

    def __init__(self, label_count: int) -> None:
        self._label_count = label_count
        self._values: dict[LabelValues, float] = {}

    def add(self, amount: float, *labels: str) -> None:
        """Add `amount` (≥ 0); `labels` in the order of the catalogue."""
        assert len(labels) == self._label_count
        assert amount >= 0
        self._values[labels] = self._values.get(labels, 0) + amount

    def readings(self) -> Mapping[LabelValues, float]:
        """All values, for the exporter and for tests."""
        return self._values


class Gauge:
    """A number that goes up and down, one for each combination of label values."""

    __slots__ = ("_label_count", "_values")

    def __init__(self, label_count: int) -> None:
        self._label_count = label_count
        self._values: dict[LabelValues, float] = {}

    def set(self, value: float, *labels: str) -> None:
        """Set the value; `labels` in the order of the catalogue."""
        assert len(labels) == self._label_count
        self._values[labels] = value

    def add(self, amount: float, *labels: str) -> None:
        """Raise or lower the value."""
        assert len(labels) == self._label_count
        self._values[labels] = self._values.get(labels, 0) + amount

    def readings(self) -> Mapping[LabelValues, float]:
        """All values, for the exporter and for tests."""
        return self._values


class Histogram:
    """A distribution; each `record` costs about 6 µs, so record batches and calls."""

    __slots__ = ("_attributes", "_instrument", "_labels")

    def __init__(self, instrument: OtelHistogram, labels: tuple[str, ...]) -> None:
        self._instrument = instrument
        self._labels = labels
        self._attributes: dict[LabelValues, dict[str, str]] = {}

    def record(self, value: float, *labels: str) -> None:
        """Record one value, in the metric's unit; `labels` in the order of the catalogue."""
        attributes = self._attributes.get(labels)
        if attributes is None:
            attributes = dict(zip(self._labels, labels, strict=True))
            self._attributes[labels] = attributes
        self._instrument.record(value, attributes)


class Metrics:
    """All metrics of one process. Asking twice for the same row gives the same instrument."""

    def __init__(self, *, cell: str, service: str) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        reader = PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)
        resource = Resource({"service.name": service, "service.namespace": cell})
        self._provider = MeterProvider(metric_readers=[reader], resource=resource)
        self._meter = self._provider.get_meter("heptad")
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        self._read: set[str] = set()

    def counter(self, metric: Metric) -> Counter:
        """The counter of a row of the catalogue."""
        made = self._made.get(metric.name)
        if made is None:
            assert metric.kind is Kind.COUNTER
            made = self._made[metric.name] = Counter(len(metric.labels))
            self._observe(metric, made.readings)
        assert isinstance(made, Counter)
        return made

    def gauge(self, metric: Metric) -> Gauge:
        """The gauge of a row of the catalogue."""
        made = self._made.get(metric.name)
        if made is None:
            made = self._made[metric.name] = Gauge(len(metric.labels))
            self._observe(metric, made.readings)
        assert isinstance(made, Gauge)
        return made

    def histogram(self, metric: Metric) -> Histogram:
        """The histogram of a row of the catalogue."""
        made = self._made.get(metric.name)
        if made is None:
            assert metric.kind is Kind.HISTOGRAM
            instrument = self._meter.create_histogram(
                metric.name,
                unit=metric.unit,
                description=metric.help,
                explicit_bucket_boundaries_advisory=metric.buckets,
            )
            made = self._made[metric.name] = Histogram(instrument, metric.labels)
        assert isinstance(made, Histogram)
        return made

    def read(self, metric: Metric, readings: Readings) -> None:
        """Export what `readings()` returns at each scrape: for numbers that already exist.

        The keys are label values in the order of the catalogue; `()` without labels.
        """
        assert metric.name not in self._read
        assert metric.name not in self._made
        self._read.add(metric.name)
        self._observe(metric, readings)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """Release what the SDK holds."""
        self._provider.shutdown()

    def _observe(self, metric: Metric, readings: Readings) -> None:
        def callback(_options: CallbackOptions) -> Iterable[Observation]:
            for values, number in list(readings().items()):
                yield Observation(number, dict(zip(metric.labels, values, strict=True)))

        if metric.kind is Kind.COUNTER:
            self._meter.create_observable_counter(
                metric.name, [callback], unit=metric.unit, description=metric.help
            )
        else:
            assert metric.kind is Kind.GAUGE
            self._meter.create_observable_gauge(
                metric.name, [callback], unit=metric.unit, description=metric.help
            )
