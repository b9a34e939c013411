"""`heptad model`: the protocol's rules, exhausted; and each rule taken out, which must fail.

The table says for each configuration what came out and whether that is what must. Exit code 1 if
one row is not as it must be: then the protocol is broken, or the model is blind.
"""

import json
import secrets
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, told

if TYPE_CHECKING:
    from heptad.specification.table import Outcome

SEED_BITS: Final = 31
WALKS_DEFAULT: Final = 1_000
STEPS_A_WALK: Final = 200
ROUNDS_MAX: Final = 1_000


def command(
    *,
    walks: Annotated[
        int, typer.Option(min=0, help="Random walks of all messages of seven members.")
    ] = WALKS_DEFAULT,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the walks; drawn and printed if not given.")
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="Leave out what takes longer than some seconds.")
    ] = False,
    traces: Annotated[
        bool, typer.Option("--traces", help="Print every counter-example, step by step.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the protocol's rules exhaustively, and that each of them is needed."""
    with told(as_json=as_json):
        from heptad.specification.table import CONFIGURATIONS, DEEPER, run

        began = time.monotonic()
        outcomes, seconds = [], []
        for configuration in CONFIGURATIONS if short else CONFIGURATIONS + DEEPER:
            start = time.monotonic()
            outcomes.append(run(configuration))
            seconds.append(round(time.monotonic() - start, 1))
        rows = [_row(outcome, took) for outcome, took in zip(outcomes, seconds, strict=True)]
        walked = _walked(walks, secrets.randbits(SEED_BITS) if seed is None else seed)
        report = {
            "configurations": rows,
            "walks": walked,
            "seconds": round(time.monotonic() - began, 1),
        }
        if as_json:
            print(json.dumps(report))
        else:
            _print(rows, walked, outcomes if traces else [])
        if not all(row["is_as_it_must_be"] for row in rows) or walked["violation"] is not None:
            raise typer.Exit(EXIT_FAILED)


def _row(outcome: "Outcome", seconds: float) -> dict[str, object]:
    configuration = outcome.configuration
    return {
        "configuration": configuration.name,
        "method": configuration.method,
        "limit": configuration.limit,
        "states": outcome.states,
        "seconds": seconds,
        "must": "fail" if configuration.fails else "hold",
        "violation": outcome.told,
        "is_finished": outcome.is_finished,
        "is_as_it_must_be": outcome.is_as_it_must_be,
        "with_all_rules": outcome.objection,
    }


def _walked(walks: int, seed: int) -> dict[str, object]:
    """Random walks of all messages of seven members, two of them Byzantine, until one goes wrong.

    A walk's own seed is the first one plus its number, so one that goes wrong is found again.
    """
    from heptad.simulation.chance import stream
    from heptad.specification.messages import Protocol
    from heptad.specification.table import ALL, SEVEN
    from heptad.specification.walk import walk

    protocol = Protocol(ALL, SEVEN, ROUNDS_MAX)
    report: dict[str, object] = {"first_seed": seed, "violation": None}
    rounds = steps = certified = count = 0
    for number in range(walks):
        choose = stream(seed + number, "walk").randrange
        ended = walk(protocol, choose, steps_max=STEPS_A_WALK)
        count += 1
        rounds, steps = rounds + ended.rounds, steps + len(ended.steps)
        certified += ended.certified
        if ended.told is not None:
            report["violation"] = ended.told
            report["steps"] = [step.text() for step in ended.steps]
            break
    return report | {"walks": count, "rounds": rounds, "steps": steps, "certified": certified}


def _print(
    rows: list[dict[str, object]], walked: dict[str, object], outcomes: list["Outcome"]
) -> None:
    from rich.console import Console
    from rich.table import Table

    from heptad.specification.table import story

    console = Console()
    table = Table("configuration", "searched", "up to", "states", "s", "result",
                  title="The protocol's rules, exhausted")  # fmt: skip
    for row in rows:
        violation = row["violation"]
        mark = "" if row["is_as_it_must_be"] else "NOT AS IT MUST BE: "
        unfinished = "" if row["is_finished"] else ", unfinished"
        result = mark + ("holds" if violation is None else f"fails, {violation}") + unfinished
        table.add_row(
            str(row["configuration"]), str(row["method"]), str(row["limit"]),
            f"{row['states']:,}", f"{row['seconds']}", result,
        )  # fmt: skip
    console.print(table)
    for outcome in outcomes:
        if outcome.told is not None:
            console.print(f"\n{outcome.configuration.name}", style="bold", markup=False)
            for line in story(outcome):
                console.print(line, markup=False, highlight=False)
    console.print(
        f"{walked['walks']:,} walks from seed {walked['first_seed']}: {walked['steps']:,} steps, "
        f"{walked['rounds']:,} rounds, {walked['certified']:,} certified blocks; "
        f"{walked['violation'] or 'nothing violated'}",
        markup=False,
    )
