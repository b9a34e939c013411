"""Few places: who comes seldom gets one beside those who come all the time."""

import asyncio

import pytest

from heptad.model.problems import Problem
from heptad_gateway import places as places_module
from heptad_gateway.places import Places


class Story:
    """Calls that stay under way until they are ended, and the order in which they began."""

    def __init__(self, places_max=1, waiting_max=3, client_max=9):
        self.places = Places(places_max=places_max, waiting_max=waiting_max, client_max=client_max)
        self.began = []
        self._tasks = []

    async def call(self, client):
        """A call, once it has begun or stands in the line."""
        end = asyncio.Event()

        async def call():
            async with self.places.one(client):
                self.began.append(client)
                await end.wait()

        task = asyncio.create_task(call())
        self._tasks.append(task)
        await settled()
        return task, end

    async def end_all(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def end(self, call):
        call[1].set()
        await call[0]
        await settled()


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


async def code_of(task):
    with pytest.raises(Problem) as caught:
        await task
    assert caught.value.retry_after_s == 1
    return caught.value.code


def run(story):
    async def whole():
        await asyncio.wait_for(story(), 20)

    asyncio.run(whole())


def test_who_was_served_longest_ago_comes_first():
    async def story():
        world = Story()
        for client in ("a", "b"):
            await world.end(await world.call(client))
        first = await world.call("x")
        calls = [await world.call(client) for client in ("b", "a", "new")]
        await world.end(first)
        for call in (calls[2], calls[1], calls[0]):
            await world.end(call)
        assert world.began == ["a", "b", "x", "new", "a", "b"]

    run(story)


def test_a_client_with_many_calls_in_line_comes_behind_one_with_a_single_call():
    async def story():
        world = Story()
        first = await world.call("greedy")
        calls = [await world.call("greedy") for _ in range(2)]
        seldom = await world.call("seldom")
        await world.end(first)
        assert world.began == ["greedy", "seldom"]
        for call in (seldom, *calls):
            await world.end(call)

    run(story)


def test_of_two_that_were_never_served_the_one_with_fewer_calls_in_line_comes_first():
    async def story():
        world = Story()
        first = await world.call("somebody")
        many = [await world.call("many") for _ in range(2)]
        single = await world.call("single")
        for call in (first, many[0], single, many[1]):
            await world.end(call)
        assert world.began == ["somebody", "many", "single", "many"]

    run(story)


def test_in_a_full_line_who_comes_seldom_takes_the_place_of_who_comes_all_the_time():
    async def story():
        world = Story()
        first = await world.call("greedy")
        calls = [await world.call("greedy") for _ in range(3)]
        assert await code_of((await world.call("greedy"))[0]) == "overloaded"
        seldom = await world.call("seldom")
        assert await code_of(calls[2][0]) == "overloaded"
        await world.end(first)
        assert world.began == ["greedy", "seldom"]
        assert world.places.count == 3
        await world.end(seldom)
        await world.end_all()

    run(story)


def test_equals_are_served_in_the_order_in_which_they_came_and_the_line_has_an_end():
    async def story():
        world = Story()
        calls = [await world.call(client) for client in "abcd"]
        assert await code_of((await world.call("e"))[0]) == "overloaded"
        for call in calls:
            await world.end(call)
        assert world.began == list("abcd")

    run(story)


def test_a_client_has_no_more_than_its_share():
    async def story():
        world = Story(places_max=5, client_max=2)
        calls = [await world.call("a") for _ in range(2)]
        assert await code_of((await world.call("a"))[0]) == "overloaded"
        await world.call("b")
        await world.end(calls[0])
        await world.call("a")
        assert world.began == ["a", "a", "b", "a"]
        await world.end_all()

    run(story)


def test_who_gives_up_in_the_line_or_as_its_turn_comes_leaves_no_place_behind():
    async def story():
        world = Story()
        first = await world.call("a")
        in_line, called_up = await world.call("b"), await world.call("c")
        in_line[0].cancel()
        await settled()
        assert world.places.count == 2
        first[1].set()
        while world.places._line:  # noqa: ASYNC110  until the place has been passed on
            await asyncio.sleep(0)
        # Its turn has come, and it has not seen it yet.
        called_up[0].cancel()
        await settled()
        assert world.places.count == 0
        await world.end(await world.call("d"))
        assert world.began == ["a", "d"]

    run(story)


def test_only_so_many_clients_are_remembered(monkeypatch):
    monkeypatch.setattr(places_module, "CLIENTS_MAX", 2)

    async def story():
        world = Story()
        for client in "abcd":
            await world.end(await world.call(client))
        assert set(world.places._served) == {"c", "d"}

    run(story)
