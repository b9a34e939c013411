"""Where an auditor keeps the proofs of what it found: a file for each thing, written once.

Why the first are kept and not the last: a proof of the day on which it began is worth more than the
thousandth of the same, and whoever wants to hide something would gladly push it out.
"""

from collections import Counter
from pathlib import Path
from typing import Final

from heptad.runtime.disk import write_atomically
from heptad.verification.alarm_file import FILE_BYTES_MAX, alarm_name, encode_alarm
from heptad.verification.alarms import Raised

ALARMS_FOLDER: Final = "alarms"
FILES_PER_KIND_MAX: Final = 100
FOLDER_BYTES_MAX: Final = 256 << 20


class AlarmFolder:
    """The files `<state>/alarms/<kind>-<hash>.json`."""

    def __init__(self, state_folder: Path) -> None:
        """Make the folder if need be, and see what is there. Raises: OSError."""
        self._folder = state_folder / ALARMS_FOLDER
        self._folder.mkdir(exist_ok=True)
        self._known: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._bytes = 0
        for path in self._folder.glob("*.json"):
            self._add(path.stem, path.stat().st_size)

    def keep(self, raised: Raised) -> tuple[Path | None, bool]:
        """Where its proof is, None if there was no room for it; and whether it is a new one.

        Raises: OSError.
        """
        name = alarm_name(raised)
        path = self._folder / f"{name}.json"
        if name in self._known:
            return (path if path.exists() else None), False
        content = encode_alarm(raised)
        has_room = (
            self._counts[raised.alarm] < FILES_PER_KIND_MAX
            and self._bytes + len(content) <= FOLDER_BYTES_MAX
            and len(content) <= FILE_BYTES_MAX
        )
        if not has_room:
            return None, True
        write_atomically(path, content, mode=0o644)
        self._add(name, len(content))
        return path, True

    def _add(self, name: str, size: int) -> None:
        self._known.add(name)
        self._counts[name.rpartition("-")[0]] += 1
        self._bytes += size
