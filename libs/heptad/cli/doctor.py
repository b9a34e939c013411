"""`heptad doctor`: is everything as it should be?"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, told
from heptad.cli.up import HOME_OPTION

if TYPE_CHECKING:
    from heptad.runtime.checkup.findings import Finding

_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


def command(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check configuration, keys, certificates, failure domains, disks, clocks and versions.

    Looks at the files of the home, at this machine, and at the members that run, by their own
    listeners; changes nothing. Ends with 1 if something fails, 2 if there is no home; warnings
    alone end with 0.
    """
    with told(as_json=as_json):
        from heptad.runtime.checkup.rounds import examine

        findings = list(examine(home.absolute()))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        _print(findings)
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def _print(findings: "list[Finding]") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for finding in findings:
        style = _STYLES[finding.verdict]
        console.print(f"[{style}]{finding.verdict:<4}[/]  {finding.area:<16} ", end="")
        console.print(finding.detail, markup=False, soft_wrap=True)
        if finding.advice:
            console.print(f"{'':<24}{finding.advice}", style="dim", markup=False, soft_wrap=True)
