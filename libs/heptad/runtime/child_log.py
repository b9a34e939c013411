"""What a child process writes, kept in a bounded file and, the last lines of it, in memory."""

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
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def append(self, chunk: bytes) -> list[str]:
        """Write `chunk` and return the lines that it completes."""
        if self._size and self._size + len(chunk) > self._bytes_max:
            self._rotate()
        self._file.write(chunk)
        self._size += len(chunk)
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

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("ab", buffering=0)
        self._size = 0
