"""`heptad up`: a whole cell on this machine, secure, in seconds."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, message_of, status_of, told

if TYPE_CHECKING:
    from heptad.runtime.mesh import MeshStatus

OUTPUT_FILE: Final = "up.out"

HOME_OPTION: Final = typer.Option("--home", help="Folder of the cell.")


def command(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    port_base: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_000,
            help="First port of the cell; 0 takes a free block. Default: 7700, or as it was.",
        ),
    ] = None,
    validators: Annotated[
        int | None, typer.Option(min=1, max=9, help="Validators of a new cell. Default: 2.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once all is ready; `heptad down` stops it.")
    ] = False,
    run_under: Annotated[
        list[str] | None,
        typer.Option(
            "--run-under",
            metavar="NAME=COMMAND",
            help="Start a service under a command, such as 'replica-3=taskset -c 1'.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ready_descriptor: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start a whole cell on this machine: seven replicas, validators, a ledger and a gateway.

    Makes keys, certificates and configuration if the home does not exist, and continues where it
    stopped if it does. Ends on Ctrl-C, after what is in flight is finished.
    """
    home = home.absolute()
    under = _commands(run_under or [], as_json=as_json)
    if ready_descriptor is not None:
        _run_detached(home, under, ready_descriptor)
        return
    with told(as_json=as_json):
        from heptad.runtime.preparation import prepare

        cell = prepare(home, port_base=port_base, validator_count=validators, elsewhere=under)
        if strangers := set(under) - set(cell.member_addresses()):
            named = ", ".join(sorted(strangers))
            fail(f"--run-under: no member {named}", status=EXIT_USAGE, as_json=as_json)
        if detach:
            _detach(home, run_under or [], as_json=as_json)
        else:
            _run(home, under, lambda status: _print_ready(status, detached=False, as_json=as_json))
            if not as_json:
                print("stopped")


def _commands(run_under: Sequence[str], *, as_json: bool) -> dict[str, list[str]]:
    """The words of each command, by the member that runs under it."""
    commands = {}
    for option in run_under:
        name, _, command = option.partition("=")
        try:
            commands[name] = shlex.split(command)
        except ValueError as error:
            fail(f"--run-under {name}: {error}", status=EXIT_USAGE, as_json=as_json)
        if not commands[name]:
            fail(f"--run-under {option!r}: no command", status=EXIT_USAGE, as_json=as_json)
    return commands


def _run(
    home: Path, under: Mapping[str, Sequence[str]], on_ready: "Callable[[MeshStatus], None]"
) -> None:
    """Be the supervisor until told to stop. Raises: what `told` tells."""
    import uvloop

    from heptad.observability.logs import EventLog, adopt_library_logs
    from heptad.runtime.child_log import ChildLog
    from heptad.runtime.config import load_cell
    from heptad.runtime.mesh import SUPERVISOR_LOG_FILE, Mesh, locked, supervisor_of

    cell = load_cell(home)
    with locked(home), closing(ChildLog(home / SUPERVISOR_LOG_FILE)) as log_file:

        def write(line: str) -> None:
            log_file.append(line.encode())

        log = EventLog(bound={"service": "up"}, write=write)
        adopt_library_logs(log)

        async def live() -> None:
            supervisor = supervisor_of(home, cell, under=under, log=log)
            await Mesh(home=home, cell=cell, supervisor=supervisor).run(on_ready)

        uvloop.run(live())


def _detach(home: Path, run_under: Sequence[str], *, as_json: bool) -> None:
    """Start the supervisor in a session of its own and wait for its word."""
    ready_out, ready_in = os.pipe()
    with (home / OUTPUT_FILE).open("ab") as output:
        subprocess.Popen(  # noqa: S603  ourselves, by our own interpreter
            [
                *(sys.executable, "-m", "heptad.cli.main", "up", "--home", str(home)),
                *("--ready-descriptor", str(ready_in)),
                *(f"--run-under={option}" for option in run_under),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(ready_in,),
            start_new_session=True,
        )
    os.close(ready_in)
    with os.fdopen(ready_out, "rb") as pipe:
        word = pipe.read()
    if not word:
        fail(f"the supervisor ended; see {home / OUTPUT_FILE}", status=EXIT_FAILED, as_json=as_json)
    answer = json.loads(word)
    if "failed" in answer:
        fail(answer["failed"], status=answer["status"], as_json=as_json)
    _print_ready(answer, detached=True, as_json=as_json)


def _run_detached(home: Path, under: Mapping[str, Sequence[str]], ready_descriptor: int) -> None:
    """Be the detached supervisor; the parent hears of readiness, or of the failure, once."""
    pipe = os.fdopen(ready_descriptor, "w")

    def tell(answer: object) -> None:
        if not pipe.closed:
            pipe.write(json.dumps(answer))
            pipe.close()

    with told(as_json=False):
        try:
            _run(home, under, tell)
        except Exception as error:
            tell({"failed": message_of(error), "status": status_of(error)})
            raise


def _print_ready(status: "MeshStatus", *, detached: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps(status), flush=True)
        return
    from heptad.cli.summary import ready_text

    print(ready_text(status, detached=detached), flush=True)
