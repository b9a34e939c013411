"""The tour's steps in their order, and how it is taken."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp

from heptad.client import connect
from heptad.runtime.config import load_cell, load_profile
from heptad.runtime.errors import HomeRefusedError
from heptad.trials.meshes import SHORT_LEASES, RunningMesh, attach, new_home, running
from heptad.trials.tour import (
    access,
    auditor,
    citizen,
    crowd,
    erasure,
    forgeries,
    operator,
    service,
)
from heptad.trials.tour.scene import SERVICE, Scene, policy_of
from heptad.trials.tour.steps import Shown, Step, take

STEPS: Final[tuple[Step[Scene], ...]] = (
    Step("citizen", "keys are made on the phone", citizen.make_keys),
    Step("citizen", "a new subject proves that it holds its key", citizen.register),
    Step("citizen", "a signed request is recorded", citizen.post),
    Step("citizen", "a request sent again is the same request", citizen.replay),
    Step("citizen", "what was not signed so is refused", citizen.forge),
    Step("service", "citizens are brought in by a service", crowd.bring_in),
    Step("service", "many requests travel on one stream", crowd.send_bulk),
    Step("service", "many events stand under one signature", service.record_bundle),
    Step("citizen", "all that is held about her comes out, and proves itself", access.take_out),
    Step("officer", "who looks is recorded first, and the person reads it", access.look_as_officer),
    Step("auditor", "receipts hold off line", auditor.verify_receipts),
    Step("auditor", "the whole log hashes to its cosigned root", auditor.hash_log),
    Step("auditor", "the log only grows", auditor.continue_log),
    Step("operator", "all replicas hold the same log", operator.same_head),
    Step(
        "operator",
        "two replicas die under load, one comes back",
        operator.kill_under_load,
        kills=True,
    ),
    Step("operator", "the one that came back has caught up", operator.same_head, kills=True),
    Step("auditor", "all that was acknowledged is there, once", auditor.account),
    Step("auditor", "after all this the log still only grew", auditor.continue_log),
    Step("auditor", "forgeries are refused", forgeries.refuse_forgeries),
    Step("operator", "the last replica comes back too", operator.restore, kills=True),
    Step("officer", "an erasure on hold is refused, with its ground", erasure.refuse_on_hold),
    Step("citizen", "one asks to be erased, and is", erasure.erase),
    Step("auditor", "the certificate holds off line, old receipts too", erasure.verify),
    Step("citizen", "who is erased stays erased", erasure.ask_again),
)
SECONDS: Final = 6.0
"""How long the fifty apps post."""

_CALL_S_MAX: Final = 30.0


@contextmanager
def mesh_to_show(home: Path, *, is_calm: bool = False) -> Iterator[tuple[RunningMesh, bool]]:
    """The mesh that runs in `home`, or else one of our own, which is gone afterwards.

    The second value tells whether it is our own. One that is calm is not ours to stop: whoever runs
    it, it is found by what the home says of its members. Raises: TrialFault, ConfigInvalidError.
    """
    if is_calm:
        profile = load_profile(home / "clients" / SERVICE)
        yield RunningMesh(home, load_cell(home), profile.gateway_url, 0.0), False
        return
    try:
        mesh = attach(home)
    except HomeRefusedError:
        with tempfile.TemporaryDirectory(prefix="heptad-demo-") as scratch:
            new_home(Path(scratch) / "cell", SHORT_LEASES)
            with running(Path(scratch) / "cell") as own:
                yield own, True
        return
    yield mesh, False


async def take_tour(
    mesh: RunningMesh,
    *,
    is_own: bool,
    shown: Callable[[Shown], None],
    is_calm: bool = False,
    seconds: float = SECONDS,
) -> bool:
    """Take every step, tell `shown` of each, and return whether all held.

    A calm tour leaves out the steps that kill.

    Raises: Problem, if the mesh cannot be reached at all.
    """
    timeout = aiohttp.ClientTimeout(total=_CALL_S_MAX)
    connector = aiohttp.TCPConnector(limit=2 * crowd.APPS)
    async with (
        aiohttp.ClientSession(mesh.gateway_url, timeout=timeout, connector=connector) as http,
        connect(mesh.home / "clients" / SERVICE) as client,
    ):
        scene = Scene(
            mesh=mesh,
            is_own=is_own,
            http=http,
            client=client,
            policy=policy_of(mesh.home),
            seconds=seconds,
        )
        steps = [step for step in STEPS if not (is_calm and step.kills)]
        return await take(steps, scene, shown)
