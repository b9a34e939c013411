"""Looks at the log come one at a time, first looks ahead of scans, and leave room for filing."""

import asyncio
from contextlib import contextmanager

import pytest

from heptad.model.problems import Problem
from heptad_ledger.queries.turns import (
    AHEAD_COST_MAX,
    AHEAD_OWED_S_MAX,
    CALLER_SCANS_MAX,
    LOOKING_SHARE,
    SCANS_MAX,
    Pace,
    Turns,
)


class Machine:
    """A processor whose time passes only in looks and rests."""

    def __init__(self):
        self.is_filing = True
        self.cpu_s = 0.0
        self.rests = []
        pace = Pace(lambda: self.is_filing, cpu_s=lambda: self.cpu_s, sleep=self.rest)
        self.turns = Turns(pace=pace)

    async def rest(self, seconds):
        self.rests.append(seconds)

    async def scan(self, took_s):
        async with self.turns.scan():
            self.cpu_s += took_s

    async def first_look(self, took_s):
        async with self.turns.one():
            self.cpu_s += took_s


def test_while_entries_are_filed_scans_get_their_share_of_a_processor_and_no_more():
    machine = Machine()

    async def story():
        for took_s in [0.0008, 0.0001, 0.0002, 0.005] * 50:
            await machine.scan(took_s)
        await machine.scan(0)
        share = machine.cpu_s / (machine.cpu_s + sum(machine.rests))
        assert share == pytest.approx(LOOKING_SHARE, rel=0.01)
        assert min(machine.rests) >= 0.001

    asyncio.run(story())


def test_while_nothing_is_filed_scans_do_not_rest_nor_make_up_for_it_later():
    machine = Machine()

    async def story():
        machine.is_filing = False
        for _ in range(100):
            await machine.scan(0.001)
        machine.is_filing = True
        await machine.scan(0.0001)
        assert machine.rests == []
        await machine.scan(0.01)
        machine.is_filing = False
        await machine.scan(0)
        assert machine.rests == []

    asyncio.run(story())


def test_first_looks_do_not_rest_until_much_is_owed():
    machine = Machine()

    async def story():
        rested = []
        for _ in range(10):
            await machine.first_look(0.001)
            rested.append(bool(machine.rests))
        # Each owes 3 ms: the seventh reaches what is allowed, and the eighth look rests first.
        assert rested == [False] * 7 + [True] * 3
        assert sum(machine.rests) > AHEAD_OWED_S_MAX

    asyncio.run(story())


def test_a_first_look_waits_for_one_look_and_not_for_all_scans():
    turns, seen = Turns(), []

    async def scan(name):
        async with turns.scan():
            seen.append(name)

    async def first_look():
        async with turns.one():
            seen.append("first")

    async def story():
        async with turns.one():
            scans = [asyncio.create_task(scan(name)) for name in "abcdef"]
            await asyncio.sleep(0)
            look = asyncio.create_task(first_look())
            await asyncio.sleep(0)
        await asyncio.gather(look, *scans)
        assert seen[:2] == ["a", "first"]

    asyncio.run(story())


def test_a_first_look_does_not_wait_for_the_rest_of_a_scan():
    seen = []

    async def story():
        resting, go_on = asyncio.Event(), asyncio.Event()

        async def rest(_seconds):
            resting.set()
            await go_on.wait()

        cpu_s = iter(range(100))
        turns = Turns(pace=Pace(lambda: True, cpu_s=lambda: next(cpu_s) / 500, sleep=rest))

        async def scan():
            async with turns.scan():
                seen.append("scan")

        async with turns.scan():
            pass
        task = asyncio.create_task(scan())
        await resting.wait()
        async with turns.one():
            seen.append("first")
        go_on.set()
        await task
        assert seen == ["first", "scan"]

    asyncio.run(story())


@contextmanager
def scanning(turns, caller):
    with turns.call(caller, is_dear=True) as looks:
        looks.turn(1)
        yield


def test_scans_under_way_are_bounded_for_a_caller_and_in_all_and_make_room_when_they_end():
    turns = Turns()
    calls = [scanning(turns, "gateway-1") for _ in range(CALLER_SCANS_MAX)]
    for call in calls:
        call.__enter__()
    with pytest.raises(Problem, match="overloaded") as caught, scanning(turns, "gateway-1"):
        pass
    assert caught.value.retry_after_s == 1
    others = [scanning(turns, f"auditor-{n}") for n in range(SCANS_MAX - CALLER_SCANS_MAX)]
    for call in others:
        call.__enter__()
    assert turns.scan_count == SCANS_MAX
    with pytest.raises(Problem, match="overloaded"), scanning(turns, "auditor-99"):
        pass
    calls[0].__exit__(None, None, None)
    with scanning(turns, "gateway-1"):
        assert turns.scan_count == SCANS_MAX


@pytest.mark.parametrize(
    ("is_dear", "ahead", "behind"),
    [(False, (0, 100, AHEAD_COST_MAX - 1), AHEAD_COST_MAX), (True, (0,), 1)],
)
def test_a_call_that_has_read_little_takes_no_place(is_dear, ahead, behind):
    turns = Turns()

    async def story():
        with turns.call("gateway-1", is_dear=is_dear) as looks:
            for cost in ahead:
                async with looks.turn(cost):
                    pass
            assert turns.scan_count == 0
            async with looks.turn(behind):
                assert turns.scan_count == 1
        assert turns.scan_count == 0

    asyncio.run(story())
