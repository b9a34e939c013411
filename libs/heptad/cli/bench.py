"""`heptad bench`: what this machine carries, in figures, against the last time."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from heptad.cli import bench_ledger, bench_privacy
from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told

if TYPE_CHECKING:
    from heptad.trials.bench import Plan
    from heptad.trials.figures import Figures
    from heptad.trials.orders import Way

RESULTS_FOLDER: Final = Path(".heptad-bench")
"""Not in the home: a mesh that is started for a bench is gone after it."""

_CRASHED: Final = "crashed"
_GROWTH: Final = "growth"
_QUICK_ENTRIES: Final = 20_000
_QUICK_SUBJECTS: Final = 5_000

Entries: TypeAlias = Annotated[
    int,
    typer.Option("--entries", min=10_000, help="For growth and ledger: how far the log grows."),
]
Subjects: TypeAlias = Annotated[
    int, typer.Option("--subjects", min=1_000, help="For privacy: how many there are.")
]


def command(
    what: Annotated[
        str,
        typer.Argument(
            help="mesh; ledger: what an entry costs as a log grows; privacy: what erasures cost."
        ),
    ] = "mesh",
    *,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Measure the cell that runs here, not one of our own."),
    ] = None,
    paths: Annotated[
        str,
        typer.Option(
            "--paths",
            help="What to measure, of consensus,bundles,grpc,http-batch,http; and crashed: "
            "consensus and grpc with one and with two replicas killed, in cells of their own; and "
            "growth: what a replica takes of memory and disk while the log grows.",
        ),
    ] = "consensus,bundles,grpc,http-batch,http",
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.5, max=60.0, help="Length of each load.")
    ] = 5.0,
    quick: Annotated[
        bool, typer.Option("--quick", help="See that it works; the figures mean little.")
    ] = False,
    entries: Entries = 10_000_000,
    subjects: Subjects = 1_000_000,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", help="Compare with this file, not with the last run."),
    ] = None,
    results: Annotated[
        Path, typer.Option("--results", help="Folder in which runs are kept, a file each.")
    ] = RESULTS_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure throughput, latency and cost of a cell of its own, or of the one in `--home`.

    Each path is driven to its capacity first, then with half of it in an open loop. `heptad bench
    ledger` measures the ledger alone, at 10,000 entries and ten times as many each time, `heptad
    bench privacy` erasures and look-ups in a vault and a ledger of a million subjects.
    """
    if what != "mesh":
        entries, subjects = (_QUICK_ENTRIES, _QUICK_SUBJECTS) if quick else (entries, subjects)
        _without_mesh(what, entries=entries, subjects=subjects, as_json=as_json)
        return
    with told(as_json=as_json):
        plan = _plan(home, paths, seconds=seconds, entries=entries, as_json=as_json)
        earlier = compare if compare is not None else _last(results)
        # Read before the measurement, which takes minutes: a file that cannot be used is said now.
        before = _read(earlier, as_json=as_json) if earlier is not None else None
        figures = _measured(plan.quick() if quick else plan, as_json=as_json)
        kept = _keep(results, figures)
    if as_json:
        print(figures.encode())
    else:
        _print(figures, before, earlier, kept)


def _without_mesh(what: str, *, entries: int, subjects: int, as_json: bool) -> None:
    match what:
        case "privacy":
            bench_privacy.run(subjects=subjects, as_json=as_json)
        case "ledger":
            bench_ledger.run(entries=entries, as_json=as_json)
        case _:
            fail(f"what to measure: mesh, ledger or privacy, not {what}", status=EXIT_USAGE)


def _plan(home: Path | None, paths: str, *, seconds: float, entries: int, as_json: bool) -> "Plan":
    from heptad.trials.bench import Plan
    from heptad.trials.crashed import CrashPlan
    from heptad.trials.growth import GrowthPlan

    ways, others = _ways(paths, as_json=as_json)
    crashed = CrashPlan(seconds=2 * seconds) if _CRASHED in others else None
    growth = GrowthPlan(entries=entries) if _GROWTH in others else None
    cell = home.absolute() if home else None
    return Plan(home=cell, ways=ways, seconds=seconds, crashed=crashed, growth=growth)


def _measured(plan: "Plan", *, as_json: bool) -> "Figures":
    from heptad.trials.bench import run_bench
    from heptad.trials.errors import TrialFault

    try:
        return run_bench(plan, tell=_tell)
    except TrialFault as fault:
        fail(str(fault), status=EXIT_FAILED, as_json=as_json)


def _ways(paths: str, *, as_json: bool) -> "tuple[tuple[Way, ...], set[str]]":
    """The paths named, in their own order, and what is to be measured besides."""
    from heptad.trials.orders import Way

    words = {path.strip() for path in paths.split(",")}
    others = words & {_CRASHED, _GROWTH}
    try:
        named = {Way(word) for word in words - others}
    except ValueError:
        known = ", ".join([*(way.value for way in Way), _CRASHED, _GROWTH])
        fail(f"--paths knows {known}", status=EXIT_USAGE, as_json=as_json)
    return tuple(way for way in Way if way in named), others


def _tell(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


def _last(results: Path) -> Path | None:
    """The newest run that was kept; names are dates, so the greatest is the newest."""
    return max(results.glob("*.json"), default=None)


def _keep(results: Path, figures: "Figures") -> Path:
    results.mkdir(exist_ok=True)
    name = figures.date.partition("+")[0].replace(":", "")
    path = results / f"{name}.json"
    path.write_text(figures.encode() + "\n")
    return path


def _print(figures: "Figures", before: "Figures | None", earlier: Path | None, kept: Path) -> None:
    from rich.console import Console

    from heptad.trials.bench_tables import comparison, tables
    from heptad.trials.figures import comparable

    console = Console()
    for table in tables(figures):
        console.print(table)
    if before is not None:
        difference = comparison(comparable(before), comparable(figures))
        if difference is not None:
            console.print(difference)
        verdict = "nothing changed by a tenth" if difference is None else "see the last table"
        other = "" if before.machine == figures.machine else " (another machine or version)"
        print(f"compared with {earlier}{other}: {verdict}")
    print(f"kept as {kept}")


def _read(path: Path, *, as_json: bool) -> "Figures":
    from heptad.trials.errors import TrialFault
    from heptad.trials.figures import read_figures

    try:
        return read_figures(path.read_bytes())
    except TrialFault as fault:
        fail(f"{path}: {fault}", status=EXIT_USAGE, as_json=as_json)
