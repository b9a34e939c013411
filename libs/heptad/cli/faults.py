"""`heptad faults`: what a cell does when processes, disks, networks and clocks fail.

Exit codes: 0 every fault was survived as promised · 1 a promise was not kept · 2 wrong arguments ·
3 nothing was broken, and something could not be tried on this machine.
"""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, told
from heptad.cli.trial_options import RATE_PER_S, AsJson, Listed, Names, Rate, chosen_of

if TYPE_CHECKING:
    from heptad.trials.faults.trial import Finding

EXIT_NOT_POSSIBLE: Final = 3


def command(
    *,
    names: Names = None,
    hold: Annotated[
        float, typer.Option("--hold", min=0.5, max=90.0, help="Seconds for which a fault lasts.")
    ] = 8.0,
    rate: Rate = RATE_PER_S,
    show: Listed = False,
    as_json: AsJson = False,
) -> None:
    """Break things on a running cell, under load, and check the whole history after each.

    Starts cells of its own in temporary folders, and takes away again whatever it makes. Faults of
    networks and disks need root on Linux; what cannot be done here is said and ends with 3.
    """
    with told(as_json=as_json):
        from heptad.trials.faults.campaign import names_of_all, run_faults
        from heptad.trials.faults.trial import FAILED, NOT_POSSIBLE, Pace

        if show:
            _list()
            return
        chosen = chosen_of(names, known=names_of_all(), what="fault", as_json=as_json)
        findings: list[Finding] = []

        def tell(finding: "Finding") -> None:
            findings.append(finding)
            if not as_json:
                _print(finding)

        run_faults(chosen, Pace(per_s=rate, hold_s=hold), tell)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    outcomes = {finding.outcome for finding in findings}
    if FAILED in outcomes:
        sys.exit(EXIT_FAILED)
    if NOT_POSSIBLE in outcomes:
        sys.exit(EXIT_NOT_POSSIBLE)


def _list() -> None:
    from heptad.trials.faults.faults import FAULTS

    for faults in FAULTS.values():
        for fault in faults:
            print(f"{fault.name:<20} {fault.story}: {fault.duty}")


def _print(finding: "Finding") -> None:
    figures = ""
    if finding.recover_s is not None:
        since = "beginning" if finding.goes_on else "end"
        figures = (
            f" back {finding.recover_s:.1f} s after its {since}, "
            f"at most {finding.longest_gap_s:.1f} s without an answer"
        )
    print(f"{finding.outcome:<10} {finding.fault:<20}{figures}", flush=True)
    for line in filter(None, (finding.detail, *finding.broken)):
        print(f"           {line}", flush=True)
    if finding.checked:
        counts = ", ".join(f"{count} {what}" for what, count in finding.checked.items())
        print(f"           checked: {counts}", flush=True)
