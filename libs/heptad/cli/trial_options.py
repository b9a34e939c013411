"""What `heptad faults` and `heptad hostile` have in common: trials by name, under load."""

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import typer

from heptad.cli.exits import EXIT_USAGE, fail

Names: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]…", help="All of them by default.")
]
Rate: TypeAlias = Annotated[
    float, typer.Option("--rate", min=1.0, max=2_000.0, help="Requests a second meanwhile.")
]
Listed: TypeAlias = Annotated[bool, typer.Option("--list", help="Only list them.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]

RATE_PER_S: Final = 80.0


def chosen_of(
    names: Sequence[str] | None, *, known: Sequence[str], what: str, as_json: bool
) -> list[str]:
    """The trials that were asked for, all where none was named; ends with 2 at a strange name.

    `what` is the kind of trial, such as `fault`.
    """
    if strangers := sorted(set(names or ()) - set(known)):
        message = f"no {what} {', '.join(strangers)}; --list shows all"
        fail(message, status=EXIT_USAGE, as_json=as_json)
    return list(names or known)
