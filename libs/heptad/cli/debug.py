"""`heptad debug …`: what somebody needs who is to find a fault."""

import json
from pathlib import Path
from typing import Annotated

import typer

from heptad.cli.exits import told
from heptad.cli.up import HOME_OPTION

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def _debug() -> None:
    """Gather what is needed to find a fault."""


@app.command("zip")
def zip_command(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    out: Annotated[Path, typer.Option("--out", help="The archive to write.")] = Path(
        "heptad-debug.zip"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write an archive that may be sent to somebody: no keys, no data, no personal data.

    The doctor's findings, configuration, the end of each log, metrics, versions, names and sizes of
    files. What looks like a key, a signed request, a subject or an e-mail address is withheld.
    """
    with told(as_json=as_json):
        import zipfile

        from heptad.runtime.checkup.report_files import report_files
        from heptad.runtime.checkup.rounds import examine
        from heptad.runtime.config import load_cell

        home = home.absolute()
        cell = load_cell(home)
        findings = list(examine(home))
        names = []
        with out.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in report_files(home, cell, findings):
                archive.writestr(name, text)
                names.append(name)
    size = out.stat().st_size
    if as_json:
        print(json.dumps({"out": str(out), "bytes": size, "files": names}))
    else:
        print(f"{out}: {len(names)} files, {size / 1e3:.0f} kB; look into it before you send it")
