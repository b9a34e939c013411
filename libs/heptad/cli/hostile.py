"""`heptad hostile`: what an evil member with real keys can do to the others on the wire.

Exit codes: 0 every attack was withstood · 1 something was not · 2 wrong arguments.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from heptad.cli.exits import EXIT_FAILED, fail, told
from heptad.cli.trial_options import RATE_PER_S, AsJson, Listed, Names, Rate, chosen_of

if TYPE_CHECKING:
    from heptad.trials.hostile.campaign import Finding, Phase


def command(
    *,
    names: Names = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1.0, max=60.0, help="Length of each attack.")
    ] = 10.0,
    rate: Rate = RATE_PER_S,
    show: Listed = False,
    as_json: AsJson = False,
) -> None:
    """Replace a member of a cell by an attacker with its keys, under load, and measure the others.

    Starts a cell of its own in a temporary folder. Throughput, CPU and memory of the honest
    replicas are measured before, during and after each attack, and the whole history is checked.
    """
    with told(as_json=as_json):
        from heptad.trials.errors import TrialFault
        from heptad.trials.hostile import campaign
        from heptad.trials.hostile.attacks import ATTACKS

        if show:
            for attack in ATTACKS:
                print(f"{attack.name:<16} {attack.member:<12} {attack.story}")
            return
        known = [attack.name for attack in ATTACKS]
        chosen = chosen_of(names, known=known, what="attack", as_json=as_json)
        findings: list[Finding] = []

        def tell(finding: "Finding") -> None:
            findings.append(finding)
            if not as_json:
                _print(finding)

        try:
            campaign.run_attacks(chosen, campaign.Pace(per_s=rate, during_s=seconds), tell)
        except TrialFault as fault:
            fail(str(fault), status=EXIT_FAILED, as_json=as_json)
        if as_json:
            print(campaign.as_json(findings))
    if any(finding.broken for finding in findings):
        sys.exit(EXIT_FAILED)


def _print(finding: "Finding") -> None:
    print(f"{finding.attack} ({finding.member}): {'FAILED' if finding.broken else 'withstood'}")
    for name, phase in (
        ("before", finding.before),
        ("during", finding.during),
        ("after", finding.after),
    ):
        print(f"  {name:<7} {_said(phase)}")
    tally = finding.attacker
    print(
        f"  attacker {tally['messages']} messages, {tally['sent_bytes'] / 1e6:.1f} MB, "
        f"{tally['opened']} streams, {tally['broken']} broken, {tally['cpu_s']} s of CPU"
    )
    for promise in finding.broken:
        print(f"  {promise}")


def _said(phase: "Phase") -> str:
    return (
        f"{phase.per_s:6.1f}/s, longest gap {phase.longest_gap_s:5.2f} s, "
        f"CPU {phase.cpu:5.1%} (max {phase.cpu_max:5.1%}), RSS {phase.rss_mb:5.1f} MB"
    )
