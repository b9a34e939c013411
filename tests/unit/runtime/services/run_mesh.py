"""`python run_mesh.py HOME MODULE [NAME=COMMAND …]`: a mesh of fake services, run like real ones.

Prints the status as one JSON line once all are ready. Exit codes as `heptad up`'s.
"""

import dataclasses
import json
import sys
from pathlib import Path

import uvloop

from heptad.cli.exits import told
from heptad.observability.logs import EventLog
from heptad.runtime.config import load_cell
from heptad.runtime.launcher import Launcher
from heptad.runtime.mesh import Mesh, locked
from heptad.runtime.restarts import RestartPolicy
from heptad.runtime.supervisor import Supervisor, health_by_grpc, specs_of
from heptad.runtime.tls import load_tls


async def live(home: Path, module: str, under: dict[str, list[str]]) -> None:
    """Until told to stop."""
    cell = load_cell(home)
    operator = home / "clients" / "operator"
    tls = load_tls(
        ca=operator / "ca.pem", certificate=operator / "tls.pem", key=operator / "tls.key"
    )
    supervisor = Supervisor(
        home=home,
        specs=[
            dataclasses.replace(spec, module=module) for spec in specs_of(cell, lambda _: "unused")
        ],
        launcher=Launcher(python_path=[str(Path(__file__).parent)], under=under),
        healthy=health_by_grpc(origin=cell.origin, tls=lambda: tls),
        log=EventLog(bound={}, write=lambda _line: None),
        policy=lambda: RestartPolicy(backoff_s_min=0.001),
    )
    mesh = Mesh(home=home, cell=cell, supervisor=supervisor)
    await mesh.run(lambda status: _say(json.dumps(status)))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """See above."""
    home, module = Path(sys.argv[1]), sys.argv[2]
    under = {name: words.split() for name, _, words in (o.partition("=") for o in sys.argv[3:])}
    with told(as_json=False), locked(home):
        uvloop.run(live(home, module, under))


if __name__ == "__main__":
    main()
