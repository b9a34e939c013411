"""`heptad entries`: what is in the log, listed, counted or followed through a gateway.

What is printed is what the gateway says. To trust no gateway, `heptad audit` checks every entry's
hash against cosigned checkpoints.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Final
from urllib.parse import urlencode

import typer

from heptad.cli.exits import EXIT_USAGE, fail, told
from heptad.cli.gateway_http import URL_DEFAULT, GatewayHttp
from heptad.cli.plain import plain
from heptad.cli.request_options import AsJson, Url
from heptad.model.entry import Kind
from heptad.model.problems import Problem

PAGE_SIZE_MAX: Final = 1_000
RETRY_S: Final = 2.0
RETRY_S_MAX: Final = 60.0
TRIES_MAX: Final = 10
"""Of one page."""

_SOON: Final = frozenset({"client_rate_limited", "overloaded"})
_PASSING: Final = frozenset(
    {"ledger_unavailable", "draining", "watch_too_slow", "checkpoint_pending", *_SOON}
)


class What(StrEnum):
    """What to do with entries."""

    LIST = "list"
    COUNT = "count"
    WATCH = "watch"


def command(
    what: Annotated[What, typer.Argument(help="List, count, or follow the log.")] = What.LIST,
    *,
    start: Annotated[
        int | None, typer.Option("--from", min=0, help="First log index. Watch: default new ones.")
    ] = None,
    end: Annotated[
        int, typer.Option("--to", min=0, help="Log index after the last.", show_default=False)
    ] = 0,
    since: Annotated[
        str, typer.Option(help="Block time not before this: RFC 3339 or Unix ms.")
    ] = "",
    until: Annotated[str, typer.Option(help="Block time before this.")] = "",
    service: Annotated[str, typer.Option(help="Relying service, such as tax-portal.")] = "",
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", help="Kind, such as ACCESS; may be repeated.")
    ] = None,
    action: Annotated[str, typer.Option(help="Action, such as consent.grant.")] = "",
    outcome: Annotated[str, typer.Option(help="allowed or denied.")] = "",
    validator: Annotated[
        int, typer.Option(min=0, help="Number of the validator.", show_default=False)
    ] = 0,
    oldest_first: Annotated[
        bool, typer.Option("--oldest-first", help="List from the beginning of the log.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="List at most so many.")] = 20,
    url: Url = URL_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List entries of the log, newest first; count them; or follow the log.

    With --json each entry is an object on a line of its own, its bytes in base64.
    """
    asked = [
        *(("kind", _kind(kind, as_json=as_json)) for kind in kinds or ()),
        ("start_index", "" if start is None else str(start)),
        ("end_index", str(end or "")),
        ("from_ms", _time_ms(since, as_json=as_json)),
        ("until_ms", _time_ms(until, as_json=as_json)),
        ("service", service),
        ("action", action),
        ("outcome", outcome),
        ("validator", str(validator or "")),
    ]
    pairs = [(name, value) for name, value in asked if value]
    with told(as_json=as_json):
        gateway = GatewayHttp(url)
        if what is What.COUNT:
            _print_count(gateway, pairs, as_json=as_json)
            return
        if what is What.WATCH:
            entries = _watched(gateway, f"/v1/entries:watch?{urlencode(pairs)}")
        else:
            pairs.append(("order", "ascending" if oldest_first else "descending"))
            pairs.append(("page_size", str(min(limit, PAGE_SIZE_MAX))))
            entries = islice(_listed(gateway, f"/v1/entries?{urlencode(pairs)}"), limit)
        with suppress(KeyboardInterrupt):
            for entry in entries:
                print(_told(entry, as_json=as_json), flush=what is What.WATCH)


def _kind(text: str, *, as_json: bool) -> str:
    """The name of a kind; ends with 2 if there is none such."""
    kind = text.upper()
    if kind not in Kind.__members__:
        known = ", ".join(Kind.__members__)
        fail(f"no kind {text}; there are {known}", status=EXIT_USAGE, as_json=as_json)
    return kind


def _print_count(gateway: GatewayHttp, pairs: list[tuple[str, str]], *, as_json: bool) -> None:
    count = size = 0
    for part in _pages(gateway, f"/v1/entries:count?{urlencode(pairs)}"):
        count += _whole(part.get("count"))
        size = _whole(part.get("checkpoint_size"))
    if as_json:
        print(json.dumps({"count": count, "checkpoint_size": size}))
    else:
        print(f"{count:,} of {size:,} published entries")


def _time_ms(text: str, *, as_json: bool) -> str:
    """Unix ms of an option, or nothing; a time without a zone is UTC."""
    if not text or (text.isascii() and text.isdecimal()):
        return text
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text} is no RFC 3339 time", status=EXIT_USAGE, as_json=as_json)
    at = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return str(int(at.timestamp() * 1000))


def _pages(gateway: GatewayHttp, path: str) -> Iterator[dict[str, object]]:
    """All pages, the first of which is at `path`, at the pace that the gateway allows.

    Raises: Problem, OSError.
    """
    tries = 0
    while path:
        try:
            page = gateway.get(path).json()
        except Problem as problem:
            tries += 1
            if problem.code not in _SOON or tries == TRIES_MAX:
                raise
            time.sleep(min(problem.retry_after_s or RETRY_S, RETRY_S_MAX))
            continue
        tries = 0
        yield page
        path = str(page.get("next", ""))


def _listed(gateway: GatewayHttp, path: str) -> Iterator[dict[str, object]]:
    """The entries of all pages. Raises: Problem, OSError."""
    for page in _pages(gateway, path):
        entries = page.get("entries")
        yield from entries if isinstance(entries, list) else ()


def _watched(gateway: GatewayHttp, path: str) -> Iterator[dict[str, object]]:
    """Entries as they are published, over interruptions. Raises: Problem, OSError."""
    last_id = ""
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        try:
            problem = None
            for name, event_id, data in _events(gateway.lines(path, headers=headers)):
                last_id = event_id or last_id
                if name == "entry":
                    yield json.loads(data)
                elif name == "problem":
                    problem = str(json.loads(data).get("code"))
            if problem is None:
                return
            print(f"heptad: {problem}, trying again", file=sys.stderr)
        except (Problem, OSError) as error:
            is_passing = isinstance(error, OSError) or error.code in _PASSING
            if not last_id or not is_passing:
                raise
            print(f"heptad: {error}, trying again", file=sys.stderr)
        time.sleep(RETRY_S)


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    """Name, id and data of the events of a stream (WHATWG HTML, section 9.2.6)."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "event" in fields:
            yield fields["event"], fields.get("id", ""), fields.get("data", "")
        fields = {}


def _told(entry: dict[str, object], *, as_json: bool) -> str:
    if as_json:
        return json.dumps(entry)
    names = ("kind", "service", "action", "outcome")
    kind, service, action, outcome = (plain(entry.get(name, "")) for name in names)
    return (
        f"{_whole(entry.get('index')):>10}  {_utc(_whole(entry.get('time_ms', 0))):<24}  "
        f"{kind or '?':<18} {service:<20} {action:<20} {outcome}"
    ).rstrip()


def _utc(time_ms: int) -> str:
    """A time for people; a validator may have written any number."""
    try:
        at = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"
    return f"{at.isoformat(timespec='milliseconds')[:23]}Z"


def _whole(value: object) -> int:
    """A number of the gateway's answer. Raises: Problem `body_malformed`."""
    if not isinstance(value, int):
        raise Problem("body_malformed", "the gateway's answer lacks a number")
    return value
