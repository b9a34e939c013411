"""What is traced is a setting, and a call's trace is what its metadata say."""

from dataclasses import replace

import pytest

from heptad.observability import catalogue
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.observability.traces import parse_traceparent
from heptad.runtime.config.decode import decode, encode
from heptad.runtime.config.telemetry import TELEMETRY, Telemetry
from heptad.runtime.errors import ConfigInvalidError
from heptad.runtime.telemetry import TRACES_FILE, open_tracer, trace_of_call

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Call:
    def __init__(self, *metadata):
        self._metadata = metadata

    def invocation_metadata(self):
        return self._metadata


def test_a_call_belongs_to_the_sampled_trace_of_its_metadata():
    call = Call(("user-agent", "x"), ("traceparent", SAMPLED))
    assert trace_of_call(call) == parse_traceparent(SAMPLED)


@pytest.mark.parametrize("value", [SAMPLED[:-1] + "0", "rubbish", b"bytes"])
def test_a_call_without_a_sampled_trace_belongs_to_none(value):
    assert trace_of_call(Call(("traceparent", value))) is None
    assert trace_of_call(Call()) is None
    assert trace_of_call(Call(("tracestate", SAMPLED))) is None


def opened(tmp_path, **settings):
    metrics = Metrics(cell="cell.example", service="ledger-1")
    tracer = open_tracer(
        replace(TELEMETRY, **settings),
        data=tmp_path,
        cell="cell.example",
        service="ledger-1",
        metrics=metrics,
        log=EventLog(bound={}, write=lambda line: None),
    )
    return tracer, metrics


def test_spans_lie_in_the_folder_of_data_and_are_counted(tmp_path):
    tracer, metrics = opened(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert tracer.accepts(parse_traceparent(SAMPLED))
    tracer.begin("ledger.block", parse_traceparent(SAMPLED)).end()
    tracer.close()
    assert b"ledger.block" in (tmp_path / TRACES_FILE).read_bytes()
    readings = metrics.counter(catalogue.TRACE_SPANS_TOTAL).readings()
    assert dict(readings) == {("file", "exported"): 1}
    metrics.close()


@pytest.mark.parametrize("settings", [{"traces_per_s_max": 0}, {"trace_file_bytes_max": 0}])
def test_a_process_that_shall_make_no_spans_accepts_no_trace(tmp_path, settings):
    tracer, metrics = opened(tmp_path, **settings)
    assert not tracer.accepts(parse_traceparent(SAMPLED))
    metrics.close()


def test_what_comes_over_the_limit_of_a_second_is_told(tmp_path):
    tracer, metrics = opened(tmp_path, traces_per_s_max=1)
    for _ in range(5):
        tracer.accepts(parse_traceparent(SAMPLED))
    # a second may have ended in between
    assert tracer.refused >= 3
    assert b"traces_refused_total" in metrics.exposition()
    tracer.close()
    metrics.close()


@pytest.mark.parametrize(
    "address", ["127.0.0.1:4318", "ftp://collector", "http://", "http://u:p@host", "http://h/?q=1"]
)
def test_an_address_that_is_no_collectors_is_a_mistake(address):
    assert list(replace(TELEMETRY, otlp_endpoint=address).mistakes())


def test_a_collectors_address_is_taken_and_read_back():
    settings = replace(TELEMETRY, otlp_endpoint="https://collector.example:4318/otlp")
    assert not list(settings.mistakes())
    assert decode(Telemetry, encode(settings), source="x") == settings
    with pytest.raises(ConfigInvalidError, match="trace_one_in"):
        decode(Telemetry, {"trace_one_in": -1}, source="x")
