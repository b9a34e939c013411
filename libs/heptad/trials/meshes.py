"""Meshes for trials: real processes of one cell, started as a user starts them, ended by pid."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from heptad.runtime import lifeline
from heptad.runtime.channels import GRPC_ENVIRONMENT
from heptad.runtime.config import Cell, CellLimits, load_cell
from heptad.runtime.control import ControlClient
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.mesh import MeshStatus
from heptad.runtime.ports import PortBlock, PortPlan, reserve_block
from heptad.trials.errors import TrialFault

READY_S_MAX: Final = 90.0
STOP_S_MAX: Final = 60.0
OUTPUT_FILE: Final = "up.out"

SUBJECT_REQUESTS_PER_MINUTE: Final = 1_000_000
"""In a home made for a bench: few subjects stand for many, who together have no such limit."""


@dataclass(frozen=True, slots=True)
class RunningMesh:
    """A cell that runs in `home`. `ready_s` is how long it took; 0 if it ran before."""

    home: Path
    cell: Cell
    gateway_url: str
    ready_s: float

    def pids(self) -> dict[str, int]:
        """Process ids by member id, of those that run, and of the supervisor as `up`."""
        return pids_of(self.home)


_reserved: list[PortBlock] = []
"""Held until this process ends: a home is made some time before a mesh binds its ports."""

SHORT_LEASES: Final = CellLimits(lease_s_max=8)
"""For cells that somebody waits for: until its leases are over, no erasure of a young one ends."""


def new_home(
    home: Path,
    limits: CellLimits = CellLimits(  # noqa: B008  a frozen value
        subject_requests_per_minute_max=SUBJECT_REQUESTS_PER_MINUTE
    ),
) -> None:
    """A cell on free ports; unless told otherwise, its subjects may ask as often as they like."""
    _reserved.append(reserve_block(start_hint=time.time_ns() // 1_000_000))
    ports = PortPlan(_reserved[-1].base)
    create_home(home, GenesisPlan(ports=ports, limits=limits), now=datetime.now(UTC))


def status_of(home: Path) -> MeshStatus:
    """What `heptad status` says. Raises: HomeRefusedError if nothing runs there."""
    with ControlClient(home) as control:
        return cast("MeshStatus", control.ask("status"))


def order(home: Path, what: str, name: str) -> None:
    """Give one order of `control.sock`, such as kill or restart, and wait until it is done.

    Raises: HomeRefusedError, SupervisionFault.
    """
    with ControlClient(home, timeout_s=READY_S_MAX) as control:
        control.ask(what, name)


def pids_of(home: Path) -> dict[str, int]:
    """Process ids by member id, of those that run, and of the supervisor as `up`."""
    status = status_of(home)
    pids = {p["name"]: p["pid"] for p in status["processes"] if p["pid"] is not None}
    return {**pids, "up": status["pid"]}


def attach(home: Path) -> RunningMesh:
    """A mesh that runs already. Raises: HomeRefusedError if none does."""
    status = status_of(home)
    return RunningMesh(home, load_cell(home), status["gateway_url"], 0.0)


@contextmanager
def running(
    home: Path, *, under: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Iterator[RunningMesh]:
    """A mesh of our own in `home`, on free ports; stopped in order at the end.

    The home is made if there is none. `under` has the words of a command under which a member is
    run, by its id. Raises: TrialFault.
    """
    home = home.absolute()
    home.parent.mkdir(parents=True, exist_ok=True)
    errors = home.with_name(f"{home.name}.{OUTPUT_FILE}")
    with errors.open("wb") as error_file:
        started_s = time.monotonic()
        process = subprocess.Popen(  # noqa: S603  ourselves, by our own interpreter
            [
                *(sys.executable, "-m", "heptad.cli.main", "up", "--home", str(home)),
                *("--port-base", "0", "--json"),
                *(f"--run-under={name}={shlex.join(words)}" for name, words in under.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=error_file,
            start_new_session=True,
            preexec_fn=lifeline.die_with_parent,  # noqa: PLW1509  this process has one thread here
        )
        try:
            status = _first_line(process, errors)
            ready_s = time.monotonic() - started_s
            yield RunningMesh(home, load_cell(home), status["gateway_url"], ready_s)
        finally:
            end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, and SIGKILL if that does not help."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _first_line(process: "subprocess.Popen[bytes]", errors: Path) -> MeshStatus:
    """The status that `heptad up --json` prints once all is ready."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_S_MAX)
    line = process.stdout.readline() if readable else b""
    if not line:
        words = errors.read_text("utf-8", "replace").strip()
        raise TrialFault(f"the mesh did not become ready:\n{words[-2_000:]}")
    return cast("MeshStatus", json.loads(line))


@contextmanager
def replicas_only(home: Path, cell: Cell) -> Iterator[Mapping[str, int]]:
    """All replicas of a cell and nobody else, each a process of its own; pids by member id."""
    environment = {**os.environ, **GRPC_ENVIRONMENT}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for replica in cell.replicas:
            with (home / replica.id / OUTPUT_FILE).open("wb") as output:
                processes[replica.id] = subprocess.Popen(  # noqa: S603  our own service
                    [
                        *(sys.executable, "-m", "heptad_replica"),
                        *("--home", str(home), "--name", replica.id, "--lifeline"),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    start_new_session=True,
                )
        yield {name: process.pid for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            end(process)
