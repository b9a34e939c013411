"""Choosing among replicas, without a network: who is asked for what, and how much is held."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from spans import Traced, context

from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.wire.streams import TracesFrame
from heptad_ledger.errors import StoreFullError
from heptad_ledger.following import follower as follower_module
from heptad_ledger.following.follower import Follower
from heptad_ledger.following.ingest import Ingest
from heptad_ledger.following.tracing import BlockTraces


class Link:
    """What the follower sees of a stream; remembers what it was told."""

    def __init__(self, number):
        self.replica_id = f"replica-{number}"
        self.is_connected = False
        self.height_claimed, self.claim, self.lies, self.lacks_height = 0, None, 0, 0
        self.told = []
        self.dropped = 0
        self.says = 0

    async def height_now(self, _timeout_s):
        return self.says

    def follow(self, *, height, want_batches):
        self.told.append((height, want_batches))

    def applied(self, *, height, published_size, drop_height):
        self.told_applied = (height, published_size, drop_height)

    def drop(self):
        self.lies += 1
        self.dropped += 1


@pytest.fixture
def following(ledger, group):
    """Runs `scenario(follower, links, connect)` with the real ingest and writing thread."""

    def run(scenario, *, fetch_bytes_max=1 << 20):
        async def main():
            writer = ThreadPoolExecutor(1)
            waves = []
            follower = Follower(
                ingest=Ingest(store=ledger.store, chain=ledger.chain, applier=ledger.applier),
                writer=writer,
                applied_height=ledger.store.state.height,
                fetch_bytes_max=fetch_bytes_max,
                on_applied=waves.append,
                on_cosignature=lambda replica, frame: None,
                log=EventLog(bound={}, write=lambda line: None),
                metrics=Metrics(cell="log.test", service="ledger-1"),
            )
            links = [Link(number) for number in range(1, 6)]
            follower.watch(links)

            def connect(*numbers):
                for number in numbers:
                    links[number - 1].is_connected = True
                    follower.connected(links[number - 1])

            task = asyncio.create_task(follower.run())
            try:
                await scenario(follower, links, connect)
            finally:
                task.cancel()
                writer.shutdown()

        asyncio.run(main())

    return run


def commit(group, count, *, size=1):
    return [
        group.commit(group.batch([(b"%d/%d" % (n, block), b"") for n in range(size)]))
        for block in range(count)
    ]


def test_one_is_asked_for_batches_and_all_others_for_headers(following, eventually):
    async def scenario(follower, links, connect):
        connect(1, 2, 3)
        await eventually(lambda: links[0].told)
        assert [link.told for link in links] == [[(1, True)], [(1, False)], [(1, False)], [], []]
        # when the chosen one goes, the next takes over
        links[0].is_connected = False
        follower.disconnected(links[0])
        await eventually(lambda: links[1].told[-1] == (1, True))
        assert follower.chosen is links[1]

    following(scenario)


def test_only_the_chosen_ones_frames_are_taken_and_only_from_the_height_asked_for(
    following, group, ledger, eventually
):
    frames = commit(group, 3)

    async def scenario(follower, links, connect):
        connect(1, 2)
        await eventually(lambda: links[0].told)
        await follower.block(links[1], frames[0])
        await follower.block(links[0], frames[2])
        await follower.block(links[0], replace(frames[0], batches=()))
        assert follower._buffered_bytes == 0
        assert links[0].dropped == 0
        for frame in frames:
            await follower.block(links[0], frame)
        await eventually(lambda: ledger.store.state.height == 3)
        # then a gap is a lie
        await follower.block(links[0], replace(frames[0], height=9))
        assert links[0].dropped == 1
        assert follower.chosen is links[1]

    following(scenario)


def test_it_says_so_as_long_as_anything_waits_to_be_filed_or_is_being_filed(
    following, group, ledger, eventually
):
    frames = commit(group, 2)

    async def scenario(follower, links, connect):
        connect(1)
        await eventually(lambda: links[0].told)
        assert not follower.is_filing
        await follower.block(links[0], frames[0])
        assert follower.is_filing
        assert follower._frames
        await eventually(lambda: not follower._frames)
        while follower._is_ingesting:
            assert follower.is_filing
            await asyncio.sleep(0)
        await eventually(lambda: ledger.store.state.height == 1)
        await eventually(lambda: not follower.is_filing)

    following(scenario)


def test_a_full_buffer_holds_the_chosen_replica_back(following, group, ledger, eventually):
    frames = commit(group, 6, size=300)
    size = len(frames[0].batches[0])

    async def scenario(follower, links, connect):
        connect(1)
        await eventually(lambda: links[0].told)
        most = 0
        for frame in frames:
            await follower.block(links[0], frame)
            most = max(most, follower._buffered_bytes)
        assert most <= 2 * size
        await eventually(lambda: ledger.store.state.height == 6)

    following(scenario, fetch_bytes_max=size)


def test_who_is_held_back_is_let_go_when_another_is_chosen(following, group, eventually):
    frames = commit(group, 1, size=300)

    async def scenario(follower, links, connect):
        connect(1, 2)
        await eventually(lambda: links[0].told)
        follower._is_ingesting = True
        held = asyncio.create_task(follower.block(links[0], frames[0]))
        await asyncio.sleep(0)
        links[0].is_connected = False
        follower.disconnected(links[0])
        await held
        assert follower.chosen is links[1]

    following(scenario, fetch_bytes_max=10)


def test_who_was_caught_less_often_is_chosen_first(following, eventually):
    async def scenario(follower, links, connect):
        connect(1, 2, 3)
        links[1].lies = 3
        follower.refused(links[0], "rubbish")
        assert follower.chosen is links[2]
        follower.refused(links[2], "rubbish")
        assert follower.chosen is links[0]

    following(scenario)


def test_with_nobody_left_nobody_is_chosen_until_one_comes(following, eventually):
    async def scenario(follower, links, connect):
        connect(1)
        links[0].is_connected = False
        follower.disconnected(links[0])
        assert follower.chosen is None
        await follower._look()
        connect(4)
        assert follower.chosen is links[3]
        await eventually(lambda: links[3].told == [(1, True)])

    following(scenario)


def test_after_a_full_disk_the_same_blocks_are_asked_for_again(
    following, group, ledger, eventually, monkeypatch
):
    monkeypatch.setattr(follower_module, "FULL_RETRY_S", 0.0)
    frames = commit(group, 2)
    write, failures = ledger.store.write, [StoreFullError("full"), StoreFullError("full")]

    def sometimes(wave):
        if failures:
            raise failures.pop()
        return write(wave)

    monkeypatch.setattr(ledger.store, "write", sometimes)

    async def scenario(follower, links, connect):
        connect(1)
        asked = 0
        while ledger.store.state.height < 2:
            await eventually(lambda asked=asked: len(links[0].told) > asked)
            asked = len(links[0].told)
            for frame in frames:
                await follower.block(links[0], frame)
            await eventually(
                lambda asked=asked: len(links[0].told) > asked or ledger.store.state.height == 2
            )
        assert links[0].told == [(1, True)] * 3
        assert links[0].dropped == 0

    following(scenario)


def test_all_are_told_how_far_the_ledger_is(following, group, eventually):
    frames = commit(group, 1)

    async def scenario(follower, links, connect):
        task = asyncio.create_task(follower.acknowledge(lambda: 7))
        connect(1, 2)
        await eventually(lambda: links[0].told)
        await follower.block(links[0], frames[0])
        told = lambda *what: all(getattr(link, "told_applied", 0) == what for link in links)  # noqa: E731
        await eventually(lambda: told(1, 7, 0))
        # and up to where replicas are not to keep anything
        follower.drop_until(1)
        await eventually(lambda: told(1, 7, 1))
        follower.drop_until(0)
        assert told(1, 7, 1)
        task.cancel()

    following(scenario)


def test_who_lacks_what_is_next_is_asked_after_those_who_may_have_it(following, eventually):
    async def scenario(follower, links, connect):
        connect(1, 2, 3)
        await eventually(lambda: links[0].told)
        links[1].lacks_height = follower.applied_height + 1
        links[2].lies = 3
        links[0].is_connected = False
        follower.disconnected(links[0])
        assert follower.chosen is links[2]
        # and what it lacked is no matter once that is behind us
        links[1].lacks_height = follower.applied_height
        links[2].is_connected = False
        follower.disconnected(links[2])
        assert follower.chosen is links[1]

    following(scenario)


def test_only_the_chosen_replica_is_believed_that_a_block_is_traced_and_only_of_the_next(
    following, group, ledger, eventually
):
    frames = commit(group, 2)
    traced = Traced()

    async def scenario(follower, links, connect):
        follower._traces = BlockTraces(traced.tracer)
        connect(1, 2)
        await eventually(lambda: links[0].told)
        follower.traces(links[1], TracesFrame(1, context(1)))
        follower.traces(links[0], TracesFrame(2, context(2)))
        assert len(follower._traces) == 0
        follower.traces(links[0], TracesFrame(1, context(3)))
        for frame in frames:
            await follower.block(links[0], frame)
        await eventually(lambda: ledger.store.state.height == 2)
        await eventually(lambda: "ledger.apply" in traced.names)
        assert {span.parent.trace_id for span in traced.spans} == {3}

    following(scenario)


def test_a_ledger_that_has_just_come_goes_by_what_replicas_have_and_not_by_what_they_have_sent(
    following, group, eventually, monkeypatch
):
    """A restored one would take itself for caught up, and serve who was erased since."""
    monkeypatch.setattr(follower_module, "STATUS_PAUSE_S", 0.001)
    frames = commit(group, 3)

    async def scenario(follower, links, connect):
        connect(1, 2, 3, 4)
        for link, says in zip(links, (3, 3, 0, 10**9, None), strict=True):
            link.says = says
        assert not await follower.catch_up_anew(0.05)
        await eventually(lambda: links[0].told[-1:] == [(1, True)])
        for frame in frames:
            await follower.block(links[0], frame)
        # a single liar does not keep it waiting, and one that is down does not either
        assert await follower.catch_up_anew(30)
        assert follower.applied_height == 3
        links[3].says = None
        assert not await follower.catch_up_anew(0.05)

    following(scenario)
