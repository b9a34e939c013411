"""The validator's incarnation: a number that no earlier life of this validator has used.

Batches are numbered (incarnation, sequence), and replicas take each number once. A restarted
validator does not know which of its last batches came through, so it must never go on counting: it
takes a greater incarnation, and makes that durable *before* it sends anything under it. If we crash
after the write and before the first batch, a number is lost, which costs nothing. If we sent first
and crashed before the write, the next life would send other bytes under the same number: two
batches under one id, which looks like a crime and is treated as one.

The number is the start's time in ms where that is greater than the last one, so that a validator
which lost its disk still comes after its former self. A lock keeps a second process out.
"""

import fcntl
from pathlib import Path
from typing import Final

from heptad.runtime.disk import write_atomically

FILE: Final = "incarnation"
_LOCK_FILE: Final = "incarnation.lock"
_INCARNATION_MAX: Final = 2**63 - 1


class IncarnationFault(Exception):  # noqa: N818  the house calls failures of disk and network faults
    """The incarnation cannot be read, kept or locked; the validator must not start."""


class IncarnationFile:
    """The file in the validator's data folder that remembers its incarnation."""

    def __init__(self, folder: Path) -> None:
        """Take the folder for this process alone. Raises: IncarnationFault."""
        self._path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / _LOCK_FILE).open("ab")
        except OSError as error:
            raise IncarnationFault(f"{folder}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise IncarnationFault(f"{folder} is in use by another process") from error

    def last(self) -> int | None:
        """The incarnation of the last life, or None if there was none here.

        Raises: IncarnationFault for a file that holds no such number.
        """
        try:
            text = self._path.read_text("ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise IncarnationFault(f"{self._path}: {error}") from error
        if not text.isdecimal() or int(text) > _INCARNATION_MAX:
            raise IncarnationFault(f"{self._path} holds no incarnation")
        return int(text)

    def begin(self, *, now_ms: int) -> int:
        """A new incarnation, greater than the last one and durable before this returns.

        Raises: IncarnationFault; then none was begun.
        """
        last = self.last()
        incarnation = now_ms if last is None else max(last + 1, now_ms)
        if incarnation > _INCARNATION_MAX:
            raise IncarnationFault(f"{self._path}: no incarnation comes after {last}")
        try:
            write_atomically(self._path, f"{incarnation}\n".encode("ascii"), mode=0o600)
        except OSError as error:
            raise IncarnationFault(f"{self._path}: {error.strerror}") from error
        return incarnation

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()
