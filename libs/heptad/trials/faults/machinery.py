"""What a ground may have besides the cell, and how a run says that something is not to be had.

The grounds make these things (`grounds`), faults use them, and a fault is only ever run on a ground
that has what it needs.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from heptad.trials.faults.network import Network
    from heptad.trials.faults.shim import Shim
    from heptad.trials.faults.small_disk import SmallDisk


SUFFERERS: Final = ("replica-3", "ledger-1")
"""Who has the small disks: one replica stands for all, for terms are short and each
of them leads within seconds."""


SHIMMED: Final = (*SUFFERERS, "validator-1")
"""Who has a shim: syncs that fail, clocks that jump."""


CUT_OFF: Final = "validator-1"
"""The one member besides the replicas that has a place of its own in a network."""


WHOLE_CELL: Final = "cell"
"""Under which name a machinery has the disk on which everything is."""


class NotPossibleHere(Exception):  # noqa: N818  neither a fault of ours nor an error: a fact
    """This machine, or this user, cannot do what a fault needs; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Machinery:
    """By member id, what can be done to a member besides the supervisor's orders.

    `places` are the members' numbers in the network.
    """

    network: "Network | None" = None
    places: "Mapping[str, int]" = field(default_factory=dict)
    disks: "Mapping[str, SmallDisk]" = field(default_factory=dict)
    shims: "Mapping[str, Shim]" = field(default_factory=dict)


def require_program(*names: str) -> None:
    """Raises: NotPossibleHere, naming the first program that is not installed."""
    for name in names:
        if shutil.which(name) is None:
            raise NotPossibleHere(f"{name} is not installed")


def run_tool(words: Sequence[str]) -> None:
    """Run a system tool to its end. Raises: NotPossibleHere, with what it said, if it failed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603  fixed
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotPossibleHere(f"{' '.join(words)}: {said[-1] if said else done.returncode}")
