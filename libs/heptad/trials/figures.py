"""What a bench found, as values and as the JSON that the next run is compared with."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from heptad.trials.errors import TrialFault
from heptad.trials.load import Measured
from heptad.trials.machine import Machine
from heptad.trials.orders import Way

FORMAT: Final = "heptad-bench/v1"
GENERATOR: Final = "load generator"


@dataclass(frozen=True, slots=True)
class Run:
    """One load on one way.

    `cpu_us_per_op` is CPU time by process name, the generator's and the supervisor's too, divided
    by the operations accepted. `bytes_per_op` counts what the generator sent and received,
    `disk_bytes_per_op` what the files of the home have grown by. `pss_bytes` is the memory of all
    processes at the end of it, shared pages counted once.
    """

    measured: Measured
    cpu_us_per_op: dict[str, float]
    bytes_per_op: float
    disk_bytes_per_op: float
    pss_bytes: int


@dataclass(frozen=True, slots=True)
class WayFigures:
    """A way at its limit, and at half of what that gave."""

    way: Way
    capacity: Run
    half: Run


@dataclass(frozen=True, slots=True)
class MeshFigures:
    """The mesh itself.

    `ready_s` is from nothing, the making of the home (`genesis_s`) included; both are 0 for a mesh
    that ran before. Memory by process: resident (shared pages counted for each process) and
    proportional (shared pages divided, so that the sum is what the machine gives). `idle_cpu` is
    the share of one CPU that each process takes while nothing is asked of it. `idle_request` is one
    request at a time, over HTTP, with pauses: what it costs has no other request to share with.
    """

    ready_s: float
    genesis_s: float
    rss_bytes: dict[str, int]
    pss_bytes: dict[str, int]
    idle_cpu: dict[str, float]
    idle_request: Run


@dataclass(frozen=True, slots=True)
class CrashFigures:
    """A way at its limit with all replicas, and right after it with the first `crashed` killed.

    Time-outs are those of the replica that gave up on most rounds.
    """

    way: Way
    crashed: int
    fault_free: Measured
    degraded: Measured
    timeouts_fault_free_per_minute: float
    timeouts_per_minute: float

    @property
    def share(self) -> float:
        """What is left of the throughput; 1 is all of it."""
        return self.degraded.achieved_per_s / max(self.fault_free.achieved_per_s, 1e-9)


@dataclass(frozen=True, slots=True)
class GrowthSample:
    """The replicas after so many entries; of each figure that of the replica with the most.

    `rss_bytes` counts pages of the mapped store that happen to be in memory; `anonymous_bytes` is
    what the process itself holds. `cpu_us_per_entry` is for the entries since the sample before (0
    in runs of versions that did not measure it).
    """

    entries: int
    seconds: float
    rss_bytes: int
    anonymous_bytes: int
    disk_bytes: int
    cpu_us_per_entry: float = 0.0


@dataclass(frozen=True, slots=True)
class GrowthFigures:
    """One run: its plan, and what was found on the way, the last sample at its end."""

    entries: int
    entry_bytes: int
    retention_bytes: int
    samples: tuple[GrowthSample, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """All of one bench. `mesh` is None where only consensus was measured."""

    date: str
    seconds: float
    machine: Machine
    mesh: MeshFigures | None
    ways: tuple[WayFigures, ...]
    crashed: tuple[CrashFigures, ...] = ()
    growth: GrowthFigures | None = None

    def encode(self) -> str:
        """The JSON document."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)


def read_figures(text: bytes) -> Figures:
    """Read `Figures.encode` back. Raises: TrialFault for anything else, other versions too."""
    try:
        members = json.loads(text)
        if members.pop("format") != FORMAT:
            raise TrialFault(f"its format is not {FORMAT}")
        mesh = members.pop("mesh")
        return Figures(
            machine=Machine(**members.pop("machine")),
            mesh=_mesh(mesh) if mesh is not None else None,
            ways=tuple(map(_way, members.pop("ways"))),
            crashed=tuple(map(_crashed, members.pop("crashed", ()))),
            growth=_growth(members.pop("growth", None)),
            **members,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrialFault(f"it is no bench's JSON: {error}") from None


def _way(members: dict[str, Any]) -> WayFigures:
    capacity, half = (_run(members[name]) for name in ("capacity", "half"))
    return WayFigures(Way(members["way"]), capacity, half)


def _crashed(members: dict[str, Any]) -> CrashFigures:
    fault_free, degraded = (
        Measured.from_members(members.pop(name)) for name in ("fault_free", "degraded")
    )
    way = Way(members.pop("way"))
    return CrashFigures(way=way, fault_free=fault_free, degraded=degraded, **members)


def _growth(members: dict[str, Any] | None) -> GrowthFigures | None:
    if members is None:
        return None
    samples = tuple(GrowthSample(**each) for each in members.pop("samples"))
    return GrowthFigures(samples=samples, **members)


def _run(members: dict[str, Any]) -> Run:
    return Run(measured=Measured.from_members(members.pop("measured")), **members)


def _mesh(members: dict[str, Any]) -> MeshFigures:
    return MeshFigures(idle_request=_run(members.pop("idle_request")), **members)


def comparable(figures: Figures) -> dict[str, float]:
    """The numbers that mean something from run to run, each by a name for people."""
    found: dict[str, float] = {}
    for way in figures.ways:
        times, cost = way.half.measured.latencies, way.capacity.cpu_us_per_op
        found |= {
            f"{way.way.value}: operations a second": way.capacity.measured.achieved_per_s,
            f"{way.way.value}: p50 at half, ms": times.p50_ms,
            f"{way.way.value}: p99 at half, ms": times.p99_ms,
            f"{way.way.value}: CPU, µs an operation": sum(cost.values()),
        }
    if figures.mesh is not None:
        mesh, single = figures.mesh, figures.mesh.idle_request
        found |= {
            "mesh: ready, s": mesh.ready_s,
            "mesh: memory, MB": sum(mesh.pss_bytes.values()) / 1e6,
            "mesh: idle CPU, %": sum(mesh.idle_cpu.values()) * 100,
            "mesh: a single request p50, ms": single.measured.latencies.p50_ms,
            "mesh: a single request p99, ms": single.measured.latencies.p99_ms,
            "mesh: a single request, CPU ms": sum(single.cpu_us_per_op.values()) / 1_000,
        }
    return found
