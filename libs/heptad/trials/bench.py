"""The benchmark: what the mesh carries, how long it takes, and what that costs, way by way.

For each way its capacity is found first, by a closed load that keeps more in flight than the mesh
can finish; then half of that is offered by an open load, whose latencies are those that users have
on a good day. Each load comes from a process of its own, with requests that were signed before.

Everything runs on one machine, load included, so the figures are those of *this machine carrying
both*; the cost of each process is measured beside it, and tells where the time goes.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from heptad.client import connect
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan, free_base
from heptad.runtime.process_usage import ProcessUsage, usage_of
from heptad.trials.bundle_target import EVENTS
from heptad.trials.crashed import CrashPlan, measure_crashed
from heptad.trials.disk_usage import disk_bytes
from heptad.trials.figures import GENERATOR, Figures, GrowthFigures, MeshFigures, Run, WayFigures
from heptad.trials.generator import BATCH, PROFILE
from heptad.trials.generators import run_order
from heptad.trials.growth import GrowthPlan, prepare
from heptad.trials.growth import measure as measure_growth
from heptad.trials.load import Closed, Load, Open, Paced
from heptad.trials.machine import this_machine
from heptad.trials.meshes import RunningMesh, attach, new_home, replicas_only, running
from heptad.trials.orders import IN_FLIGHT, PREPARED_PER_S, Order, Report, Way
from heptad.trials.subjects import register_subjects, save_subjects


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and for how long.

    `home` is None for a mesh of our own. `seconds` is the length of one load, `settle_s` that of
    the pause before it, in which what came before comes to rest. `crashed` is what to do with
    replicas dead, None for nothing.
    """

    home: Path | None = None
    ways: tuple[Way, ...] = tuple(Way)
    seconds: float = 5.0
    settle_s: float = 1.0
    idle_s: float = 5.0
    idle_requests: int = 200
    idle_pause_s: float = 0.03
    subjects: int = 200
    crashed: CrashPlan | None = None
    growth: GrowthPlan | None = None

    def quick(self) -> "Plan":
        """The same in a tenth of the time: to see that it works, not to believe the figures."""
        crashed = self.crashed and replace(self.crashed, seconds=2.0, times=1, subjects=16)
        return replace(
            self,
            seconds=0.5,
            settle_s=0.1,
            idle_s=0.5,
            idle_requests=20,
            idle_pause_s=0.02,
            subjects=16,
            crashed=crashed,
            growth=self.growth.quick() if self.growth is not None else None,
        )


Usages = dict[str, ProcessUsage]
Tell = Callable[[str], None]


def run_bench(plan: Plan, *, tell: Tell) -> Figures:
    """Measure all of `plan`; `tell` hears what is being done, for people who wait.

    Raises: TrialFault, SupervisionFault, HomeRefusedError, Problem.
    """
    date = datetime.now(UTC).isoformat(timespec="seconds")
    ways: list[WayFigures] = []
    mesh_figures: MeshFigures | None = None
    with tempfile.TemporaryDirectory(prefix="heptad-bench-") as scratch:
        if Way.CONSENSUS in plan.ways:
            ways.append(_measure_consensus(plan, Path(scratch), tell))
        rest = [way for way in plan.ways if way is not Way.CONSENSUS]
        if rest:
            with _mesh(plan, Path(scratch), tell) as (mesh, genesis_s):
                bench = _MeshBench(plan, mesh, Path(scratch), tell)
                mesh_figures = bench.measure_idle(genesis_s)
                ways += [bench.measure(way) for way in rest]
        growth = _measure_growth(plan.growth, Path(scratch), tell) if plan.growth else None
    crashed = measure_crashed(plan.crashed, tell=tell) if plan.crashed is not None else ()
    return Figures(date, plan.seconds, this_machine(), mesh_figures, tuple(ways), crashed, growth)


@contextmanager
def _mesh(plan: Plan, scratch: Path, tell: Tell) -> Iterator[tuple[RunningMesh, float]]:
    """The mesh to measure, and how long its genesis took."""
    if plan.home is not None:
        yield attach(plan.home), 0.0
        return
    tell("starting a mesh")
    started_s = time.monotonic()
    new_home(scratch / "cell")
    genesis_s = time.monotonic() - started_s
    with running(scratch / "cell") as mesh:
        yield mesh, genesis_s


