"""Where an auditor keeps the proofs of what it found: a file for each thing, written once.

Why the first are kept and not the last: a proof of the day on which it began is worth more than the
thousandth of the same, and whoever wants to hide something would gladly push it out.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.runtime.disk import write_atomically
from heptad.verification.alarm_file import FILE_BYTES_MAX, alarm_name, encode_alarm
from heptad.verification.alarms import Raised

ALARMS_FOLDER: Final = "alarms"
FILES_PER_KIND_MAX: Final = 100
FOLDER_BYTES_MAX: Final = 256 << 20
LOST_MAX: Final = 4_096
"""Alarms without a file that are known again when they are seen again."""

NO_ROOM: Final = "no room was left for it"


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a proof is; None if it could not be kept, and then `lost` says why.

    `is_new` is False for what this folder, or this process, has met before.
    """

    path: Path | None
    is_new: bool
    lost: str = ""


class AlarmFolder:
    """The files `<state>/alarms/<kind>-<hash>.json`."""

    def __init__(self, state_folder: Path) -> None:
        """Make the folder if need be, and see what is there. Raises: OSError."""
        self._folder = state_folder / ALARMS_FOLDER
        self._folder.mkdir(exist_ok=True)
        self._known: set[str] = set()
        self._lost: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._bytes = 0
        for path in self._folder.glob("*.json"):
            self._add(path.stem, path.stat().st_size)

    def keep(self, raised: Raised) -> Kept:
        """Write its proof, unless it is there.

        A disk that takes nothing is no reason to be silent: the alarm is told without its proof,
        and the next look that sees it tries again.
        """
        name = alarm_name(raised)
        path = self._folder / f"{name}.json"
        if name in self._known:
            is_there = path.exists()
            return Kept(path if is_there else None, False, "" if is_there else "it was taken away")
        is_new = name not in self._lost
        if lost := self._written(raised, path):
            if len(self._lost) < LOST_MAX:
                self._lost.add(name)
            return Kept(None, is_new, lost)
        self._lost.discard(name)
        return Kept(path, is_new)

    def _written(self, raised: Raised, path: Path) -> str:
        """Empty once it is written, or why it is not."""
        content = encode_alarm(raised)
        has_room = (
            self._counts[raised.alarm] < FILES_PER_KIND_MAX
            and self._bytes + len(content) <= FOLDER_BYTES_MAX
            and len(content) <= FILE_BYTES_MAX
        )
        if not has_room:
            return NO_ROOM
        try:
            write_atomically(path, content, mode=0o644)
        except OSError as error:
            return f"{path} could not be written: {error.strerror}"
        self._add(path.stem, len(content))
        return ""

    def _add(self, name: str, size: int) -> None:
        self._known.add(name)
        self._counts[name.rpartition("-")[0]] += 1
        self._bytes += size
