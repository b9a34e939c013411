"""`heptad simulate`: the real consensus code in a simulated, hostile world.

Every history comes from one seed. A failure prints its seed, the command that replays it, and the
file that its scenario was saved to, and the exit code is 1.
"""

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told

if TYPE_CHECKING:
    from heptad.simulation.campaign import Plan, Summary
    from heptad.simulation.scenario import Scenario
    from heptad.simulation.world import History

HISTORIES_DEFAULT: Final = 200
SEED_BITS: Final = 31
SHRINK_RUNS_MAX: Final = 2_000
MEMBERS_MAX: Final = 64
LINE_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run tells what it did: as JSON or for people; where failing scenarios go, how thin."""

    as_json: bool
    out: Path
    is_shrinking: bool


def command(
    *,
    seed: Annotated[
        int | None, typer.Option(min=0, help="First seed; drawn and printed if not given.")
    ] = None,
    histories: Annotated[
        int | None, typer.Option(min=1, help="Run so many histories (200 if nothing is said).")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Run histories until they have so many rounds.")
    ] = None,
    members: Annotated[
        int, typer.Option(min=1, max=MEMBERS_MAX, help="Replicas in the group.")
    ] = 7,
    faults: Annotated[
        str,
        typer.Option(
            help="all, none, or some of network,crash,disk,clock,byzantine,twins,validators,limits."
        ),
    ] = "all",
    twins: Annotated[
        int | None, typer.Option(min=0, help="Members that run twice; more than f must fork.")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="Replay this scenario file instead of drawing one.")
    ] = None,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Thin out a failing scenario before it is saved.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one for each core if not given.")
    ] = None,
    transcript: Annotated[
        bool, typer.Option("--transcript", help="Run one history and print it line by line.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for scenarios that fail.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run consensus in a simulated, hostile world, and judge every step of it."""
    manner = Manner(as_json, out, shrink)
    with told(as_json=as_json):
        from heptad.simulation.campaign import Plan

        if scenario is not None:
            _run_one(_loaded(scenario, as_json=as_json), manner, with_transcript=transcript)
            return
        if twins is not None and twins > members:
            fail(f"{twins} twins of {members} members", status=EXIT_USAGE, as_json=as_json)
        plan = Plan(
            seed=secrets.randbits(SEED_BITS) if seed is None else seed,
            histories=HISTORIES_DEFAULT if histories is None and rounds is None else histories,
            rounds=rounds,
            members=members,
            faults=_faults(faults, as_json=as_json),
            twins=twins,
        )
        if transcript:
            _run_one(plan.scenario(plan.seed), manner, with_transcript=True)
        else:
            _run_many(plan, workers or os.cpu_count() or 1, manner)


def _faults(text: str, *, as_json: bool) -> frozenset[str]:
    from heptad.simulation.faults import FAULTS

    if text in {"all", "none"}:
        return frozenset(FAULTS if text == "all" else ())
    chosen = frozenset(text.split(","))
    unknown = ", ".join(sorted(chosen - set(FAULTS)))
    if unknown:
        message = f"--faults knows all, none, {', '.join(FAULTS)}; not {unknown}"
        fail(message, status=EXIT_USAGE, as_json=as_json)
    return chosen


def _loaded(path: Path, *, as_json: bool) -> "Scenario":
    from heptad.simulation.scenario_file import ScenarioError, load

    try:
        return load(path)
    except ScenarioError as error:
        fail(f"{path}: {error}", status=EXIT_USAGE, as_json=as_json)


def _run_one(scenario: "Scenario", manner: Manner, *, with_transcript: bool) -> None:
    """Replay one scenario, with a transcript if wanted."""
    from heptad.simulation.campaign import Summary
    from heptad.simulation.transcript import Transcript
    from heptad.simulation.world import World

    began = time.monotonic()
    try:
        world = World(scenario, transcript=Transcript(print) if with_transcript else None)
    except ValueError as error:
        fail(str(error), status=EXIT_USAGE, as_json=manner.as_json)
    summary = Summary()
    summary.add(world.run())
    _conclude(summary, None, scenario, manner, seconds=time.monotonic() - began)


