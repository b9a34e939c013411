"""`heptad bench ledger`: what an entry costs a ledger, at growing sizes of the log."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heptad.cli.exits import EXIT_FAILED, fail

if TYPE_CHECKING:
    from rich.table import Table

FLAT_PART: Final = 0.2
"""By how much a cost may differ from that of the smallest log and still be called flat."""

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
            *(sys.executable, "-m", "heptad_ledger.synthetic.cost", str(Path(scratch) / "cell")),
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
    """Whether the cost is flat: within a fifth of that at the smallest size."""
    first = rows[0]
    parts = []
    for name, unit in (("cpu_us", "CPU"), ("log_bytes", "bytes")):
        worst = max(rows, key=lambda row: abs(row[name] / first[name] - 1))
        change = worst[name] / first[name] - 1
        is_flat = abs(change) <= FLAT_PART
        parts.append(
            f"{unit} of an entry: {'flat' if is_flat else 'not flat'},"
            f" {change:+.0%} at {worst['size']:,} against {first['size']:,}"
        )
    return "; ".join(parts)
