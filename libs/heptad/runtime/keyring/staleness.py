"""Which members of a home still go by files that have been changed since they started.

Services read their files once. When a member began to read is in its `ready.json`, so one that
began before a file was put in place does not know it, whoever started it, a supervisor or systemd.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from heptad.runtime.config.files import CELL_FILE
from heptad.runtime.identity import Role
from heptad.runtime.service import READY_FILE
from heptad.runtime.tls import CA_FILE, CERTIFICATE_FILE

CLOCK_STEP_NS: Final = 20_000_000
"""File systems stamp by a clock that steps by milliseconds: what is so close counts as later."""


def stale(home: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the members `names` that run in this home and began before a file was changed."""
    return tuple(name for name in names if _is_stale(home, name))


def _is_stale(home: Path, name: str) -> bool:
    try:
        begun_ns = json.loads((home / name / READY_FILE).read_bytes()).get("begun_ns", 0)
    except FileNotFoundError:
        return False
    own = home / name
    files = [home / "pki" / CA_FILE, own / CERTIFICATE_FILE, *own.glob("keys/*.pem")]
    if not name.startswith(Role.GATEWAY):
        # Of the cell a gateway knows addresses and names, which no rotation changes.
        files.append(home / CELL_FILE)
    # A rename changes the time of the file's attributes, and leaves that of its content.
    return any(path.stat().st_ctime_ns > begun_ns - CLOCK_STEP_NS for path in files)
