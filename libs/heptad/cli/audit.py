"""`heptad audit`: watch a log as somebody who trusts nobody, once or for good.

Exit codes with --once: 0 all is well · 1 an alarm was raised · 2 the log could not be looked at.
Also 2: what --compare names could not be compared with, or what was proved not be written down.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.auditing.walk import RECHECK_BUNDLES, RECHECK_BUNDLES_MAX
from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told
from heptad.cli.plain import plain
from heptad.runtime.config.addresses import address_mistake

if TYPE_CHECKING:
    from heptad.auditing.auditor import Auditor, Round
    from heptad.auditing.terms import AuditTerms, Progress
    from heptad.consensus.committee import Cell
    from heptad.observability.logs import EventLog
    from heptad.runtime.service_keys import ServiceKeys

FREEZE_AFTER_S_DEFAULT: Final = 86_400


def command(
    source: Annotated[str, typer.Argument(help="The log: its address (https://…), or a folder.")],
    *,
    policy: Annotated[
        Path, typer.Option(help="Policy file of the cell, from somebody else than the log.")
    ],
    state: Annotated[
        Path, typer.Option(help="Folder for what is remembered, and for proofs of what is wrong.")
    ],
    cell: Annotated[
        Path | None,
        typer.Option(help="cell.toml, to judge evidence and bundles that the log holds."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    interval: Annotated[
        float, typer.Option(min=1.0, max=86_400.0, help="Seconds between two looks.")
    ] = 60.0,
    metrics: Annotated[
        str | None, typer.Option(help="HOST:PORT to serve Prometheus metrics on.")
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(help="Another auditor's state, a checkpoint, or a second copy of the log."),
    ] = None,
    freeze_after: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Seconds that the newest checkpoint may be old; 0 for any age, which is the "
            "default for a folder. For an address it is a day.",
        ),
    ] = None,
    recheck: Annotated[
        int,
        typer.Option(
            min=0,
            max=RECHECK_BUNDLES_MAX,
            help="How many bundles of 256 entries, proved before, are read again at each look.",
        ),
    ] = RECHECK_BUNDLES,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Follow a log: hash every new entry up to the cosigned root, and raise alarms with proofs.

    The first look reads the whole log; each later one what is new, and again a part of what is old
    (--recheck), so that a file that is altered or taken away later is found. With --once: ends with
    0 if all is well, 1 after an alarm, 2 if it could not look, compare or write down its state.
    """
    if metrics is not None and (mistake := address_mistake(metrics)):
        fail(f"--metrics: {mistake}", status=EXIT_USAGE, as_json=as_json)
    if freeze_after is None:
        freeze_after = FREEZE_AFTER_S_DEFAULT if "://" in source else 0
    log = _event_log(source, is_quiet=once)
    with told(as_json=as_json), _auditing(as_json=as_json):
        terms = _terms(source, policy, cell, freeze_after, recheck, as_json=as_json)
        with _opened(source, state, terms, log, compare or []) as auditor:
            if once:
                _look_once(auditor, as_json=as_json)
            else:
                _follow(auditor, interval, metrics, terms, as_json=as_json)


def _terms(
    source: str,
    policy: Path,
    cell: Path | None,
    freeze_after_s: int,
    recheck_bundles: int,
    *,
    as_json: bool,
) -> "AuditTerms":
    """By what to judge; says its fingerprint. Raises: OSError, RuntimeRoomError."""
    from heptad.auditing.terms import AuditTerms
    from heptad.transparency.errors import FormatError
    from heptad.transparency.policy import Policy, fingerprint

    content = policy.read_bytes()
    try:
        judged_by = Policy.parse(content)
    except FormatError as error:
        fail(f"{policy} is no policy: {error}", status=EXIT_USAGE, as_json=as_json)
    if not as_json:
        print(f"policy   SHA-256 {fingerprint(content)}", file=sys.stderr)
    agreed, keys = (None, None) if cell is None else _cell(cell)
    return AuditTerms(judged_by, source, freeze_after_s, agreed, keys, recheck_bundles)


def _cell(path: Path) -> "tuple[Cell, ServiceKeys]":
    from heptad.runtime.config import Cell
    from heptad.runtime.config.decode import read
    from heptad.runtime.group import agreed_cell
    from heptad.runtime.service_keys import service_keys

    cell = read(Cell, path)
    return agreed_cell(cell), service_keys(cell)


