"""`heptad drain`: take a member out of service, in order."""

import json
from pathlib import Path
from typing import Annotated

import typer

from heptad.cli.exits import EXIT_FAILED, fail, told
from heptad.cli.up import HOME_OPTION


def command(
    member: Annotated[str, typer.Argument(help="Such as replica-3.")],
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Start it again, and wait until it is ready.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Although the cell cannot go on without it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let a member finish what is in flight, and stop it until `--resume`.

    It leaves the load balancers first, takes nothing new, finishes, and ends. Refused where less
    than a quorum of replicas, no validator or no gateway would be left.
    """
    with told(as_json=as_json):
        from heptad.runtime.control import ControlClient
        from heptad.runtime.service_order import missing_without

        with ControlClient(home.absolute(), timeout_s=120.0) as control:
            if resume:
                control.ask("restart", member)
            else:
                reason = missing_without(control, member)
                if reason and not force:
                    fail(
                        f"{reason}; --force does it all the same",
                        status=EXIT_FAILED,
                        as_json=as_json,
                    )
                control.ask("stop", member)
    said = "ready" if resume else "stopped"
    print(json.dumps({"member": member, "state": said}) if as_json else f"{member} is {said}")
