"""What `heptad ledger …` starts: processes of the ledger's own code, which print JSON lines.

LMDB is opened by a process that ends, whatever a database does to it, and a library does not import
a service.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from heptad.cli.exits import EXIT_FAILED, fail

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def backup_command(home: Path, *words: str) -> list[str]:
    """A command of `heptad_ledger.backup`."""
    return [sys.executable, "-m", "heptad_ledger.backup", str(home.absolute()), *words]


def run(
    command: list[str], *, as_json: bool, on_finding: Callable[[dict[str, Any]], None]
) -> tuple[list[dict[str, Any]], int]:
    """What a process of the ledger says, without its progress, and how it ended."""
    lines: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603  ours
        assert child.stdout is not None
        for line in _shown(child.stdout, is_quiet=as_json):
            lines.append(line)
            if not as_json and "finding" in line:
                on_finding(line["finding"])
    return lines, child.returncode


def done(
    command: list[str],
    *,
    as_json: bool,
    on_finding: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a command of `heptad_ledger.backup`; what it has done, or the end with its error."""
    lines, status = run(command, as_json=as_json, on_finding=on_finding)
    last = lines[-1] if lines else {}
    if "error" in last:
        fail(str(last["error"]), status=status, as_json=as_json)
    if status or "done" not in last:
        fail(f"it died (status {status})", status=EXIT_FAILED, as_json=as_json)
    facts: dict[str, Any] = last["done"]
    return facts


def _shown(output: IO[str], *, is_quiet: bool) -> Iterator[dict[str, Any]]:
    """The lines that are no progress; that goes into a bar."""
    with _bar(is_quiet=is_quiet) as bar:
        task: TaskID | None = None
        for text in output:
            line: dict[str, Any] = json.loads(text)
            progress = line.get("progress")
            if progress is None:
                yield line
            elif bar is not None:
                if task is None:
                    task = bar.add_task("")
                done, total = progress["done"], max(progress["total"], 1)
                bar.update(
                    task, description=progress["stage"], completed=done, total=total, refresh=True
                )


@contextmanager
def _bar(*, is_quiet: bool) -> "Iterator[Progress | None]":
    if is_quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar
