"""`heptad privacy forensics`: what somebody with all these files could tell of one person."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told
from heptad.cli.up import HOME_OPTION

if TYPE_CHECKING:
    from heptad.trials.forensics.search import Found


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Folders, files, raw disks (.img): all that the attacker has."),
    ],
    *,
    canary: Annotated[str, typer.Option(help="A text in the person's requests; 12 characters.")],
    entry: Annotated[
        list[int] | None, typer.Option(help="An index of an entry of that person; repeat it.")
    ] = None,
    subject: Annotated[str, typer.Option(help="The person's id, if the attacker knows it.")] = "",
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    log: Annotated[
        str, typer.Option(help="The public log: an address or a folder; else the home's own.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try to find a person in files, freed pages, journals and raw disks, with every key in reach.

    Carves root keys, nodes of the vault, records, headers and rows out of raw bytes, opens what
    opens, and says what of it is that person's. For drills on small cells: all of it is read into
    memory. Ends with 0 if nothing was found, with 1 if something was, with 2 if it could not be
    tried. See docs/operations/erasure-drill.md.
    """
    from heptad.runtime.config import load_cell
    from heptad.transparency.policy import Policy
    from heptad.trials.forensics.search import Wanted, gather, public_entries, search
    from heptad.verification.errors import VerificationError
    from heptad.verification.sources import open_source

    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        fail(f"not there: {', '.join(missing)}", status=EXIT_USAGE, as_json=as_json)
    with told(as_json=as_json):
        where = log or str(home / load_cell(home).ledger.id / "data" / "static")
        policy = Policy.parse((home / "policy").read_bytes())
        try:
            with open_source(where) as source:
                entries = public_entries(source.read, policy=policy, now_s=int(time.time()))
        except VerificationError as error:
            fail(str(error), status=EXIT_USAGE, as_json=as_json)
        wanted = Wanted(canary, subject, tuple(entry or ()))
        [found] = search(gather(paths), [wanted], entries=entries)
    if as_json:
        print(found.encode())
    else:
        _print(found)
    if not found.is_nothing:
        sys.exit(EXIT_FAILED)


def _print(found: "Found") -> None:
    print(
        f"{found.roots} root keys, {found.nodes} nodes and {found.slots} keys of slots in reach;"
        f" {found.headers} routing headers and {found.payloads} payloads open"
    )
    print(f"payloads of the person: {found.opened or 'none'}")
    for where in found.in_the_open:
        print(f"IN THE OPEN: {where}")
    for way, indexes in found.links.items():
        print(f"LINKED by {way}: entries {', '.join(map(str, indexes))}")
    print("nothing of the person was found" if found.is_nothing else "THE PERSON WAS FOUND")