def _run_many(plan: "Plan", workers: int, manner: Manner) -> None:
    """Run a campaign, showing how far it is: a bar on a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from heptad.simulation.campaign import run_campaign

    began = time.monotonic()
    console = Console(stderr=True)
    lines = Lines(lambda line: console.print(line, highlight=False))
    is_silent = manner.as_json
    if not is_silent:
        console.print(f"first seed {plan.seed}", highlight=False)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=console, disable=is_silent or not console.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=plan.rounds or plan.histories)

        def show(summary: "Summary") -> None:
            done = summary.rounds if plan.rounds else summary.histories
            what = f"{summary.histories:,} histories, {summary.rounds:,} rounds"
            bar.update(task, completed=done, description=what)
            if not is_silent and not console.is_terminal:
                lines.tell(what, time.monotonic() - began)

        summary = run_campaign(plan, workers=workers, progress=show)
    failure = summary.failure
    scenario = None if failure is None else plan.scenario(failure.seed)
    _conclude(summary, plan, scenario, manner, seconds=time.monotonic() - began)


class Lines:
    """Progress where no bar can be drawn: a line a minute."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._due_s = LINE_EVERY_S

    def tell(self, what: str, passed_s: float) -> None:
        """Say `what` is done after so much time, if the last line was long enough ago."""
        if passed_s >= self._due_s:
            self._due_s = passed_s + LINE_EVERY_S
            self._say(f"{what} in {passed_s:,.0f} s")


def _conclude(
    summary: "Summary",
    plan: "Plan | None",
    scenario: "Scenario | None",
    manner: Manner,
    *,
    seconds: float,
) -> None:
    """Say what was done; with a failure, how to see it again, and end with 1."""
    report: dict[str, object] = {
        "histories": summary.histories,
        "rounds": summary.rounds,
        "blocks": summary.blocks,
        "records": summary.records,
        "simulated_s": summary.simulated_ms // 1000,
        "seconds": round(seconds, 1),
        "rounds_per_s": round(summary.rounds / max(seconds, 1e-9)),
        "first_seed": None if plan is None else plan.seed,
        "counts": dict(sorted(summary.counts.items())),
        "failure": None,
    }
    if summary.failure is not None and scenario is not None:
        report["failure"] = _told_failure(summary.failure, plan, scenario, manner)
    if manner.as_json:
        print(json.dumps(report))
    else:
        _print(report)
    if summary.failure is not None:
        raise typer.Exit(EXIT_FAILED)


def _told_failure(
    failure: "History", plan: "Plan | None", scenario: "Scenario", manner: Manner
) -> dict[str, object]:
    """Save the scenario of a failure, thinned out if wanted, and tell where it is."""
    from heptad.simulation.scenario_file import save
    from heptad.simulation.shrink import shrunk

    if manner.is_shrinking:
        scenario = shrunk(scenario, tries_max=SHRINK_RUNS_MAX, tell=lambda _: None)
    assert failure.broken is not None
    path = manner.out / f"scenario-{failure.broken.value}-{failure.seed}.toml"
    save(scenario, path)
    return {
        "seed": failure.seed,
        "broken": failure.broken.value,
        "detail": failure.detail,
        "scenario": str(path),
        "replay": f"heptad simulate --scenario {path} --transcript",
        "again": None if plan is None else _command_of(plan, failure.seed),
    }


def _command_of(plan: "Plan", seed: int) -> str:
    """The command that draws the same history again."""
    from heptad.simulation.faults import FAULTS

    words = ["heptad simulate --seed", str(seed), "--histories 1 --members", str(plan.members)]
    if plan.faults != frozenset(FAULTS):
        words += ["--faults", ",".join(sorted(plan.faults)) or "none"]
    if plan.twins is not None:
        words += ["--twins", str(plan.twins)]
    return " ".join(words)


def _print(report: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("what", "how much", title="Simulated histories")
    for name in ("histories", "rounds", "blocks", "records", "simulated_s", "seconds",
                 "rounds_per_s", "first_seed"):  # fmt: skip
        table.add_row(name.replace("_", " "), _figure(report[name]))
    counts = report["counts"]
    assert isinstance(counts, dict)
    table.add_section()
    for name, count in counts.items():
        table.add_row(name, _figure(count))
    console.print(table)
    failure = report["failure"]
    if not isinstance(failure, dict):
        console.print("Every promise was kept.")
        return
    console.print(f"[bold red]Broken: {failure['broken']}[/] at seed {failure['seed']}")
    console.print(str(failure["detail"]), markup=False)
    console.print(f"Replay: {failure['replay']}", markup=False)
    if failure["again"]:
        console.print(f"Draw it again: {failure['again']}", markup=False)


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else "—"
