"""Background tasks that cannot fail in silence.

A task of a service that ends with an exception is a bug, and a service with a dead part that still
answers is worse than one that restarts: so the first unexpected end is kept, `failed` is set, and
the process stops with it.
"""

import asyncio
from collections.abc import Coroutine
from typing import Final

_CANCEL_AGAIN_S: Final = 0.1


class TaskSet:
    """The tasks of one process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self.failed = asyncio.Event()

    @property
    def error(self) -> BaseException | None:
        """What the first task that failed had raised."""
        return self._error

    def spawn(self, name: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run `work` until it ends or the set is closed."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._error is None:
            self._error = error
            self.failed.set()

    async def close(self) -> None:
        """Cancel what still runs and wait for its end.

        Cancels more than once: a gRPC call that is cancelled just while it connects swallows the
        cancellation and fails with its own error, and a loop that dials again would never end.
        """
        running = set(self._tasks)
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
