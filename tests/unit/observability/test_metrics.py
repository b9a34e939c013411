"""Metrics come out under the names and with the labels that the catalogue promises."""

import re

import pytest

from heptad.observability import catalogue
from heptad.observability.catalogue import CATALOGUE, Kind, Metric
from heptad.observability.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(cell="cell.test", service="replica-1")


def feed(metrics: Metrics, metric: Metric) -> None:
    labels = [f"{label}-value" for label in metric.labels]
    match metric.kind:
        case Kind.COUNTER:
            metrics.counter(metric).add(2, *labels)
        case Kind.GAUGE:
            metrics.gauge(metric).set(2, *labels)
        case Kind.HISTOGRAM:
            metrics.histogram(metric).record(2, *labels)


def samples(metrics: Metrics, name: str) -> dict[str, float]:
    """Label text (without braces) to value, of one sample name."""
    pattern = re.compile(rf"^{name}(?:\{{(.*)\}})? (\S+)$", re.MULTILINE)
    text = metrics.exposition().decode()
    return {match[1] or "": float(match[2]) for match in pattern.finditer(text)}


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_each_row_is_exported_under_its_own_name_and_labels(metrics: Metrics, name: str) -> None:
    metric = CATALOGUE[name]
    feed(metrics, metric)
    exported = f"{name}_sum" if metric.kind is Kind.HISTOGRAM else name
    labels = ",".join(f'{label}="{label}-value"' for label in sorted(metric.labels))
    assert samples(metrics, exported) == {labels: 2.0}


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_names_follow_prometheus_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
    assert list(metric.buckets) == sorted(metric.buckets)
    unit_suffix = {"s": "_seconds", "By": "_bytes", "1": ""}[metric.unit]
    assert metric.name.removesuffix("_total").endswith(unit_suffix)
    assert metric.help.endswith(".")


@pytest.mark.parametrize(
    "name",
    [
        "http_requests_total",
        "http_request_duration_seconds",
        "byzantine_consensus_success_rate",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    ],
)
def test_the_names_that_others_were_promised_exist(metrics: Metrics, name: str) -> None:
    for metric in CATALOGUE.values():
        feed(metrics, metric)
    assert f"\n# TYPE {name} " in metrics.exposition().decode()


def test_a_counter_adds_up_for_each_combination_of_labels(metrics: Metrics) -> None:
    counter = metrics.counter(catalogue.REFUSALS_TOTAL)
    counter.add(1, "key_unknown")
    counter.add(2, "overloaded")
    counter.add(3, "overloaded")
    assert samples(metrics, "heptad_refusals_total") == {
        'code="key_unknown"': 1.0,
        'code="overloaded"': 5.0,
    }


def test_asking_twice_gives_the_same_instrument(metrics: Metrics) -> None:
    for ask in (metrics.counter, metrics.counter):
        ask(catalogue.REFUSALS_TOTAL).add(1, "x")
    metrics.gauge(catalogue.BATCHES_PENDING).add(3)
    metrics.gauge(catalogue.BATCHES_PENDING).add(-1)
    assert samples(metrics, "heptad_refusals_total") == {'code="x"': 2.0}
    assert samples(metrics, "consensus_batches_pending") == {"": 2.0}


def test_a_reading_is_taken_at_each_scrape(metrics: Metrics) -> None:
    level = {(): 1.0}
    metrics.read(catalogue.LEDGER_LOG_SIZE, lambda: level)
    assert samples(metrics, "ledger_log_size") == {"": 1.0}
    level[()] = 8.0
    assert samples(metrics, "ledger_log_size") == {"": 8.0}


def test_a_histogram_counts_into_the_buckets_of_its_row(metrics: Metrics) -> None:
    histogram = metrics.histogram(catalogue.BATCH_RECORDS)
    for records in (1, 3, 900):
        histogram.record(records)
    found = samples(metrics, "validator_batch_records_bucket")
    assert found['le="1.0"'] == 1.0
    assert found['le="5.0"'] == 2.0
    assert found['le="1000.0"'] == 3.0
    assert len(found) == len(catalogue.BATCH_RECORDS.buckets) + 1


def test_wrong_labels_and_a_falling_counter_are_bugs(metrics: Metrics) -> None:
    counter = metrics.counter(catalogue.REFUSALS_TOTAL)
    with pytest.raises(AssertionError):
        counter.add(1)
    with pytest.raises(AssertionError):
        counter.add(-1, "x")
    with pytest.raises(ValueError, match="zip"):
        metrics.histogram(catalogue.BATCH_RECORDS).record(1, "x")


def test_two_registries_in_one_process_do_not_mix(metrics: Metrics) -> None:
    other = Metrics(cell="cell.test", service="replica-2")
    other.counter(catalogue.REFUSALS_TOTAL).add(1, "x")
    metrics.counter(catalogue.REFUSALS_TOTAL)
    assert samples(metrics, "heptad_refusals_total") == {}
