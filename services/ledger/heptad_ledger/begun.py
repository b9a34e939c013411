"""A ledger begins with nothing once, and after that only if somebody says so.

An empty ledger that is simply started would take what replicas still hold, under a new vault: the
public log may come back, but every record of every subject stays closed for good, while a backup
that has them lies on a shelf. And a supervisor starts a ledger that has died. So the first start
leaves a marker beside the keys, and a later one that finds no log refuses, until there is one
(`heptad ledger restore`), or `heptad ledger rebuild` has said that it is meant.

The marker names the data folder, so that a ledger which was moved on purpose begins where it is.
"""

import os
from pathlib import Path
from typing import Final

from heptad.observability.logs import EventLog
from heptad.runtime.disk import sync_folder
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.parts import LOG_FOLDER

STARTED_MARKER: Final = "started"
ANEW_FILE: Final = "begin-anew"


def require_may_begin(*, data: Path, keys: Path) -> None:
    """Refuse to begin a log where there was one. Raises: StoreDamagedError."""
    if (data / LOG_FOLDER / "data.mdb").exists() or (data / ANEW_FILE).exists():
        return
    marker = keys / STARTED_MARKER
    if marker.exists() and marker.read_text() == _name(data):
        raise StoreDamagedError(
            f"{data} held this ledger's log, and holds none now: put a backup back with `heptad"
            " ledger restore`, or say with `heptad ledger rebuild` what to begin from"
        )


def mark_begun(*, data: Path, keys: Path, log: EventLog) -> None:
    """The log is there. Keys may lie where nothing can be written; then the log line says so."""
    (data / ANEW_FILE).unlink(missing_ok=True)
    try:
        if not (keys / STARTED_MARKER).exists():
            (keys / STARTED_MARKER).write_text(_name(data))
            sync_folder(keys)
    except OSError as error:
        log.warning("key_not_marked", folder=str(keys), reason=str(error))


def allow_beginning(data: Path) -> None:
    """Let the next start begin with nothing. Raises: OSError."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data / ANEW_FILE).write_bytes(b"")
    sync_folder(data)


def _name(data: Path) -> str:
    return os.path.realpath(data)
