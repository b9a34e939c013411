"""One check of one running cell, from planting to the report.

    capture begins → canaries go in → the log has them → capture ends → every place is searched

A cell of its own is started after the capture has begun, so that each link's first handshake is
seen; of a cell that runs already only connections that come up meanwhile are seen to shake hands,
and each listener is also called once from here.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import aiohttp

from heptad.client import Client, connect
from heptad.runtime.config import load_cell
from heptad.runtime.mesh import listeners_of
from heptad.trials import meshes
from heptad.trials.errors import TrialFault
from heptad.trials.meshes import RunningMesh
from heptad.trials.privacy import door_rows, packet_rows, place_rows
from heptad.trials.privacy.canaries import Canaries
from heptad.trials.privacy.capture import Capture
from heptad.trials.privacy.flows import Flows
from heptad.trials.privacy.listeners import Listeners
from heptad.trials.privacy.packet_rows import Control
from heptad.trials.privacy.planting import plant
from heptad.trials.privacy.processes import clients_of
from heptad.trials.privacy.report import Report
from heptad.trials.privacy.searching import Searcher
from heptad.trials.privacy.ways import Ways

Tell = Callable[[str], None]

_CALL_S_MAX: Final = 30.0


class Check:
    """A check of one home; `canaries` may be given by who has planted some already."""

    def __init__(self, home: Path, *, tell: Tell, canaries: Canaries | None = None) -> None:
        self.canaries = canaries or Canaries.fresh()
        self._home = home
        self._tell = tell
        self._searcher = Searcher(self.canaries.needles())
        self._listeners = Listeners(dict(listeners_of(home, load_cell(home))))
        ports = self._listeners.places
        between = (port for port in range(min(ports), max(ports)) if port not in ports)
        self._control = Control(self.canaries, among=between)
        places = {**self._listeners.places, self._control.port: Control.PLACE}
        self._flows = Flows(self._searcher, places)
        self._clients: dict[tuple[int, int], str] = {}

    def attached(self) -> Report:
        """Check the cell that runs in the home. Raises: HomeRefusedError, TrialFault."""
        mesh = meshes.attach(self._home)
        with self._captured() as capture:
            ways = asyncio.run(self._plant(mesh))
        return self._judged(mesh, ways, capture)

    def on_its_own(self) -> Report:
        """Start the cell of the home under the eyes of the capture, and check it."""
        with contextlib.ExitStack() as stack:
            with self._captured() as capture:
                self._tell("starting a cell")
                mesh = stack.enter_context(meshes.running(self._home))
                ways = asyncio.run(self._plant(mesh))
            return self._judged(mesh, ways, capture)

    @contextlib.contextmanager
    def _captured(self) -> Iterator["Capture | str"]:
        """A capture that runs, or why there is none."""
        ports = (*self._listeners.places, self._control.port)
        with contextlib.ExitStack() as stack:
            try:
                capture: Capture | str = stack.enter_context(Capture(self._flows, ports))
            except (OSError, AttributeError) as error:
                # AttributeError: a system that has no packet sockets at all.
                capture = f"packets cannot be captured here: {error}"
            yield capture

    async def _plant(self, mesh: RunningMesh) -> Ways:
        self._tell("planting canaries")
        self._control.speak()
        async with (
            aiohttp.ClientSession(
                mesh.gateway_url, timeout=aiohttp.ClientTimeout(total=_CALL_S_MAX)
            ) as http,
            _client_of(mesh) as client,
        ):
            ways = Ways(
                mesh,
                self.canaries,
                http=http,
                client=client,
                look_for=self._searcher.look_for,
            )
            await plant(ways)
            self._tell(f"{ways.recorded} entries recorded, {len(ways.refusals)} refused")
            ways.pages = await place_rows.read_pages(self._listeners)
            async with packet_rows.called_each(mesh):
                self._clients = self._clients_now(mesh)
        return ways

    def _clients_now(self, mesh: RunningMesh) -> dict[tuple[int, int], str]:
        """Who holds which connection to the cell at this moment, as far as this user may know."""
        pids = {**mesh.pids(), packet_rows.OURSELVES: os.getpid()}
        try:
            return clients_of(self._listeners.places, pids)
        except PermissionError as error:
            self._tell(f"who is connected with whom cannot be told: {error}")
            return {}

    def _judged(self, mesh: RunningMesh, ways: Ways, capture: "Capture | str") -> Report:
        report = Report(str(self._home))
        self._tell("looking at packets")
        rows, links = packet_rows.judge(
            self._flows, capture, self._listeners, self._clients, self._control
        )
        report.links += links
        report.rows += rows
        self._tell("searching files, processes, metrics and answers")
        report.rows += place_rows.judge(
            mesh,
            ways,
            self._searcher,
            self._listeners,
            canaries=self.canaries,
            tell=self._tell,
        )
        self._tell("knocking at doors")
        report.rows += asyncio.run(door_rows.judge(mesh, self._listeners))
        return report


def _client_of(mesh: RunningMesh) -> Client:
    """The SDK with the profile of a relying service that this machine holds. Raises: TrialFault."""
    for service in mesh.cell.services:
        profile = mesh.home / "clients" / service.id
        if service.keys and profile.is_dir():
            return connect(profile)
    raise TrialFault("no relying service's profile lies in this home: nothing can be planted")


def check(home: Path | None, *, tell: Tell) -> Report:
    """Check the cell that runs in `home`, or one of our own if there is none given."""
    if home is not None:
        return Check(home.absolute(), tell=tell).attached()
    with tempfile.TemporaryDirectory(prefix="heptad-privacy-") as scratch:
        own = Path(scratch) / "cell"
        meshes.new_home(own)
        return Check(own, tell=tell).on_its_own()
