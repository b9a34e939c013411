"""`heptad privacy check`: that nobody reads what only a few may read, tried on a running cell.

Exit codes: 0 all of it holds · 1 something does not · 2 something could not be checked here.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heptad.cli import privacy_forensics
from heptad.cli.exits import EXIT_FAILED, fail, told
from heptad.cli.up import HOME_OPTION

if TYPE_CHECKING:
    from heptad.trials.privacy.report import Link, Report, Row

app = typer.Typer(no_args_is_help=True, help="Try what a cell shows, and to whom.")


@app.callback()
def _group() -> None:
    """Try what a cell shows, and to whom."""


@app.command("check")
def check_command(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    own: Annotated[
        bool, typer.Option("--own", help="Start a cell of its own in a scratch folder instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Plant canaries in the cell that runs here, and look for them wherever they must not be.

    Files, packets between the services, metrics, refusals, processes; then knock at every listener
    without the right certificate, and read from each link's handshake what it has agreed on. Adds
    some dozens of entries to the log, and erases its own two subjects at the end. Packets need root
    or CAP_NET_RAW; the home must hold the profiles of a service and of the officer.
    """
    with told(as_json=as_json):
        from heptad.trials.errors import TrialFault
        from heptad.trials.privacy.check import check

        try:
            report = check(None if own else home, tell=_tell)
        except TrialFault as fault:
            fail(str(fault), status=EXIT_FAILED, as_json=as_json)
    if as_json:
        print(report.encode())
    else:
        _print(report)
    sys.exit(report.exit_status())


app.command("forensics")(privacy_forensics.command)


def _tell(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


def _print(report: "Report") -> None:
    for row in report.rows:
        _print_row(row)
    print()
    for links in _alike(report.links):
        _print_links(links)


def _print_row(row: "Row") -> None:
    print(f"{row.outcome:<12}{row.place}: {row.claim}")
    print(f"{'':<12}{row.detail}")
    for finding in row.findings:
        print(f"{'':<12}- {finding}")


def _alike(links: Sequence["Link"]) -> Iterable[Sequence["Link"]]:
    """Links of one client that differ only in the server, together."""
    groups: dict[tuple[object, ...], list[Link]] = {}
    for link in links:
        key = (link.client, link.version, link.group, link.cipher, link.seen)
        groups.setdefault(key, []).append(link)
    return groups.values()


def _print_links(links: Sequence["Link"]) -> None:
    one = links[0]
    safe = "quantum-safe" if one.is_quantum_safe else "NOT quantum-safe"
    connections = sum(link.connections for link in links)
    print(
        f"{one.client} → {', '.join(link.server for link in links)}\n"
        f"{'':<12}{one.version}, {one.group} ({safe}), {one.cipher}; "
        f"{connections} connections, {one.seen}"
    )
