"""The machine that members run on, and the domains that fail together."""

import os
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heptad.runtime.checkup.findings import Finding, fail, ok, warn
from heptad.runtime.config.cell import Cell
from heptad.runtime.disk import disk_of

FREE_PART_MIN: Final = 0.1
FREE_PART_LEAST: Final = 0.02
OPEN_FILES_MIN: Final = 4_096
"""A gateway holds a connection for each app, a ledger one for each watcher."""


def check_domains(cell: Cell) -> Finding:
    """No domain may hold more replicas than may fail: else losing one stops the cell."""
    domains = Counter(replica.domain for replica in cell.replicas)
    largest, count = domains.most_common(1)[0]
    allowed = cell.fault_count
    shape = ", ".join(f"{name} {held}" for name, held in sorted(domains.items()))
    if count <= allowed:
        return ok("failure domains", f"{shape}: any one may be lost whole")
    return warn(
        "failure domains",
        f"{shape}: losing {largest} takes {count} replicas, and {allowed} may fail",
        f"spread them over {-(-len(cell.replicas) // max(allowed, 1))} domains or more, at most "
        f"{allowed} in each (`domain` in cell.toml)",
    )


def check_disks(home: Path, cell: Cell) -> Iterator[Finding]:
    """Room on the disks of the members' data, and who shares one."""
    here = [name for name in cell.member_addresses() if (home / name / "data").is_dir()]
    on_device: dict[int, list[str]] = {}
    for name in here:
        on_device.setdefault((home / name / "data").stat().st_dev, []).append(name)
    for names in on_device.values():
        free, size = disk_of(home / names[0] / "data")
        detail = f"{free / 1e9:.1f} of {size / 1e9:.1f} GB free for {_listed(names)}"
        if free < FREE_PART_LEAST * size:
            yield fail("disks", detail, "make room now: writes are about to fail")
        elif free < FREE_PART_MIN * size:
            yield warn("disks", detail, "make room; the ledger grows by about 1 KB an entry")
        else:
            yield ok("disks", detail)
        replicas = [name for name in names if name.startswith("replica-")]
        if len(replicas) > cell.fault_count:
            yield warn(
                "disks",
                f"{len(replicas)} replicas share one disk, and {cell.fault_count} may fail",
                "for anything but a trial, give replicas disks and machines of their own",
            )


def check_limits() -> Finding:
    """How many files a process may open here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"a process may open {soft} files (at most {hard}); {os.cpu_count()} CPUs"
    if soft < OPEN_FILES_MIN:
        return warn("limits", detail, f"raise it to {OPEN_FILES_MIN} or more (ulimit -n)")
    return ok("limits", detail)


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"
