"""`heptad bench privacy`: what erasures and look-ups cost with many subjects."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heptad.cli.exits import EXIT_FAILED, fail

if TYPE_CHECKING:
    from rich.table import Table

ENTRIES_PER_SUBJECT: Final = 2
"""A registration, and one request on the average."""

_ROOM: Final = "heptad_ledger.synthetic"


def run(*, subjects: int, as_json: bool) -> None:
    """Measure a vault alone, then a whole ledger, each in processes of their own, and print."""
    with tempfile.TemporaryDirectory(prefix="heptad-bench-") as scratch:
        vault = _asked(["vault_cost", scratch, "--subjects", str(subjects)], as_json=as_json)
        home = str(Path(scratch) / "cell")
        entries = ENTRIES_PER_SUBJECT * subjects
        fill = ["", home, "--subjects", str(subjects), "--entries", str(entries)]
        filled = _asked(fill, as_json=as_json)
        ledger = _asked(["subjects_cost", home], as_json=as_json)
        erasing = _asked(["erasing_cost", home], as_json=as_json)
    figures = {"vault": vault, "fill": filled, "ledger": ledger, "erasing": erasing}
    if as_json:
        print(json.dumps(figures))
        return
    from rich.console import Console

    console = Console()
    for table in tables(figures):
        console.print(table)


def _asked(words: Sequence[str], *, as_json: bool) -> dict[str, Any]:
    """The JSON that one of the ledger's own measurements prints."""
    module, *arguments = words
    command = [sys.executable, "-m", f"{_ROOM}.{module}" if module else _ROOM, *arguments]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603  ours
    if ended.returncode:
        fail("the measurement failed", status=EXIT_FAILED, as_json=as_json)
    figures: dict[str, Any] = json.loads(ended.stdout)
    return figures


def tables(figures: dict[str, Any]) -> "list[Table]":
    """The figures, for people."""
    vault, ledger = figures["vault"], figures["ledger"]
    erasing = figures["erasing"]
    shown = [
        _erasures("Erasures, the vault alone", vault["erasures"]),
        _erasures(f"… with {erasing['rows_each']:.1f} rows of each", erasing["erasures"]),
    ]
    cold = vault["cold"]
    rows = [
        ("vault: open, warm / cold", f"{vault['open_warm_ms']:.1f} / {cold['open_p50_ms']:.1f} ms"),
        ("vault: a look-up, warm p50", f"{vault['warm']['p50_us']:.0f} µs"),
        ("vault: a look-up, cold p50", f"{cold['look_up_p50_us'] / 1e3:.1f} ms"),
        ("vault: bytes a subject", f"{vault['bytes_per_subject']:.0f}"),
        (
            "ledger: start, warm / cold",
            f"{ledger['start_warm_ms']:,.0f} / {ledger['start_cold_ms']:,.0f} ms",
        ),
        ("ledger: a look-up, warm", f"{ledger['look_up_warm_us']:.0f} µs"),
        ("ledger: a look-up, cold p50", f"{ledger['look_up_cold_p50_ms']:.1f} ms"),
        ("ledger: memory", f"{ledger['memory_bytes'] / 1e6:,.0f} MB"),
        *((f"ledger: bytes a subject, {k}", f"{v:,.0f}") for k, v in _bytes(ledger)),
    ]
    return [*shown, _listed(f"With {vault['subjects']:,} subjects", rows)]


def _bytes(ledger: dict[str, Any]) -> list[tuple[str, float]]:
    return sorted(ledger["bytes_per_subject"].items(), key=lambda row: -row[1])


def _erasures(title: str, rows: Sequence[dict[str, Any]]) -> "Table":
    from rich.table import Table

    shown = Table(title=title)
    for name in ("at once", "a second", "p50 ms", "p99 ms", "CPU ms"):
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(
            f"{row['group']:,}",
            f"{row['per_s']:,.0f}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            f"{row['cpu_ms']:.1f}",
        )
    return shown


def _listed(title: str, rows: Sequence[tuple[str, str]]) -> "Table":
    from rich.table import Table

    shown = Table(title=title, show_header=False)
    shown.add_column()
    shown.add_column(justify="right")
    for row in rows:
        shown.add_row(*row)
    return shown