def _measure_consensus(plan: Plan, scratch: Path, tell: Tell) -> WayFigures:
    """Seven replicas in a home of their own: a ledger would change what is measured."""
    tell("consensus: starting seven replicas")
    home = scratch / "replicas"
    ports = PortPlan(free_base(start_hint=time.time_ns() // 1_000_000))
    cell = create_home(home, GenesisPlan(ports=ports), now=datetime.now(UTC))
    with replicas_only(home, cell) as pids:
        measuring = _Measuring(home, lambda: pids)
        return _limit_and_half(Way.CONSENSUS, plan, measuring, "", tell)


def _measure_growth(plan: GrowthPlan, scratch: Path, tell: Tell) -> GrowthFigures:
    """Seven replicas in a home of their own, with the plan's retention."""
    tell(f"growth: {plan.entries:,} entries into seven replicas")
    home = scratch / "growth"
    ports = PortPlan(free_base(start_hint=time.time_ns() // 1_000_000))
    cell = create_home(home, GenesisPlan(ports=ports), now=datetime.now(UTC))
    prepare(home, cell, plan)
    with replicas_only(home, cell) as pids:
        return asyncio.run(measure_growth(home, cell, pids, plan, tell))


class _MeshBench:
    """Everything that is measured on one running mesh."""

    def __init__(self, plan: Plan, mesh: RunningMesh, scratch: Path, tell: Tell) -> None:
        self._plan = plan
        self._mesh = mesh
        self._measuring = _Measuring(mesh.home, mesh.pids)
        self._tell = tell
        self._subjects = scratch / "subjects"
        tell(f"registering {plan.subjects} subjects")
        asyncio.run(self._register())

    async def _register(self) -> None:
        async with connect(self._mesh.home / "clients" / PROFILE) as client:
            subjects = await register_subjects(client, self._plan.subjects)
        save_subjects(self._subjects, subjects)

    def measure_idle(self, genesis_s: float) -> MeshFigures:
        """The mesh at rest, and a single request now and then."""
        plan = self._plan
        self._tell(f"idle for {plan.idle_s:g} s")
        time.sleep(plan.settle_s)
        before = self._measuring.usages()
        time.sleep(plan.idle_s)
        after = self._measuring.usages()
        idle_cpu = {
            name: (usage.cpu_s - before[name].cpu_s) / plan.idle_s
            for name, usage in after.items()
            if name in before
        }
        self._tell(f"{plan.idle_requests} single requests")
        return MeshFigures(
            ready_s=self._mesh.ready_s + genesis_s,
            genesis_s=genesis_s,
            rss_bytes={name: usage.rss_bytes for name, usage in after.items()},
            pss_bytes={name: usage.pss_bytes for name, usage in after.items()},
            idle_cpu=idle_cpu,
            idle_request=self._single_requests(),
        )

    def _single_requests(self) -> Run:
        load = Paced(self._plan.idle_requests, self._plan.idle_pause_s)
        order = Order(
            way=Way.HTTP,
            home=str(self._mesh.home),
            subjects=str(self._subjects),
            operations=load.count,
            load=load,
        )
        return self._measuring.run(order)

    def measure(self, way: Way) -> WayFigures:
        """One way."""
        return _limit_and_half(way, self._plan, self._measuring, str(self._subjects), self._tell)


def _limit_and_half(
    way: Way, plan: Plan, measuring: "_Measuring", subjects: str, tell: Tell
) -> WayFigures:
    def order(load: Load, operations: int) -> Order:
        return Order(way, str(measuring.home), subjects, operations, load)

    tell(f"{way.value}: capacity")
    time.sleep(plan.settle_s)
    prepared = int(PREPARED_PER_S[way] * plan.seconds)
    capacity = measuring.run(order(Closed(IN_FLIGHT[way], plan.seconds), prepared))
    half_per_s = capacity.measured.achieved_per_s / 2
    tell(f"{way.value}: half of {capacity.measured.achieved_per_s:,.0f} a second")
    time.sleep(plan.settle_s)
    weight = {Way.CONSENSUS: 1_000, Way.BUNDLES: EVENTS, Way.HTTP_BATCH: BATCH}.get(way, 1)
    load = Open(max(half_per_s, weight) / weight, plan.seconds)
    # A Poisson process brings more than its mean now and then: a quarter more is enough.
    operations = max(int(half_per_s * plan.seconds * 1.25), 10 * weight)
    return WayFigures(way, capacity, measuring.run(order(load, operations)))


class _Measuring:
    """Runs one load and reads what every process used meanwhile."""

    def __init__(self, home: Path, pids: Callable[[], Mapping[str, int]]) -> None:
        self.home = home
        self._pids = pids

    def usages(self) -> Usages:
        """Of all processes that run, as far as the system tells."""
        found = {name: usage_of(pid) for name, pid in self._pids().items()}
        return {name: usage for name, usage in found.items() if usage is not None}

    def run(self, order: Order) -> Run:
        """Raises: TrialFault."""
        before, report = run_order(order, before=lambda: (self.usages(), disk_bytes(self.home)))
        after, disk_after = self.usages(), disk_bytes(self.home)
        return _run(report, before[0], after, disk_after - before[1])


def _run(report: Report, before: Usages, after: Usages, disk_growth_bytes: int) -> Run:
    operations = max(report.measured.accepted, 1)
    cpu_us = {
        name: (usage.cpu_s - before[name].cpu_s) * 1_000_000
        for name, usage in after.items()
        if name in before
    }
    cpu_us[GENERATOR] = report.cpu_us
    return Run(
        measured=report.measured,
        cpu_us_per_op={name: used_us / operations for name, used_us in cpu_us.items()},
        bytes_per_op=(report.sent_bytes + report.received_bytes) / operations,
        disk_bytes_per_op=disk_growth_bytes / operations,
        pss_bytes=sum(usage.pss_bytes for usage in after.values()),
    )
