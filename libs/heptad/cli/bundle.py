"""`heptad bundle`: record events from a file, under one signature of a service.

Each line of the file is a JSON object: `subject`, `action`, `payload` (any JSON, which is recorded
in its shortest spelling; a string as its own text), and perhaps `outcome` ("allowed" or "denied")
and `time_ms`. What is wrong with a line is said before anything is sent.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told
from heptad.cli.request_options import AsJson
from heptad.model.bundles import EVENTS_MAX
from heptad.model.entry import Outcome

if TYPE_CHECKING:
    from heptad.crypto.bundles import Event
    from heptad.model.answers import BundleRecorded
    from heptad.verification import BundleFile

TIME_MS_MAX: Final = (1 << 63) - 1
ACTION_CHARACTERS_MAX: Final = 1_000
_OUTCOMES: Final = {"allowed": Outcome.ALLOWED, "denied": Outcome.DENIED}
_REQUIRED: Final = frozenset({"subject", "action", "payload"})
_ALLOWED: Final = _REQUIRED | {"outcome", "time_ms"}


class LineError(ValueError):
    """A line of the file is no event; the message says which and why."""


def command(
    events: Annotated[str, typer.Argument(help="Events, a JSON object a line; - reads stdin.")],
    *,
    profile: Annotated[
        Path, typer.Option(help="The service's profile, such as .heptad/clients/tax-portal.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Also fetch the whole bundle with its proofs into this file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign up to 999 events as one bundle and record them: all of them, or none.

    A line is `{"subject": …, "action": …, "payload": …}`, perhaps with `outcome` and `time_ms`.
    """
    with told(as_json=as_json):
        text = sys.stdin.read() if events == "-" else Path(events).read_text("utf-8")
        try:
            read = list(read_events(text, now_ms=time.time_ns() // 1_000_000))
        except LineError as error:
            fail(str(error), status=EXIT_USAGE, as_json=as_json)
        recorded, proof = _record(profile, read, wants_proof=out is not None)
        if out is not None and proof is not None:
            out.write_bytes(proof.encode())
    _print(recorded, out, as_json=as_json)
    if recorded.recorded.state.name != "COMMITTED":
        raise typer.Exit(EXIT_FAILED)


def read_events(text: str, *, now_ms: int) -> "Iterator[Event]":
    """The events of a file; those without a time happened at `now_ms`. Raises: LineError."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= EVENTS_MAX:
        raise LineError(f"{len(lines)} events; a bundle has 1 to {EVENTS_MAX}")
    for number, line in enumerate(lines, start=1):
        yield _event(number, line, now_ms)


def _event(number: int, line: str, now_ms: int) -> "Event":
    from heptad.crypto.bundles import Event

    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        raise LineError(f"line {number} is not JSON") from None
    if not isinstance(members, dict) or not _REQUIRED <= members.keys() <= _ALLOWED:
        listed = ", ".join(sorted(_ALLOWED))
        raise LineError(f"line {number} is no object of {listed}")
    subject, action = members["subject"], members["action"]
    if not isinstance(subject, str) or not isinstance(action, str):
        raise LineError(f"line {number}: subject and action are strings")
    outcome = _OUTCOMES.get(str(members.get("outcome", "allowed")))
    time_ms = members.get("time_ms", now_ms)
    if outcome is None or type(time_ms) is not int or not 0 <= time_ms <= TIME_MS_MAX:
        raise LineError(f"line {number}: outcome is allowed or denied, time_ms a whole number")
    if not action.isascii() or len(action) > ACTION_CHARACTERS_MAX:
        detail = f"an action has at most {ACTION_CHARACTERS_MAX} characters, all of them ASCII"
        raise LineError(f"line {number}: {detail}")
    return Event(subject, action, _payload(members["payload"]), time_ms, outcome)


def _payload(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _record(
    profile: Path, events: "list[Event]", *, wants_proof: bool
) -> "tuple[BundleRecorded, BundleFile | None]":
    from heptad.client import BlockingClient

    with BlockingClient(profile) as heptad:
        recorded = heptad.submit_bundle(events)
        if not wants_proof:
            return recorded, None
        return recorded, heptad.bundle_file(recorded.recorded.request_id)


def _print(recorded: "BundleRecorded", out: Path | None, *, as_json: bool) -> None:
    from heptad.model import base64url

    members: dict[str, object] = {
        "request_id": base64url.encode(recorded.recorded.request_id),
        "state": recorded.recorded.state.name,
        "index": recorded.recorded.index,
        "count": recorded.count,
    }
    if out is not None:
        members["proof"] = str(out)
    if as_json:
        print(json.dumps(members))
        return
    for name, value in members.items():
        print(f"{name:<10}  {value}")
