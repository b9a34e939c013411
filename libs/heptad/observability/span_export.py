"""Where spans go once they have ended: a bounded queue, a thread behind it, a sink.

Each sink has a queue and a thread of its own, so that a collector that hangs holds up neither the
service nor the file beside it. A queue that is full drops what comes; what was dropped, and what a
sink failed to take, is counted and shown as a metric. Nothing here raises into a service.

Both sinks write the same bytes: OTLP in its JSON form, one request a line in the file (what
OpenTelemetry calls the OTLP file exporter), one request a POST at a collector's `/v1/traces`. So
neither needs more than the standard library.
Source: OpenTelemetry Protocol 1.x, "JSON Protobuf Encoding" and "OTLP/HTTP".
"""

import json
import os
import threading
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Final, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from heptad.observability.logs import EventLog

QUEUE_MAX: Final = 2_048
"""Spans that wait for one sink."""

TAKEN_MAX: Final = 256
"""Spans that a sink gets at once."""

GATHER_S: Final = 0.2
"""How long spans gather before they are written."""

CLOSE_S_MAX: Final = 2.0
"""How long the end of a service waits for a sink."""

POST_S_MAX: Final = 5.0

_CLIENT: Final = {"Content-Type": "application/json", "User-Agent": "heptad"}
_SPANS_SCOPE: Final = {"name": "heptad"}


class SpanSink(Protocol):
    """Takes encoded spans. Raises: OSError, HTTPException, ValueError where it cannot."""

    name: str

    def write(self, encoded: bytes) -> None:
        """Take one OTLP request, as JSON without a line break."""


class FileSink:
    """Lines in `path`; beyond half of `bytes_max` it becomes `path.1`, and the one before goes."""

    name = "file"

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        self._path = path
        self._bytes_max = bytes_max // 2

    def write(self, encoded: bytes) -> None:
        """See `SpanSink`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        if self._path.exists() and self._path.stat().st_size + len(encoded) > self._bytes_max:
            self._path.replace(rotated(self._path))
        with os.fdopen(os.open(self._path, flags, 0o600), "ab") as file:
            file.write(encoded + b"\n")


class CollectorSink:
    """POSTs to an OTLP collector."""

    name = "collector"

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is http:// or https://, without `/v1/traces`."""
        self._url = endpoint.rstrip("/") + "/v1/traces"

    def write(self, encoded: bytes) -> None:
        """See `SpanSink`. The answer is not read: it is only telemetry."""
        request = urllib.request.Request(self._url, encoded, _CLIENT, method="POST")  # noqa: S310  the scheme is checked with the configuration
        with urllib.request.urlopen(request, timeout=POST_S_MAX):  # noqa: S310  as above
            pass


class SpanQueue(SpanProcessor):
    """The queue and the thread of one sink."""

    def __init__(
        self,
        sink: SpanSink,
        *,
        log: EventLog,
        count: Callable[[int, str, str], None],
        size_max: int = QUEUE_MAX,
    ) -> None:
        """`count` is told (spans, sink, fate); a fate is exported, dropped or failed."""
        self._sink = sink
        self._log = log
        self._count = count
        self._size_max = size_max
        self._spans: deque[ReadableSpan] = deque()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._is_failing = False
        self._thread: threading.Thread | None = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """The SDK's hook; what has not ended is nobody's business."""

    def on_end(self, span: ReadableSpan) -> None:
        """The SDK's hook for a span that has ended; never waits."""
        if len(self._spans) >= self._size_max or self._closing.is_set():
            self._count(1, self._sink.name, "dropped")
            return
        self._spans.append(span)
        self._news.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
            self._thread.start()

    def shutdown(self) -> None:
        """Write what is left, within two seconds."""
        self._closing.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S_MAX)

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """The SDK's hook; nobody here waits for a sink."""
        return True

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._closing.wait(GATHER_S)
            is_last = self._closing.is_set()
            self._news.clear()
            while self._spans:
                self._export(self._taken())
            if is_last:
                return

    def _taken(self) -> list[ReadableSpan]:
        return [self._spans.popleft() for _ in range(min(len(self._spans), TAKEN_MAX))]

    def _export(self, spans: Sequence[ReadableSpan]) -> None:
        try:
            self._sink.write(encode_spans(spans))
        except (OSError, HTTPException, ValueError) as error:
            self._count(len(spans), self._sink.name, "failed")
            if not self._is_failing:
                self._log.failure("spans_not_exported", error, sink=self._sink.name)
            self._is_failing = True
            return
        self._is_failing = False
        self._count(len(spans), self._sink.name, "exported")


def rotated(path: Path) -> Path:
    """Where the lines before the present ones are."""
    return path.with_name(path.name + ".1")


def encode_spans(spans: Sequence[ReadableSpan]) -> bytes:
    """One OTLP request (ExportTraceServiceRequest) as JSON; all spans are of one service."""
    resource = {"attributes": _attributes(spans[0].resource.attributes)}
    scoped = [{"scope": _SPANS_SCOPE, "spans": [_span(span) for span in spans]}]
    request = {"resourceSpans": [{"resource": resource, "scopeSpans": scoped}]}
    return json.dumps(request, separators=(",", ":")).encode("utf-8")


def _span(span: ReadableSpan) -> dict[str, object]:
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    ids = {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}
    if parent is not None:
        ids["parentSpanId"] = f"{parent.span_id:016x}"
    return {
        **ids,
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
    }


def _attributes(attributes: Mapping[str, object]) -> list[dict[str, object]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: object) -> dict[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"stringValue": str(value)}
