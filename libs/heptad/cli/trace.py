"""`heptad trace`: one trace of a cell on this machine, as a tree."""

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told
from heptad.cli.up import HOME_OPTION
from heptad.observability.trace_files import (
    StoredSpan,
    in_order,
    spans_of_trace,
    traces_of_entry,
)

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


def command(
    wanted: Annotated[str, typer.Argument(help="A trace's id (32 digits), or a request's.")],
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what happened to a traced request or batch, in all services whose files lie here.

    Traced is what came with a sampled `traceparent`, and one batch in so many. Spans never name a
    request: given a request's id, the running gateway is asked for its place in the log, and the
    trace of the batch that brought it there is shown.
    """
    with told(as_json=as_json):
        from heptad.model.requests import is_request_id

        home = home.absolute()
        files = _files(home)
        if _TRACE_ID.fullmatch(wanted.lower()):
            trace_ids = [wanted.lower()]
        elif is_request_id(wanted):
            trace_ids = traces_of_entry(files, _index_of(home, wanted))
        else:
            said = "is neither a trace's id nor a request's"
            fail(f"{wanted!r} {said}", status=EXIT_USAGE, as_json=as_json)
        spans = [span for each in trace_ids for span in spans_of_trace(files, each)]
        if not spans:
            said = "no service here has a span of it: it was not traced, or is not kept any more"
            fail(said, status=EXIT_FAILED, as_json=as_json)
    if as_json:
        print(json.dumps({"spans": [_members(depth, span) for depth, span in in_order(spans)]}))
    else:
        _print(spans)


def _files(home: Path) -> list[Path]:
    """Where the members whose folders lie here write their spans, the older files first."""
    from heptad.observability.span_export import rotated
    from heptad.runtime.config import load_cell
    from heptad.runtime.config.files import NODE_FILE
    from heptad.runtime.telemetry import TRACES_FILE

    files: list[Path] = []
    for name in load_cell(home).member_addresses():
        config = home / name / NODE_FILE
        if config.exists():
            node = tomllib.loads(config.read_text("utf-8")).get("node", {})
            path = home / name / node.get("data", "data") / TRACES_FILE
            files += (rotated(path), path)
    return files


def _index_of(home: Path, request_id: str) -> int:
    """The request's place in the log. Raises: Problem, OSError."""
    from heptad.cli.gateway_http import GatewayHttp
    from heptad.model.problems import Problem
    from heptad.runtime.config import load_cell

    gateway = GatewayHttp(f"http://{load_cell(home).gateways[0].http}")
    standing = gateway.get(f"/v1/requests/{request_id}").json()
    index = standing.get("index")
    if not isinstance(index, int):
        raise Problem("receipt_pending", "the request is not in the log yet")
    return index


def _members(depth: int, span: StoredSpan) -> dict[str, object]:
    return {
        "depth": depth,
        "service": span.service,
        "name": span.name,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "start_ns": span.start_ns,
        "duration_ns": span.end_ns - span.start_ns,
        "attributes": span.attributes,
    }


def _print(spans: Sequence[StoredSpan]) -> None:
    from rich.console import Console
    from rich.table import Table

    start_ns = min(span.start_ns for span in spans)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("span", no_wrap=True)
    table.add_column("service", no_wrap=True)
    table.add_column("at", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for depth, span in in_order(spans):
        name = "  " * depth + span.name
        facts = "  ".join(
            f"{key.rpartition('.')[2]}={value}" for key, value in span.attributes.items()
        )
        at_ns, took_ns = span.start_ns - start_ns, span.end_ns - span.start_ns
        table.add_row(name, span.service, _ms(at_ns), _ms(took_ns), facts)
    for trace_id in dict.fromkeys(span.trace_id for span in spans):
        print(f"trace {trace_id}")
    Console().print(table)


def _ms(duration_ns: int) -> str:
    return f"{duration_ns / 1e6:.1f} ms"
