"""`heptad demo`: what a cell promises, proved in front of you."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heptad.cli.exits import EXIT_FAILED, fail, told
from heptad.cli.up import HOME_OPTION

if TYPE_CHECKING:
    from heptad.trials.tour.steps import Shown


def command(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    calm: Annotated[
        bool,
        typer.Option(
            "--calm",
            help="Kill nobody: for a cell that `heptad up` does not run, as in containers.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Drive a cell as a citizen, a service, an auditor and an operator would, step by step.

    Uses the cell that runs in the home, or starts one of its own in a temporary folder. Kills two
    replicas on the way, and brings them back, unless --calm. Ends with 1 if one step failed.
    """
    with told(as_json=as_json):
        import uvloop

        from heptad.trials.errors import TrialFault
        from heptad.trials.tour.itinerary import mesh_to_show, take_tour

        steps: list[Shown] = []

        def shown(step: "Shown") -> None:
            steps.append(step)
            if not as_json:
                _print_step(step)

        try:
            with mesh_to_show(home.absolute(), is_calm=calm) as (mesh, is_own):
                if not as_json:
                    _print_head(mesh.gateway_url, is_own=is_own)
                tour = take_tour(mesh, is_own=is_own, is_calm=calm, shown=shown)
                holds = uvloop.run(tour)
        except TrialFault as fault:
            fail(str(fault), status=EXIT_FAILED, as_json=as_json)
    if as_json:
        print(json.dumps({"holds": holds, "steps": [asdict(step) for step in steps]}))
    elif holds:
        print(f"\nAll {len(steps)} steps hold.")
    else:
        print("\nThe last step did not hold; what stands after it was not tried.")
    if not holds:
        raise typer.Exit(EXIT_FAILED)


def _print_head(url: str, *, is_own: bool) -> None:
    whose = "a cell of its own, gone afterwards" if is_own else "the cell that runs here"
    print(f"Showing {whose}: {url}\n", flush=True)


def _print_step(step: "Shown") -> None:
    mark = "ok    " if step.holds else "FAILED"
    print(f"{mark} {step.who:<8}  {step.claim}  ({step.seconds:.1f} s)", flush=True)
    for part in step.detail.split("; "):
        print(f"                  {part}", flush=True)
