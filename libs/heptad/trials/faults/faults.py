"""The faults by name, on the grounds that they need."""

from collections.abc import Mapping
from typing import Final

from heptad.trials.faults import clocks, damage, disks, partitions, processes, too_few
from heptad.trials.faults.trial import Fault

PLAIN: Final = "plain"
SHIMS: Final = "shims"
NETWORK: Final = "network"
DISKS: Final = "disks"
ONE_DISK: Final = "one disk"

FAULTS: Final[Mapping[str, tuple[Fault, ...]]] = {
    PLAIN: (*processes.FAULTS, *damage.FAULTS, *too_few.FAULTS),
    SHIMS: (*disks.SHIM_FAULTS, *clocks.FAULTS),
    NETWORK: partitions.FAULTS,
    DISKS: disks.DISK_FAULTS,
    ONE_DISK: disks.ONE_DISK_FAULTS,
}
"""By ground: a cell as it is; with libraries loaded into it; in a network of its own; on disks of
its own for some members; all of it on one small disk.

Faults of one ground follow one another on one cell, so the history that is judged grows with each.
"""

SHORT: Final = (
    "sigkill",
    "sigstop",
    "corrupted-page",
    "bit-flip-ledger",
    "clock-ahead",
    "too-few",
)
"""What `make test` runs: no special rights, a minute at most."""


def find(name: str) -> tuple[str, Fault]:
    """The ground and the fault of this name. Raises: KeyError."""
    for ground, faults in FAULTS.items():
        for fault in faults:
            if fault.name == name:
                return ground, fault
    raise KeyError(name)
