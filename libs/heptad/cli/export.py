"""`heptad export`: take out all that a cell holds about a subject."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.cli.exits import EXIT_USAGE, fail, told
from heptad.cli.gateway_http import URL_DEFAULT, GatewayHttp
from heptad.cli.request_options import AsJson, Url, signed_request
from heptad.model.own_actions import EXPORT, OWN_SERVICE
from heptad.model.problems import Problem

if TYPE_CHECKING:
    from heptad.client.export_file import Tell
    from heptad.model.exporting import ExportBegun, OfficersExport

_WHO: Final = (
    "say who asks: a subject with --key, or an officer with --profile, --subject and --reason"
)
_PAUSE_S: Final = 0.25
_ENTRIES: Final = "Heptad-Entries"


def command(
    *,
    key: Annotated[
        Path | None, typer.Option(help="As the subject: its private key, as registered.")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="As an officer: folder of the profile.")
    ] = None,
    subject: Annotated[str, typer.Option(help="As an officer: the subject's id.")] = "",
    reason: Annotated[
        str, typer.Option(help="As an officer: why; recorded under the subject's key.")
    ] = "",
    ground: Annotated[str, typer.Option(help="As an officer: the legal ground, in words.")] = "",
    from_index: Annotated[
        int, typer.Option(min=0, help="Entries from this index on, for the next part.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="File to write; it must not be there yet.")] = Path(
        "heptad-export.zip"
    ),
    url: Url = URL_DEFAULT,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="As the subject: seconds to wait for the commit.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Take out all that the cell holds about a subject: a zip archive with a proof of each entry.

    A subject asks with its own key. An officer gives a reason, which is recorded before anything
    goes out, and which the subject reads in its next export. Check the archive with `heptad verify`
    and a policy that comes from somebody else than the cell's gateway.
    """
    is_officer = profile is not None and bool(subject) and bool(reason)
    if (key is None) is not is_officer or (key is not None and profile is not None):
        fail(_WHO, status=EXIT_USAGE, as_json=as_json)
    with told(as_json=as_json):
        if profile is not None:
            from heptad.model.exporting import OfficersExport

            call = OfficersExport(subject, reason, ground, from_index)
            facts = _as_officer(profile, call, out)
        else:
            assert key is not None
            data = json.dumps({"from_index": from_index}) if from_index else "{}"
            jws = signed_request(
                key_path=key,
                service=OWN_SERVICE,
                action=EXPORT,
                data=data,
                subject="",
                audience="",
                jti="",
                as_json=as_json,
            )
            facts = _as_subject(GatewayHttp(url), jws, out, wait_s)
    facts |= {"export": str(out), "bytes": out.stat().st_size}
    if as_json:
        print(json.dumps(facts))
        return
    print(f"{out}: {facts['entries']} entries, {facts['bytes']} bytes")
    print(f"check it with `heptad verify {out} --policy FILE`; keep it as you keep private papers")


def _as_subject(gateway: GatewayHttp, jws: bytes, out: Path, wait_s: float) -> dict[str, object]:
    """Ask until the request is committed, then take the archive. Raises: Problem, OSError."""
    from heptad.client.export_file import whole_file

    headers = {"Authorization": f"Heptad {jws.decode('ascii')}"}
    give_up_s = time.monotonic() + wait_s
    while True:
        with gateway.opened("/v1/subjects/me/export", headers=headers) as response:
            if response.status == 200:
                entries = int(response.headers.get(_ENTRIES, "0"))
                with whole_file(out) as file, _bar(f"{entries} entries") as tell:
                    taken = 0
                    while data := response.read(1 << 16):
                        file.write(data)
                        taken += len(data)
                        tell(taken, 0)
                return {"entries": entries}
        if time.monotonic() >= give_up_s:
            raise Problem("deadline_exceeded", "the request is not committed yet")
        time.sleep(_PAUSE_S)


def _as_officer(profile: Path, call: "OfficersExport", out: Path) -> dict[str, object]:
    """Take the archive straight from the ledger. Raises: Problem, OSError."""
    import uvloop

    from heptad.client import connect_officer

    async def take(tell: "Tell") -> "ExportBegun":
        async with connect_officer(profile) as officer:
            return await officer.export(call, to=out, tell=tell)

    with _bar("exporting") as tell:
        begun = uvloop.run(take(tell))
    return {"entries": begun.entries, "recorded_at_index": begun.own_index}


@contextmanager
def _bar(what: str) -> Iterator["Tell"]:
    """A bar on standard error, where that is a terminal: of the work, or of bytes so far."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    sized = (TextColumn("{task.description}"), DownloadColumn())
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            if not total:
                bar.columns = sized
            bar.update(task, completed=done, total=total or None)

        yield tell
