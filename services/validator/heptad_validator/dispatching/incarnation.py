"""The validator's incarnation: a number that no earlier life of this validator has used.

Batches are numbered (incarnation, sequence), and replicas take each number once. A restarted
validator does not know which of its last batches came through, so it must never go on counting: it
takes a greater incarnation, and makes that durable *before* it sends anything under it. If we crash
after the write and before the first batch, a number is lost, which costs nothing. If we sent first
and crashed before the write, the next life would send other bytes under the same number: two
batches under one id, which looks like a crime and is treated as one.

The number is the start's time in ms where that is greater than the last one, so that a validator
which lost its disk still comes after its former self. A lock keeps a second process out.

Batch keys take over from each other at an incarnation (`heptad.runtime.batch_keys`), so a life is
begun within what the key at hand may sign: a new key starts no life before its first one, and an
old key that has not been exchanged yet goes on counting below its successor's first.
"""

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.crypto.keys import Ed25519Key
from heptad.runtime.batch_keys import INCARNATIONS
from heptad.runtime.disk import write_atomically

FILE: Final = "incarnation"
_LOCK_FILE: Final = "incarnation.lock"


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a validator: its number, and the key that signs for it."""

    incarnation: int
    batch_key: Ed25519Key


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
        if not text.isdecimal() or int(text) not in INCARNATIONS:
            raise IncarnationFault(f"{self._path} holds no incarnation")
        return int(text)

    def begin(self, *, now_ms: int, allowed: range = INCARNATIONS) -> int:
        """A new incarnation of those that the batch key may sign.

        It is greater than the last one and durable before this returns.
        Raises: IncarnationFault; then none was begun.
        """
        last = self.last()
        incarnation = _next(last, now_ms, allowed)
        if incarnation not in allowed:
            raise IncarnationFault(
                f"{self._path}: after {last} comes none that this batch key may sign: they end "
                f"at {allowed.stop - 1}"
            )
        try:
            write_atomically(self._path, f"{incarnation}\n".encode("ascii"), mode=0o600)
        except OSError as error:
            raise IncarnationFault(f"{self._path}: {error.strerror}") from error
        return incarnation

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()


def _next(last: int | None, now_ms: int, allowed: range) -> int:
    """The time, if it is free; below a successor's first life, one more than the last."""
    if now_ms < allowed.stop:
        return max(now_ms, allowed.start, -1 if last is None else last + 1)
    if last is None:
        # The disk is lost and the key is replaced: the last number of all comes after any former.
        return allowed.stop - 1
    return max(allowed.start, last + 1)
