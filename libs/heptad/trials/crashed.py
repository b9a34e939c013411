"""What a group carries with one and with two of its replicas dead, against all seven.

Each measurement is a pair on one and the same group, one right after the other: all replicas up,
then, with the first few killed, the same load again. So whatever else the machine does falls on
both, and the share is worth more than either figure. Killed are the leader and the one scheduled
after it: the worst that can be lost, because both are asked to lead within the next terms.

Consensus alone is measured on replicas of their own, and the streams of clients on a whole mesh.
"""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.client import connect
from heptad.runtime.config import load_cell
from heptad.trials import meshes
from heptad.trials.errors import TrialFault
from heptad.trials.figures import CrashFigures
from heptad.trials.generator import PROFILE
from heptad.trials.generators import run_order
from heptad.trials.load import Closed, Measured
from heptad.trials.orders import IN_FLIGHT, PREPARED_PER_S, Order, Way
from heptad.trials.subjects import register_subjects, save_subjects
from heptad.trials.tour.scene import replica_statuses

SETTLE_S: Final = 2.0
"""Between two loads: what came before comes to rest, and connections to the dead are given up."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CrashPlan:
    """`seconds` is the length of each load; every pair is measured `times` times."""

    ways: tuple[Way, ...] = (Way.CONSENSUS, Way.GRPC)
    crashed: tuple[int, ...] = (1, 2)
    seconds: float = 10.0
    times: int = 2
    subjects: int = 200


@dataclass(frozen=True, slots=True)
class _Group:
    """A running cell. `subjects` is the folder of those registered, empty where none are needed."""

    home: Path
    subjects: str
    kill: Callable[[str], None]


def measure_crashed(plan: CrashPlan, *, tell: Tell) -> tuple[CrashFigures, ...]:
    """All pairs, in the order in which they were measured. Raises: TrialFault, Problem."""
    pairs: list[CrashFigures] = []
    for way in plan.ways:
        for _ in range(plan.times):
            for count in plan.crashed:
                tell(f"{way.value}: starting all replicas")
                # A group of its own: no pair profits from what an earlier one has recorded.
                with _group(way, plan) as group:
                    pairs.append(_measure_pair(way, group, count, plan.seconds, tell))
    return tuple(pairs)


def _measure_pair(way: Way, group: _Group, count: int, seconds: float, tell: Tell) -> CrashFigures:
    time.sleep(SETTLE_S)
    tell(f"{way.value}: with all replicas")
    fault_free, timeouts_before = _measure(group, _order(way, group, seconds, down=()))
    victims = _victims(group, count)
    for name in victims:
        group.kill(name)
    time.sleep(SETTLE_S)
    tell(f"{way.value}: without {' and '.join(victims)}")
    degraded, timeouts = _measure(group, _order(way, group, seconds, down=victims))
    return CrashFigures(
        way=way,
        crashed=count,
        fault_free=fault_free,
        degraded=degraded,
        timeouts_fault_free_per_minute=timeouts_before * 60 / fault_free.seconds,
        timeouts_per_minute=timeouts * 60 / degraded.seconds,
    )


def _order(way: Way, group: _Group, seconds: float, *, down: tuple[str, ...]) -> Order:
    return Order(
        way=way,
        home=str(group.home),
        subjects=group.subjects,
        operations=int(PREPARED_PER_S[way] * seconds),
        load=Closed(IN_FLIGHT[way], seconds),
        seed=1 + len(down),
        down=down,
    )


def _measure(group: _Group, order: Order) -> tuple[Measured, int]:
    """The load, and how many rounds were given up on while it ran, by who counted most."""
    before, report = run_order(order, before=lambda: _timeouts(group.home))
    after = _timeouts(group.home)
    return report.measured, max(after[name] - before.get(name, 0) for name in after)


def _timeouts(home: Path) -> dict[str, int]:
    statuses = asyncio.run(replica_statuses(home))
    return {name: status.timeouts for name, status in statuses.items()}


def _victims(group: _Group, count: int) -> tuple[str, ...]:
    """The leader that most replicas name, and those after it."""
    statuses = asyncio.run(replica_statuses(group.home))
    leaders = [status.leader for status in statuses.values() if status.leader]
    if not leaders:
        raise TrialFault("no replica says who leads")
    first = max(set(leaders), key=leaders.count)
    names = [replica.id for replica in load_cell(group.home).replicas]
    return tuple(names[(first - 1 + later) % len(names)] for later in range(count))


@contextmanager
def _group(way: Way, plan: CrashPlan) -> Iterator[_Group]:
    with tempfile.TemporaryDirectory(prefix="heptad-crashed-") as scratch:
        home, subjects = Path(scratch) / "cell", Path(scratch) / "subjects"
        meshes.new_home(home)
        if way is Way.CONSENSUS:
            with meshes.replicas_only(home, load_cell(home)) as pids:
                yield _Group(home, "", lambda name: os.kill(pids[name], signal.SIGKILL))
            return
        with meshes.running(home):
            asyncio.run(_register(home, subjects, plan.subjects))
            yield _Group(home, str(subjects), lambda name: meshes.order(home, "kill", name))


async def _register(home: Path, folder: Path, count: int) -> None:
    async with connect(home / "clients" / PROFILE) as client:
        save_subjects(folder, await register_subjects(client, count))
