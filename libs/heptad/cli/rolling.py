"""Restarting members of a running cell one after the other, so that it goes on all the time.

Each is up again, and a replica has caught up, before the next one stops: at no moment is more than
one replica missing. What is known already is not told again: only members that began before the
files were changed are restarted.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heptad.runtime.errors import HomeRefusedError, SupervisionFault

if TYPE_CHECKING:
    from heptad.runtime.control import ControlClient

RESTART_S_MAX: Final = 120.0
CATCH_UP_S_MAX: Final = 60.0
_PAUSE_S: Final = 0.05


def is_up(home: Path) -> bool:
    """Whether `heptad up` runs this home, so that its members can be restarted from here."""
    from heptad.runtime.control import ControlClient

    try:
        ControlClient(home).close()
    except HomeRefusedError:
        return False
    return True


def roll(home: Path, names: Sequence[str], *, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Restart those of `names` that do not know the home's files yet; return which.

    Raises: SupervisionFault if one does not come back; then no other one is stopped.
    """
    from heptad.runtime.control import ControlClient
    from heptad.runtime.keyring.staleness import stale

    restarted = stale(home, names)
    with ControlClient(home, timeout_s=RESTART_S_MAX) as control:
        for name in restarted:
            tell(name)
            _restart(home, control, name)
    return restarted


def _restart(home: Path, control: "ControlClient", name: str) -> None:
    from heptad.runtime.service_order import missing_without

    if not name.startswith("replica-"):
        control.ask("restart", name)
        return
    if reason := missing_without(control, name):
        raise SupervisionFault(f"{name} was left alone: {reason}")
    height = max(_heights(home).values(), default=0)
    control.ask("restart", name)
    give_up_s = time.monotonic() + CATCH_UP_S_MAX
    while _heights(home).get(name, -1) < height:
        if time.monotonic() > give_up_s:
            raise SupervisionFault(
                f"{name} is up and does not catch up: height {height} is missing"
            )
        time.sleep(_PAUSE_S)


def _heights(home: Path) -> dict[str, int]:
    """What each replica that answers has committed."""
    from heptad.trials.tour.scene import replica_statuses

    return {name: status.height for name, status in asyncio.run(replica_statuses(home)).items()}
