"""A watch over a real connection: who may, and what it survives."""

import asyncio

import grpc
import pytest

from heptad.client import LedgerReader, Terms, follow
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter
from heptad.wire.convert import ledger_queries as queries_wire
from heptad_ledger.service import WATCH

TERMS = Terms()


def test_who_follows_gets_every_entry_once_over_a_restart_of_the_ledger(world, running_ledger):
    async def scenario():
        found = []

        async def commit_next():
            world.commit(world.group.batch([(b"entry %d" % len(world.group.entries), b"")]))

        async with world.channel("gateway-1") as channel:
            stream = follow(LedgerReader(channel), EntryFilter(), terms=TERMS, pause_s=0.01)

            async def follow_to(index):
                async for watched in stream:
                    found.extend(watched.entries)
                    if watched.next_index >= index:
                        return

            for round_ in range(2):
                async with running_ledger(world):
                    for size in (2 * round_ + 1, 2 * round_ + 2):
                        await commit_next()
                        await follow_to(size)
            await stream.aclose()
        assert [entry.index for entry in found] == [0, 1, 2, 3]
        assert [entry.data for entry in found] == world.group.entries

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_ledger_that_drains_tells_its_watchers_so(world, running_ledger, eventually):
    async def scenario():
        async with running_ledger(world) as service, world.channel("operator") as channel:
            world.commit(world.group.batch([(b"a", b"")]))
            await eventually(lambda: service._publisher.size.value == 1)
            stream = LedgerReader(channel).watch(EntryFilter(start_index=1), terms=TERMS)
            assert (await anext(stream)).next_index == 1
            assert service._watches.count == 1
            await service.drain()
            with pytest.raises(Problem) as caught:
                await anext(stream)
            assert caught.value.code == "draining"
            await eventually(lambda: service._watches.count == 0)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_watcher_that_goes_makes_room(world, running_ledger, eventually):
    async def scenario():
        async with running_ledger(world) as service, world.channel("operator") as channel:
            world.commit(world.group.batch([(b"a", b"")]))
            await eventually(lambda: service._publisher.size.value == 1)
            stream = LedgerReader(channel).watch(EntryFilter(), terms=TERMS)
            await anext(stream)
            await stream.aclose()
            await eventually(lambda: service._watches.count == 0)

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("caller", ["validator-1", "replica-2"])
def test_watching_is_for_readers_only(world, running_ledger, caller):
    async def scenario():
        async with running_ledger(world), world.channel(caller) as channel:
            stream = channel.unary_stream(WATCH)(
                queries_wire.encode_watch_call(EntryFilter()), wait_for_ready=True
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED

    asyncio.run(scenario())
