"""Who watches gets every entry once, in order, under a checkpoint, and can go on where he was."""

import asyncio

import pytest

from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter
from heptad.wire.convert.entry import encode_entry
from heptad_ledger.queries import watching
from heptad_ledger.queries.entry_queries import EntryQueries
from heptad_ledger.queries.watching import Watches

SERVICES = ("tax", "health")


class World:
    """Forty entries, of which as many are published as a test says, and who watches them."""

    def __init__(self, ledger, group):
        for block in range(4):
            records = [self._record(10 * block + n) for n in range(10)]
            group.commit(group.batch(records), time_ms=1_000 * block)
        ledger.catch_up()
        self.latest = PublishedCheckpoint(b"", 0)
        self.queries = EntryQueries(
            store=ledger.store, latest=lambda: self.latest, page_size_max=1_000
        )
        self.watches = Watches(self.queries, watches_max=2, heartbeat_s=60, stall_s_max=60)
        self.sent = []
        self.news = asyncio.Event()

    @staticmethod
    def _record(number):
        entry = Entry(Kind.REQUEST, SERVICES[number % 2], "a", Outcome.ALLOWED, number, 1, b"")
        return encode_entry(entry), b""

    def publish(self, size):
        self.latest = PublishedCheckpoint(b"", size)
        self.watches.has_news()

    async def send(self, watched):
        self.sent.append(watched)
        self.news.set()

    def watch(self, **wanted):
        return asyncio.create_task(self.watches.follow(EntryFilter(**wanted), self.send))

    async def until(self, index):
        """Wait until entries before that index were sent, or its position told."""
        while not self.sent or self.sent[-1].next_index < index:
            self.news.clear()
            await self.news.wait()

    def indexes(self):
        return [entry.index for watched in self.sent for entry in watched.entries]


@pytest.fixture
def story(ledger, group):
    def run(story):
        async def whole():
            await asyncio.wait_for(story(World(ledger, group)), 20)

        asyncio.run(whole())

    return run


def test_entries_come_with_the_checkpoint_that_covers_them_and_not_before(story):
    async def whole(world):
        world.publish(7)
        watch = world.watch()
        await world.until(7)
        assert world.indexes() == list(range(7))
        world.publish(25)
        await world.until(25)
        assert world.indexes() == list(range(25))
        for watched in world.sent:
            assert all(entry.index < watched.checkpoint_size for entry in watched.entries)
        assert not watch.done()
        watch.cancel()

    story(whole)


def test_a_watch_that_begins_where_another_ended_misses_nothing_and_repeats_nothing(story):
    async def whole(world):
        world.publish(31)
        watch = world.watch(service="tax")
        await world.until(30)
        watch.cancel()
        world.publish(40)
        again = world.watch(service="tax", start_index=world.sent[-1].next_index)
        await world.until(39)
        again.cancel()
        assert world.indexes() == list(range(0, 40, 2))

    story(whole)


def test_the_first_message_comes_at_once_even_if_there_is_nothing(story):
    async def whole(world):
        world.publish(20)
        watch = world.watch(start_index=20)
        await world.until(20)
        assert world.sent[0].entries == ()
        watch.cancel()

    story(whole)


def test_a_watch_ends_where_its_filter_ends(story):
    async def whole(world):
        world.publish(15)
        by_index, by_time = world.watch(end_index=20), world.watch(until_ms=2_000)
        await world.until(15)
        world.publish(31)
        await asyncio.gather(by_index, by_time)
        assert sorted(world.indexes()) == sorted([*range(20), *range(20)])
        assert world.sent[-1].next_index >= 20

    story(whole)


def test_a_watch_that_finds_nothing_tells_how_far_it_has_come(story, monkeypatch):
    monkeypatch.setattr(watching, "PROGRESS_COST", 1)

    async def whole(world):
        world.publish(40)
        watch = world.watch(kinds=(Kind.RECOVERY,))
        await world.until(40)
        assert world.indexes() == []
        watch.cancel()

    story(whole)


def test_messages_of_a_watch_say_all_that_was_looked_at_for_it(story, monkeypatch):
    monkeypatch.setattr(watching, "PROGRESS_COST", 60)

    async def whole(world):
        world.publish(40)
        wanted = EntryFilter(kinds=(Kind.RECOVERY,), end_index=40)
        await world.watches.follow(wanted, world.send)
        told = sum(watched.cost for watched in world.sent)
        assert told == world.queries.cost_total > 40
        assert world.sent[0].cost == 0
        assert len(world.sent) == 2

    story(whole)


def test_an_idle_watch_is_kept_alive_by_its_position(story):
    async def whole(world):
        world.watches._heartbeat_s = 0.001
        world.publish(5)
        watch = world.watch(start_index=5)
        while len(world.sent) < 3:
            world.news.clear()
            await world.news.wait()
        assert {watched.next_index for watched in world.sent} == {5}
        watch.cancel()

    story(whole)


def test_a_reader_that_takes_nothing_is_cut_off(story):
    async def whole(world):
        world.publish(40)
        world.watches._stall_s_max = 0.001

        async def take_nothing(_watched):
            await asyncio.Event().wait()

        assert await code_of(world.watches.follow(EntryFilter(), take_nothing)) == "watch_too_slow"
        assert world.watches.count == 0

    story(whole)


def test_watches_are_bounded_and_a_place_comes_free_when_one_ends(story):
    async def whole(world):
        world.publish(1)
        open_ones = [world.watch(), world.watch()]
        await world.until(1)
        assert await code_of(world.watches.follow(EntryFilter(), world.send)) == "overloaded"
        open_ones[0].cancel()
        await asyncio.wait(open_ones[:1])
        third = world.watch(end_index=1)
        await third
        open_ones[1].cancel()

    story(whole)


def test_a_ledger_that_stops_ends_its_watches_and_takes_no_new_ones(story):
    async def whole(world):
        world.publish(10)
        watch = world.watch()
        await world.until(10)
        world.watches.close()
        assert await code_of(watch) == "draining"
        assert await code_of(world.watches.follow(EntryFilter(), world.send)) == "draining"

    story(whole)


def test_an_index_that_the_log_has_not_reached_is_told_and_not_waited_for(story):
    async def whole(world):
        world.publish(10)
        call = world.watches.follow(EntryFilter(start_index=11), world.send)
        assert await code_of(call) == "index_out_of_range"

    story(whole)


async def code_of(awaitable):
    with pytest.raises(Problem) as caught:
        await awaitable
    return caught.value.code
