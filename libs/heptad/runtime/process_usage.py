"""CPU and memory of a process, from `/proc`; Linux only."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What a process has used so far. `pss_bytes` counts shared pages in proportion."""

    cpu_s: float
    rss_bytes: int
    pss_bytes: int


def usage_of(pid: int) -> ProcessUsage | None:
    """The usage of a running process, or None if that cannot be known."""
    folder = Path(f"/proc/{pid}")
    try:
        # The second field is the name in brackets and may hold blanks; count from behind it.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        rollup = (folder / "smaps_rollup").read_text()
    except OSError:
        return None
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return ProcessUsage(cpu_s, _kib(rollup, "Rss:") * 1_024, _kib(rollup, "Pss:") * 1_024)


def anonymous_bytes_of(pid: int) -> int:
    """What a running process holds of memory that no file stands behind; 0 if that is not known."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return _kib(rollup, "Anonymous:") * 1_024


def _kib(rollup: str, label: str) -> int:
    for line in rollup.splitlines():
        if line.startswith(label):
            return int(line.split()[1])
    return 0
