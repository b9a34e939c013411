"""`heptad bench ledger`: what an entry costs a ledger, at growing sizes of the log."""

import json
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final

from heptad.cli.exits import EXIT_FAILED, fail

if TYPE_CHECKING:
    from rich.table import Table

FLAT_PART: Final = 0.2
"""By how much the largest cost may exceed the least, over all sizes, and still be called flat."""

_FIRST_SIZE: Final = 10_000


def sizes_to(entries: int) -> list[int]:
    """10,000 and ten times as much each time, and `entries` itself at the end."""
    sizes = []
    size = _FIRST_SIZE
    while size < entries:
        sizes.append(size)
        size *= 10
    return [*sizes, entries]


def run(*, entries: int, as_json: bool) -> None:
    """Measure in a process of its own, and print."""
    with tempfile.TemporaryDirectory(prefix="heptad-bench-") as scratch:
        command = [
            *(sys.executable, "-m", "heptad_ledger.synthetic.cost", scratch),
            *("--sizes", *map(str, sizes_to(entries))),
        ]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603  ours
    if ended.returncode:
        fail("the measurement failed", status=EXIT_FAILED, as_json=as_json)
    if as_json:
        print(ended.stdout.strip())
        return
    from rich.console import Console

    rows = json.loads(ended.stdout)["rows"]
    console = Console()
    console.print(table(rows))
    print(verdict(rows))


def table(rows: list[dict[str, Any]]) -> "Table":
    """The rows of `heptad_ledger.synthetic.cost`, for people."""
    from rich.table import Table

    shown = Table(title="What an entry costs the ledger, by the size of its log")
    names = (
        "entries",
        "CPU µs",
        "per s",
        "bytes",
        "proof p50",
        "p99 ms",
        "CPU µs",
        "read p99",
        "MB",
    )
    for name in names:
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(
            f"{row['size']:,}",
            f"{row['cpu_us']:.1f}",
            f"{row['per_s']:,.0f}",
            f"{row['log_bytes']:,.0f}",
            f"{row['proof_p50_ms']:.2f}",
            f"{row['proof_p99_ms']:.2f}",
            f"{row['proof_cpu_us']:,.0f}",
            f"{row['get_p99_ms']:.2f}",
            f"{row['rss_bytes'] / 1e6:,.0f}",
        )
    return shown


def verdict(rows: list[dict[str, Any]]) -> str:
    """Whether the cost is flat: the largest within a fifth of the least, over all sizes."""
    parts = []
    for name, unit in (("cpu_us", "CPU"), ("log_bytes", "bytes")):
        least, most = (pick(rows, key=lambda row: row[name]) for pick in (min, max))
        growth = most[name] / least[name] - 1
        parts.append(
            f"{unit} of an entry: {'flat' if growth <= FLAT_PART else 'not flat'},"
            f" {growth:.0%} more at {most['size']:,} than at {least['size']:,}"
        )
    return "; ".join(parts)
