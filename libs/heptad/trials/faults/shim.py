"""Syncs that fail and wall clocks that are wrong, for one service at a time.

`shim.c` is built where a C compiler is, and loaded into the services that are to suffer; a file
that they map tells it what to do, from one call to the next. Nothing of the machine's own clock or
disk is touched, and no right is needed.
"""

import struct
from pathlib import Path
from typing import Final

from heptad.trials.faults.machinery import require_program, run_tool

_SOURCE: Final = Path(__file__).with_name("shim.c")
_CONTROL: Final = struct.Struct("=qq")


def build_shim(folder: Path) -> Path:
    """Build the shared library in `folder`. Raises: NotPossibleHere where no compiler is."""
    require_program("cc")
    library = folder / "shim.so"
    run_tool(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", str(library), str(_SOURCE), "-ldl"])
    return library


class Shim:
    """The control over one service."""

    def __init__(self, library: Path, control: Path) -> None:
        """`control` is a new file."""
        self._library = library
        self._control = control
        self._sync_errno = 0
        self._clock_offset_s = 0
        control.write_bytes(bytes(_CONTROL.size))

    def command(self) -> list[str]:
        """The words under which the service runs."""
        return ["env", f"LD_PRELOAD={self._library}", f"HEPTAD_SHIM={self._control}"]

    def fail_syncs(self, number: int) -> None:
        """Let every sync fail with this errno; 0: let them work."""
        self._sync_errno = number
        self._write()

    def move_clock(self, seconds: int) -> None:
        """Let the wall clock be off by so much."""
        self._clock_offset_s = seconds
        self._write()

    def _write(self) -> None:
        # In place: the service has mapped this file and not its name.
        with self._control.open("r+b") as file:
            file.write(_CONTROL.pack(self._sync_errno, self._clock_offset_s))
