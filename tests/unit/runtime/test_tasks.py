"""Background tasks: the first failure is kept, and all of them end."""

import asyncio

from heptad.runtime.tasks import TaskSet


def test_the_first_task_that_fails_is_what_the_set_tells_of():
    async def main():
        tasks = TaskSet()

        async def fail(message):
            raise RuntimeError(message)

        tasks.spawn("one", fail("first"))
        await tasks.failed.wait()
        tasks.spawn("two", fail("second"))
        await tasks.close()
        assert str(tasks.error) == "first"

    asyncio.run(main())


def test_closing_ends_every_task_and_is_no_failure():
    async def main():
        tasks = TaskSet()
        task = tasks.spawn("forever", asyncio.sleep(3_600))
        await tasks.close()
        assert task.cancelled()
        assert tasks.error is None
        await tasks.close()

    asyncio.run(main())


def test_a_task_that_swallows_a_cancellation_is_cancelled_again():
    """As a call of grpc.aio does that is cancelled while it connects."""

    async def main():
        tasks, swallowed = TaskSet(), []

        async def dial():
            while len(swallowed) < 2:
                try:
                    await asyncio.sleep(3_600)
                except asyncio.CancelledError:
                    swallowed.append(True)
            await asyncio.sleep(3_600)

        task = tasks.spawn("dial", dial())
        await asyncio.sleep(0)
        await tasks.close()
        assert task.done()
        assert len(swallowed) == 2

    asyncio.run(main())
