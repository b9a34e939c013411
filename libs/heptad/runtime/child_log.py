"""What a child process writes, kept in a bounded file and, the last lines of it, in memory.

A disk that is full must not stop who writes here: the supervisor reads what eleven services say,
and if it broke over a log, or stopped reading, all of them would stop with it. So what cannot be
written is lost, and counted, and a line of the file tells of it once there is room again.
"""

import json
from collections import deque
from pathlib import Path
from typing import BinaryIO, Final

LOG_FILE: Final = "log.jsonl"
LOG_BYTES_MAX: Final = 16 << 20
"""Then the file becomes `log.jsonl.1`, in the place of the one before: at most twice this."""

TAIL_LINES: Final = 20
LINE_LENGTH_MAX: Final = 2_000


class ChildLog:
    """Appends chunks of output, splits them into lines, rotates the file."""

    def __init__(self, path: Path, *, bytes_max: int = LOG_BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._size = path.stat().st_size
        self._lost_bytes = 0
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def append(self, chunk: bytes) -> list[str]:
        """Write `chunk` as far as the disk takes it; return the lines that it completes."""
        try:
            self._keep(chunk)
        except OSError:
            self._lost_bytes += len(chunk)
        *complete, self._rest = (self._rest + chunk).split(b"\n")
        # A line without an end would grow for ever; the file has all of it, we keep its beginning.
        self._rest = self._rest[:LINE_LENGTH_MAX]
        lines = [line.decode("utf-8", "replace")[:LINE_LENGTH_MAX] for line in complete if line]
        self._tail.extend(lines)
        return lines

    def tail(self) -> list[str]:
        """The last lines, oldest first; one without a line end included."""
        rest = self._rest.decode("utf-8", "replace")
        return [*self._tail, rest] if rest else list(self._tail)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _keep(self, chunk: bytes) -> None:
        """Raises: OSError, when nothing of it was written."""
        if self._size and self._size + len(chunk) > self._bytes_max:
            self._rotate()
        if self._lost_bytes:
            told = json.dumps({"event": "log_lost", "bytes": self._lost_bytes}).encode()
            chunk = b"\n" + told + b"\n" + chunk
        written = self._file.write(chunk)
        self._size += written
        self._lost_bytes = len(chunk) - written

    def _rotate(self) -> None:
        """The old file stays in use if no new one can be made. Raises: OSError."""
        if self._path.exists():
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        fresh = self._path.open("ab", buffering=0)
        self._file.close()
        self._file, self._size = fresh, 0
