"""The doctor's rounds: all checks, in their order."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from heptad.runtime.checkup.findings import Finding, Verdict
from heptad.runtime.checkup.home import check_home
from heptad.runtime.checkup.machine import check_disks, check_domains, check_limits
from heptad.runtime.checkup.running import check_running
from heptad.runtime.config.files import load_cell
from heptad.runtime.mesh import scrape_targets


def examine(home: Path) -> Iterator[Finding]:
    """Everything about a home, its machine, and its members that run.

    Raises: ConfigInvalidError if there is no `cell.toml` that can be read.
    """
    cell = load_cell(home)
    of_home = list(check_home(home, cell, now=datetime.now(UTC)))
    yield from of_home
    yield check_domains(cell)
    yield from check_disks(home, cell)
    yield check_limits()
    if all(f.area != "configuration" or f.verdict is not Verdict.FAIL for f in of_home):
        yield from check_running(scrape_targets(home, cell))
