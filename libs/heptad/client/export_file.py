"""Taking an export and keeping it: whole or not at all, and for nobody else to read."""

import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from heptad.model.exporting import ExportBegun, ExportChunk, ExportPart
from heptad.model.problems import Problem

Tell = Callable[[int, int], None]
"""Hears how much of the work is done, out of how much."""


def untold(done: int, total: int) -> None:
    """Nobody wants to hear of it."""


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, of mode 0600; it gets its name once all of it is on the disk.

    If the block raises nothing is left. Raises: FileExistsError rather than to write over another.
    """
    if path.exists():
        raise FileExistsError(17, "is there already", str(path))
    partial = path.with_name(f".{path.name}.part")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


async def save_export(
    parts: AsyncGenerator[ExportPart, None], path: Path, *, tell: Tell = untold
) -> ExportBegun:
    """Write an export into a file; `tell` hears how much of the work is done, out of how much.

    Raises: Problem; OSError. Then there is no file.
    """
    try:
        with whole_file(path) as file:
            begun = await anext(parts, None)
            if not isinstance(begun, ExportBegun):
                raise Problem("ledger_unavailable", "the ledger has not begun to answer")
            async for part in parts:
                if isinstance(part, ExportChunk):
                    file.write(part.data)
                    tell(part.done, part.total)
    finally:
        await parts.aclose()
    return begun
