"""Reading the `traces.jsonl` of services, and putting the spans of one trace in order.

Clocks are those of the services: on one machine they agree, between machines a span may seem to
begin before the one above it. Lines that cannot be read (one may be being written) are passed over:
a trace is a picture, and whatever is in the file may still help.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LINE_BYTES_MAX: Final = 4 << 20
"""A line holds some 256 spans."""

SPANS_MAX: Final = 10_000
"""Of one trace; a client may give all its requests the same id."""


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span as a service wrote it. Ids in hexadecimal; `parent_id` is empty for a root."""

    service: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str | int | bool]


def spans_of_trace(files: Iterable[Path], trace_id: str) -> list[StoredSpan]:
    """The spans of a trace, earliest first; at most `SPANS_MAX`."""
    found: list[StoredSpan] = []
    for span in _read(files, f'"traceId":"{trace_id}"'):
        if span.trace_id == trace_id and len(found) < SPANS_MAX:
            found.append(span)
    return sorted(found, key=lambda span: (span.start_ns, -span.end_ns))


def traces_of_entry(files: Iterable[Path], index: int) -> list[str]:
    """Ids of the traces of batches that brought the entry of this index into the log."""
    found: dict[str, None] = {}
    for span in _read(files, '"name":"validator.batch"'):
        first = span.attributes.get("heptad.first_index")
        count = span.attributes.get("heptad.records")
        if isinstance(first, int) and isinstance(count, int) and first <= index < first + count:
            found[span.trace_id] = None
    return list(found)


def in_order(spans: Iterable[StoredSpan]) -> Iterator[tuple[int, StoredSpan]]:
    """(depth, span): each before those below it. One whose parent is not here is a root."""
    ordered = list(spans)
    known = {span.span_id for span in ordered}
    below: dict[str, list[StoredSpan]] = {}
    for span in ordered:
        above = span.parent_id if span.parent_id in known else ""
        below.setdefault(above, []).append(span)
    waiting = [(0, span) for span in reversed(below.pop("", []))]
    while waiting:
        depth, span = waiting.pop()
        yield depth, span
        waiting += [(depth + 1, each) for each in reversed(below.pop(span.span_id, []))]
    # Spans that lie below each other in a ring: nobody made them, and they are shown all the same.
    for ring in below.values():
        yield from ((0, span) for span in ring)


def _read(files: Iterable[Path], needle: str) -> Iterator[StoredSpan]:
    """All spans of lines that hold this text."""
    sought = needle.encode("ascii")
    for path in files:
        if not path.exists():
            continue
        with path.open("rb") as file:
            while line := file.readline(LINE_BYTES_MAX):
                if sought in line:
                    yield from _spans(line)


def _spans(line: bytes) -> Iterator[StoredSpan]:
    try:
        rows = [
            (of_service, row)
            for of_service in json.loads(line)["resourceSpans"]
            for scoped in of_service["scopeSpans"]
            for row in scoped["spans"]
        ]
        yield from [_span(of_service["resource"], row) for of_service, row in rows]
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def _span(resource: Mapping[str, object], row: Mapping[str, object]) -> StoredSpan:
    return StoredSpan(
        service=str(_attributes(resource)["service.name"]),
        trace_id=str(row["traceId"]),
        span_id=str(row["spanId"]),
        parent_id=str(row.get("parentSpanId", "")),
        name=str(row["name"]),
        start_ns=int(str(row["startTimeUnixNano"])),
        end_ns=int(str(row["endTimeUnixNano"])),
        attributes=_attributes(row),
    )


def _attributes(row: Mapping[str, object]) -> dict[str, str | int | bool]:
    rows = row["attributes"]
    if not isinstance(rows, list):
        raise TypeError("attributes are no list")
    return {str(each["key"]): _value(each["value"]) for each in rows}


def _value(value: Mapping[str, object]) -> str | int | bool:
    if "intValue" in value:
        return int(str(value["intValue"]))
    if "boolValue" in value:
        return bool(value["boolValue"])
    return str(value["stringValue"])
