"""`python -m heptad.trials.faults.stage ORDER`: the faults of one ground, on one cell of its own.

A process of its own for each ground, because a ground may need namespaces, and those a process gets
when it starts. `ORDER` is JSON; each finding is one line of JSON on standard output. The process
is told to end when whoever started it dies, its children die with it, and the kernel takes back the
rest, also if this process is killed.
"""

import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final, NoReturn

import aiohttp
import uvloop

from heptad.client import connect
from heptad.runtime import lifeline
from heptad.trials.errors import TrialFault
from heptad.trials.faults.faults import find
from heptad.trials.faults.grounds import open_ground
from heptad.trials.faults.machinery import Machinery, NotPossibleHere
from heptad.trials.faults.trial import (
    FAILED,
    NOT_POSSIBLE,
    Fault,
    Finding,
    Pace,
    Stage,
    put_to_the_test,
)
from heptad.trials.faults.watch import Watch
from heptad.trials.meshes import RunningMesh
from heptad.trials.tour import crowd
from heptad.trials.tour.scene import SERVICE, Scene, policy_of

_CALL_S_MAX: Final = 30.0
_CONNECTIONS_MAX: Final = 1_000


@asynccontextmanager
async def set_stage(mesh: RunningMesh, machinery: Machinery) -> AsyncIterator[Stage]:
    """Clients, citizens and watchers for a running cell in which nothing has happened yet."""
    timeout = aiohttp.ClientTimeout(total=_CALL_S_MAX)
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS_MAX)
    async with (
        aiohttp.ClientSession(mesh.gateway_url, timeout=timeout, connector=connector) as http,
        connect(mesh.home / "clients" / SERVICE) as client,
        Watch(mesh.home, mesh.cell) as watch,
    ):
        scene = Scene(
            mesh=mesh,
            is_own=True,
            http=http,
            client=client,
            policy=policy_of(mesh.home),
            seconds=0.0,
        )
        await crowd.bring_in(scene)
        yield Stage(mesh, machinery, scene, watch)


async def play(
    mesh: RunningMesh,
    machinery: Machinery,
    faults: Sequence[Fault],
    pace: Pace,
    told: Callable[[Finding], None],
) -> None:
    """Faults one after the other on one cell, until one fails: after that it may not be whole."""
    async with set_stage(mesh, machinery) as stage:
        for fault in faults:
            finding = await put_to_the_test(stage, fault, pace)
            told(finding)
            if finding.outcome == FAILED:
                return


def run_ground(
    ground: str, names: Sequence[str], pace: Pace, told: Callable[[Finding], None]
) -> None:
    """All these faults of a ground; after one that failed the next one gets a new cell."""
    left = [find(name)[1] for name in names]

    def tell(finding: Finding) -> None:
        told(finding)
        left.pop(0)

    while left:
        with tempfile.TemporaryDirectory(prefix="heptad-faults-") as folder:
            try:
                with open_ground(ground, Path(folder)) as (mesh, machinery):
                    uvloop.run(play(mesh, machinery, list(left), pace, tell))
            except NotPossibleHere as reason:
                for fault in list(left):
                    tell(Finding(fault.name, NOT_POSSIBLE, fault.goes_on, detail=str(reason)))
            except TrialFault as fault:
                tell(Finding(left[0].name, FAILED, left[0].goes_on, broken=(str(fault),)))


def _print(finding: Finding) -> None:
    sys.stdout.write(json.dumps(asdict(finding)) + "\n")
    sys.stdout.flush()


def _end(_number: int, _frame: object) -> NoReturn:
    # Unwinds every `with`: the mesh is stopped, folders and mounts are taken away.
    raise SystemExit(128 + signal.SIGTERM)


def main() -> None:
    """See the head of this file."""
    signal.signal(signal.SIGTERM, _end)
    lifeline.die_with_parent(signal.SIGTERM)
    order = json.loads(sys.argv[1])
    run_ground(order["ground"], order["faults"], Pace(**order["pace"]), _print)


if __name__ == "__main__":
    main()
