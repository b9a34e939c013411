"""Background tasks: the first failure is kept, wanted ends are none."""

import asyncio

from heptad.runtime.tasks import TaskSet


async def fail(text: str) -> None:
    raise RuntimeError(text)


async def wait() -> None:
    await asyncio.Event().wait()


async def end() -> None:
    pass


def test_the_first_failure_is_kept() -> None:
    async def scenario() -> str:
        tasks = TaskSet()
        tasks.spawn("a", fail("first"))
        await tasks.failed.wait()
        await asyncio.wait([tasks.spawn("b", fail("second"))])
        return str(tasks.error)

    assert asyncio.run(scenario()) == "first"


def test_a_task_that_ends_or_is_cancelled_has_not_failed() -> None:
    async def scenario() -> tuple[bool, BaseException | None]:
        tasks = TaskSet()
        await tasks.spawn("a", end())
        tasks.spawn("b", wait())
        await tasks.close()
        return tasks.failed.is_set(), tasks.error

    assert asyncio.run(scenario()) == (False, None)


def test_close_ends_what_runs() -> None:
    async def scenario() -> bool:
        tasks = TaskSet()
        task = tasks.spawn("a", wait())
        await tasks.close()
        return task.cancelled()

    assert asyncio.run(scenario())


def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    """As a call of grpc.aio does that is cancelled while it connects."""
    swallowed: list[bool] = []

    async def dial() -> None:
        while len(swallowed) < 2:
            try:
                await wait()
            except asyncio.CancelledError:
                swallowed.append(True)
        await wait()

    async def scenario() -> bool:
        tasks = TaskSet()
        task = tasks.spawn("dial", dial())
        await asyncio.sleep(0)
        await tasks.close()
        return task.done()

    assert asyncio.run(scenario())
    assert len(swallowed) == 2