def _event_log(source: str, *, is_quiet: bool) -> "EventLog":
    """A daemon tells its life on standard error; a single look prints what it has found."""
    from heptad.observability.logs import EventLog

    bound = {"service": "auditor", "source": source}
    return EventLog(bound=bound, write=lambda line: None) if is_quiet else EventLog(bound=bound)


@contextmanager
def _auditing(*, as_json: bool) -> Iterator[None]:
    """What keeps an auditor from its work is no finding: it ends with 2."""
    from heptad.auditing.errors import AuditingError
    from heptad.verification import SourceUnreadableError

    try:
        yield
    except (AuditingError, SourceUnreadableError) as error:
        fail(str(error), status=EXIT_USAGE, as_json=as_json)


@contextmanager
def _opened(
    source: str, state: Path, terms: "AuditTerms", log: "EventLog", compare: list[str]
) -> Iterator["Auditor"]:
    from heptad.auditing.auditor import Auditor
    from heptad.auditing.comparing import OtherAuditor
    from heptad.auditing.state import StateFolder
    from heptad.verification import open_source

    folder = StateFolder(state)
    try:
        others = [OtherAuditor(where) for where in compare]
        with open_source(source) as log_source:
            yield Auditor(source=log_source, folder=folder, terms=terms, log=log, others=others)
    finally:
        folder.close()


def _look_once(auditor: "Auditor", *, as_json: bool) -> None:
    with _progress(is_shown=not as_json) as progress:
        finished = auditor.look(progress)
    _print(finished, as_json=as_json)
    if finished.told or finished.untold:
        raise typer.Exit(EXIT_FAILED)
    if finished.away or finished.unsaved or any(not each.is_made for each in finished.compared):
        raise typer.Exit(EXIT_USAGE)


def _follow(
    auditor: "Auditor",
    interval_s: float,
    metrics: str | None,
    terms: "AuditTerms",
    *,
    as_json: bool,
) -> None:
    from heptad.auditing.daemon import follow

    def tell(finished: "Round") -> None:
        if any(each.is_new for each in finished.told):
            _print(finished, as_json=as_json)

    asyncio.run(
        follow(
            auditor,
            interval_s=interval_s,
            metrics_address=metrics,
            cell=", ".join(dict.fromkeys(known.key.name for known in terms.policy.logs)),
            tell=tell,
        )
    )


@contextmanager
def _progress(*, is_shown: bool) -> Iterator["Progress"]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    bar = Progress(
        "entries", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), disable=not is_shown, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(finished: "Round", *, as_json: bool) -> None:
    head = finished.state.checkpoint
    if as_json:
        alarms = [
            {
                "kind": str(each.raised.alarm),
                "severity": each.raised.alarm.severity,
                "detail": each.raised.detail,
                "proof": None if each.proof is None else str(each.proof),
                "lost": each.lost,
                "is_new": each.is_new,
            }
            for each in finished.told
        ]
        verified = None
        if head is not None:
            verified = {"origin": head.origin, "size": head.size, "root": head.root.hex()}
        said = {
            "verified": verified,
            "entries": finished.entries,
            "rechecked": finished.rechecked,
            "unread": list(finished.unread),
            "alarms": alarms,
            "untold": finished.untold,
            "away": finished.away,
            "unsaved": finished.unsaved,
            "compared": [
                {"other": each.name, "found": each.said, "is_made": each.is_made}
                for each in finished.compared
            ],
        }
        print(json.dumps(said), flush=True)
        return
    print("\n".join(map(plain, _lines(finished))), flush=True)


def _lines(finished: "Round") -> Iterator[str]:
    """What a person reads; some of it are a log's own words."""
    for told_one in finished.told:
        mark, raised = "ALARM" if told_one.is_new else "STILL", told_one.raised
        yield f"{mark}  {raised.alarm} ({raised.alarm.severity}): {raised.detail}"
        yield f"       proof: {told_one.proof or told_one.lost}"
    if finished.untold:
        yield f"ALARM  {finished.untold} more, counted only"
    if finished.away:
        yield f"AWAY   {finished.away}"
    for other in finished.compared:
        yield f"{'OTHER ' if other.is_made else 'UNCOMPARED'} {other.name}: {other.said}"
    yield from (f"UNREAD {reason}" for reason in finished.unread)
    if finished.unsaved:
        yield f"UNSAVED {finished.unsaved}"
    head = finished.state.checkpoint
    proved = "nothing yet" if head is None else f"{head.size} entries, root {head.root.hex()}"
    again = f", {finished.rechecked} bundles read again" if finished.rechecked else ""
    yield f"proved {proved}; {finished.entries} entries hashed now{again}"
