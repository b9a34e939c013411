"""A bench's figures as tables for people, and what has changed since another run."""

from collections.abc import Iterable, Mapping
from typing import Final

from rich.table import Table

from heptad.trials.figures import (
    GENERATOR,
    CrashFigures,
    Figures,
    GrowthFigures,
    MeshFigures,
    Run,
    WayFigures,
)

CHANGED_FROM: Final = 0.10
"""Below this a change is noise, on a machine that others use too."""


def tables(figures: Figures) -> Iterable[Table]:
    """All tables of a run, in the order in which they are read."""
    if figures.ways:
        yield _ways_table(figures)
        yield _cost_table(figures.ways)
    if figures.mesh is not None:
        yield _mesh_table(figures.mesh)
    if figures.crashed:
        yield _crashed_table(figures.crashed)
    if figures.growth is not None:
        yield _growth_table(figures.growth)


def _growth_table(growth: GrowthFigures) -> Table:
    table = Table(
        title=f"One replica while the log grows, entries of {growth.entry_bytes} B, "
        f"{growth.retention_bytes / 1e6:,.0f} MB retained"
    )
    for heading in ("entries", "a second", "RSS MB", "own MB", "disk MB", "CPU µs"):
        table.add_column(heading, justify="right")
    for sample in growth.samples:
        table.add_row(
            f"{sample.entries:,}",
            f"{sample.entries / sample.seconds:,.0f}",
            f"{sample.rss_bytes / 1e6:,.0f}",
            f"{sample.anonymous_bytes / 1e6:,.0f}",
            f"{sample.disk_bytes / 1e6:,.0f}",
            f"{sample.cpu_us_per_entry:,.1f}",
        )
    return table


def comparison(before: Mapping[str, float], after: Mapping[str, float]) -> Table | None:
    """What differs by a tenth or more, greatest change first; None if nothing does."""
    changes = [
        (name, before[name], value)
        for name, value in after.items()
        if before.get(name) and abs(value / before[name] - 1) >= CHANGED_FROM
    ]
    if not changes:
        return None
    table = Table(title="Changed by a tenth or more")
    table.add_column("figure")
    for heading in ("before", "now", "change"):
        table.add_column(heading, justify="right")
    for name, old, new in sorted(changes, key=lambda row: -abs(row[2] / row[1] - 1)):
        table.add_row(name, f"{old:,.1f}", f"{new:,.1f}", f"{(new / old - 1) * 100:+.0f} %")
    return table


def _ways_table(figures: Figures) -> Table:
    machine = figures.machine
    table = Table(
        title=f"Operations a second, and latency with half of them ({figures.seconds:g} s each)",
        caption=f"{machine.cpus} CPUs ({machine.processor}) for mesh and load together; "
        f"{machine.system}, Python {machine.python}, heptad {machine.heptad}",
    )
    table.add_column("path")
    for heading in ("capacity", "half", "p50 ms", "p95 ms", "p99 ms", "max ms", "refused"):
        table.add_column(heading, justify="right")
    for way in figures.ways:
        half = way.half.measured
        times = half.latencies
        milliseconds = (times.p50_ms, times.p95_ms, times.p99_ms, times.max_ms)
        table.add_row(
            way.way.value,
            f"{way.capacity.measured.achieved_per_s:,.0f}",
            f"{half.achieved_per_s:,.0f}",
            *(f"{value:,.0f}" for value in milliseconds),
            _refused(way.capacity, way.half),
        )
    return table


def _refused(*runs: Run) -> str:
    counts: dict[str, int] = {}
    for run in runs:
        for code, count in run.measured.refused.items():
            counts[code] = counts.get(code, 0) + count
    return ", ".join(f"{count} {code}" for code, count in sorted(counts.items())) or "0"


def _cost_table(ways: tuple[WayFigures, ...]) -> Table:
    table = Table(title="What an operation costs at capacity: CPU in µs by process, and bytes")
    table.add_column("process")
    for way in ways:
        table.add_column(way.way.value, justify="right")
    runs = [way.capacity for way in ways]
    costs = [run.cpu_us_per_op for run in runs]
    names = sorted({name for cost in costs for name in cost}, key=lambda n: (n == GENERATOR, n))
    for name in names:
        table.add_row(name, *(f"{cost[name]:.1f}" if name in cost else "-" for cost in costs))
    table.add_section()
    table.add_row("all", *(f"{sum(cost.values()):.1f}" for cost in costs))
    table.add_section()
    table.add_row("bytes of the load", *(f"{run.bytes_per_op:,.0f}" for run in runs))
    table.add_row("bytes on disk, all members", *(f"{run.disk_bytes_per_op:,.0f}" for run in runs))
    table.add_row("memory, MB", *(f"{run.pss_bytes / 1e6:,.0f}" for run in runs))
    return table


def _mesh_table(mesh: MeshFigures) -> Table:
    single = mesh.idle_request
    times, cost_ms = single.measured.latencies, sum(single.cpu_us_per_op.values()) / 1_000
    ready = f"Ready after {mesh.ready_s:.1f} s from nothing. " if mesh.ready_s else ""
    table = Table(
        title="The mesh at rest, and one request at a time",
        caption=f"{ready}A single request: p50 {times.p50_ms:.1f} ms, p99 {times.p99_ms:.1f} ms, "
        f"{cost_ms:.0f} ms of CPU ({times.count} requests).",
    )
    table.add_column("process")
    for heading in ("idle CPU", "proportional", "resident", "CPU of a request"):
        table.add_column(heading, justify="right")
    for name, rss_bytes in mesh.rss_bytes.items():
        table.add_row(
            name,
            f"{mesh.idle_cpu.get(name, 0.0) * 100:.1f} %",
            f"{mesh.pss_bytes[name] / 1e6:.0f} MB",
            f"{rss_bytes / 1e6:.0f} MB",
            f"{single.cpu_us_per_op.get(name, 0.0) / 1_000:.1f} ms",
        )
    table.add_section()
    table.add_row(
        "all",
        f"{sum(mesh.idle_cpu.values()) * 100:.1f} %",
        f"{sum(mesh.pss_bytes.values()) / 1e6:.0f} MB",
        f"{sum(mesh.rss_bytes.values()) / 1e6:.0f} MB",
        f"{cost_ms:.1f} ms",
    )
    return table


def _crashed_table(pairs: tuple[CrashFigures, ...]) -> Table:
    table = Table(
        title="With replicas killed, each beside the run with all of them",
        caption="Operations a second at capacity; rounds given up on a minute; latency there.",
    )
    table.add_column("path")
    table.add_column("killed", justify="right")
    for heading in ("all", "without", "share", "time-outs", "without", "p99 ms", "without"):
        table.add_column(heading, justify="right")
    for pair in pairs:
        table.add_row(
            pair.way.value,
            str(pair.crashed),
            f"{pair.fault_free.achieved_per_s:,.0f}",
            f"{pair.degraded.achieved_per_s:,.0f}",
            f"{pair.share * 100:.0f} %",
            f"{pair.timeouts_fault_free_per_minute:.1f}",
            f"{pair.timeouts_per_minute:.1f}",
            f"{pair.fault_free.latencies.p99_ms:,.0f}",
            f"{pair.degraded.latencies.p99_ms:,.0f}",
        )
    return table
