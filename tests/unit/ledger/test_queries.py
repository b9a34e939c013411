"""Pages and counts of entries against a plain list: whatever is asked, nothing is lost or invented.

Looks are made tiny here, so that every page is put together from several of them.
"""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, EntryQuery, LoggedEntry, Order
from heptad.wire.convert.entry import encode_entry
from heptad_ledger.queries import entry_queries
from heptad_ledger.queries import turns as turns_module
from heptad_ledger.queries.entry_queries import EntryQueries
from heptad_ledger.queries.scan import CUT_PER_COST, FOUND_COST, ROW_COST

LONG_NAME = "l" * 65
SERVICES = ("tax", "tax-portal", "health", LONG_NAME)
ACTIONS = ("authenticate", "consent.grant")
KINDS = (Kind.REQUEST, Kind.ACCESS, Kind.BUNDLE)
BLOCK_MS = 10


def entry_of(number):
    """Entries whose fields vary at different paces, so that filters cut across batches."""
    return encode_entry(
        Entry(
            kind=KINDS[number % 3],
            service=SERVICES[(number // 3) % 4] if number % 11 else "rare",
            action=ACTIONS[number % 2],
            outcome=Outcome(number % 3),
            time_ms=number,
            validator=1 + number % 2,
            commitment=b"",
        )
    )


class Log:
    """A ledger with some blocks of some batches, of which the first `published` entries are."""

    def __init__(self, ledger, group, sizes):
        self.entries = []
        self.block_times = []
        for number, block in enumerate(sizes):
            batches = []
            for size in block:
                made = [entry_of(len(self.entries) + i) for i in range(size)]
                made = [b"no entry at all" if len(m) % 13 == 0 else m for m in made]
                self.entries += made
                self.block_times += [number * BLOCK_MS] * size
                batches.append(group.batch([(entry, b"") for entry in made]))
            group.commit(*batches, time_ms=number * BLOCK_MS)
        ledger.catch_up()
        self.latest = PublishedCheckpoint(b"note", len(self.entries))
        self.queries = EntryQueries(
            store=ledger.store, latest=lambda: self.latest, page_size_max=1_000
        )

    def wanted(self, wanted, holds):
        """The same by a plain list."""
        end = min(wanted.end_index or len(self.entries), self.latest.size)
        return [
            LoggedEntry(index, self.entries[index])
            for index in range(wanted.start_index, end)
            if wanted.from_ms <= self.block_times[index]
            and (not wanted.until_ms or self.block_times[index] < wanted.until_ms)
            and holds(self.entries[index])
        ]

    def pages(self, query):
        """All pages of a listing."""
        pages = [asyncio.run(self.queries.page(query))]
        while pages[-1].next_page_token:
            query = replace(query, page_token=pages[-1].next_page_token)
            pages.append(asyncio.run(self.queries.page(query)))
        return pages

    def count(self, wanted):
        """The sum over all parts, and how many there were."""
        parts = [asyncio.run(self.queries.count(wanted, ""))]
        while parts[-1].next_page_token:
            parts.append(asyncio.run(self.queries.count(wanted, parts[-1].next_page_token)))
        return sum(part.count for part in parts), len(parts)


@pytest.fixture
def log(ledger, group):
    return Log(ledger, group, [[7, 5], [1], [30], [], [9, 9, 9], [40]])


@pytest.fixture
def tiny_looks(monkeypatch):
    monkeypatch.setattr(entry_queries, "LOOK_COST_MAX", 5)
    monkeypatch.setattr(entry_queries, "CALL_COST_MAX", 25)


filters = st.builds(
    EntryFilter,
    start_index=st.sampled_from([0, 0, 1, 12, 50, 110]),
    end_index=st.sampled_from([0, 0, 13, 60, 109, 500]),
    from_ms=st.sampled_from([0, 0, 5, 20, 40, 99]),
    until_ms=st.sampled_from([0, 0, 20, 41, 100]),
    service=st.sampled_from(["", *SERVICES, "rare", "none"]),
    kinds=st.sampled_from([(), (Kind.REQUEST,), (Kind.ACCESS, Kind.BUNDLE), (Kind.RECOVERY,)]),
    action=st.sampled_from(["", *ACTIONS, "grant"]),
    outcome=st.sampled_from(list(Outcome)),
    validator=st.sampled_from([0, 1, 2, 3]),
).filter(lambda wanted: not list(wanted.mistakes()))


def says(wanted):
    """What the filter means, written a second time, by the plain value of an entry."""
    known = {entry_of(number): number for number in range(200)}

    def holds(data):
        if not (wanted.service or wanted.looks_inside):
            return True
        if data not in known:
            return False
        number = known[data]
        service = SERVICES[(number // 3) % 4] if number % 11 else "rare"
        return (
            (not wanted.service or service == wanted.service)
            and (not wanted.kinds or KINDS[number % 3] in wanted.kinds)
            and (not wanted.action or ACTIONS[number % 2] == wanted.action)
            and (wanted.outcome is Outcome.NONE or number % 3 == wanted.outcome)
            and (not wanted.validator or 1 + number % 2 == wanted.validator)
        )

    return holds


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=filters, order=st.sampled_from(Order), page_size=st.sampled_from([1, 3, 50]))
def test_pages_and_counts_are_those_of_a_plain_list(log, tiny_looks, wanted, order, page_size):
    expected = log.wanted(wanted, says(wanted))
    pages = log.pages(EntryQuery(wanted, order, page_size))
    found = [entry for page in pages for entry in page.entries]
    assert found == (expected if order is Order.ASCENDING else expected[::-1])
    assert all(len(page.entries) <= page_size for page in pages)
    assert log.count(wanted)[0] == len(expected)


def test_a_filter_that_finds_nothing_ends_its_call_early_and_goes_on_with_a_token(log, tiny_looks):
    wanted = EntryFilter(kinds=(Kind.RECOVERY,))
    pages = log.pages(EntryQuery(wanted))
    assert len(pages) > 2
    assert not any(page.entries for page in pages)
    count, parts = log.count(wanted)
    assert (count, parts > 2) == (0, True)


@pytest.mark.parametrize("order", Order)
def test_an_answer_says_what_it_has_cost_whatever_it_found(log, order):
    nothing = EntryFilter(kinds=(Kind.RECOVERY,))
    [page] = log.pages(EntryQuery(nothing, order))
    # All 110 entries were read, in seven batches.
    assert 110 < page.cost < 110 + 7 * (ROW_COST + 6)
    count = asyncio.run(log.queries.count(nothing, ""))
    assert count.cost == page.cost
    [everything] = log.pages(EntryQuery(order=order, page_size=1_000))
    assert everything.cost >= FOUND_COST * 110
    assert asyncio.run(log.queries.count(EntryFilter(), "")).cost == 0
    assert log.queries.cost_total == page.cost + count.cost + everything.cost


def test_for_one_entry_of_a_service_its_whole_batch_is_cut_up_and_paid(ledger, group):
    log = Log(ledger, group, [[100]])
    wanted = EntryFilter(service="rare", end_index=23)
    [page] = log.pages(EntryQuery(wanted))
    assert [entry.index for entry in page.entries] == [11, 22]
    whole_batch = 100 // CUT_PER_COST
    assert whole_batch <= page.cost - ROW_COST - 2 * FOUND_COST <= whole_batch + 1
    assert asyncio.run(log.queries.count(wanted, "")).cost == ROW_COST


def test_a_look_hands_out_no_more_than_it_may_cost(log, monkeypatch):
    monkeypatch.setattr(entry_queries, "LOOK_COST_MAX", 50)
    costs = []
    look = log.queries.look

    async def watched(*arguments, **options):
        step = await look(*arguments, **options)
        costs.append(step.cost)
        return step

    monkeypatch.setattr(log.queries, "look", watched)
    [page] = log.pages(EntryQuery(page_size=1_000))
    # A batch is looked at as a whole: the largest has 40 entries.
    assert max(costs) <= 50 + ROW_COST + 40 // 8 + 40 * FOUND_COST
    assert sum(costs) == page.cost
    assert len(costs) > 2


def test_a_caller_with_too_many_scans_under_way_is_refused_and_keeps_its_cheap_calls(
    log, tiny_looks, monkeypatch
):
    monkeypatch.setattr(turns_module, "CALLER_SCANS_MAX", 0)
    dear = EntryQuery(EntryFilter(kinds=(Kind.RECOVERY,)))
    assert refused(log.queries.page(dear, "gateway-1")) == "overloaded"
    assert refused(log.queries.count(dear.filter, "", "gateway-1")) == "overloaded"
    assert asyncio.run(log.queries.page(EntryQuery(page_size=1), "gateway-1")).entries


def test_what_no_checkpoint_covers_is_neither_listed_nor_counted(log):
    log.latest = PublishedCheckpoint(b"note", 40)
    for order in Order:
        [page] = log.pages(EntryQuery(order=order, page_size=1_000))
        assert sorted(entry.index for entry in page.entries) == list(range(40))
        assert page.checkpoint_size == 40
    assert log.count(EntryFilter())[0] == 40
    assert log.count(EntryFilter(service="tax"))[0] == len(
        log.wanted(EntryFilter(), says(EntryFilter(service="tax")))
    )


def test_a_token_is_good_for_its_own_filter_order_and_call_only(log):
    query = EntryQuery(EntryFilter(service="tax"), page_size=1)
    token = asyncio.run(log.queries.page(query)).next_page_token
    assert asyncio.run(log.queries.page(replace(query, page_token=token, page_size=9))).entries
    others = [
        replace(query, filter=EntryFilter(service="health")),
        replace(query, filter=EntryFilter(service="tax", end_index=50)),
        replace(query, order=Order.DESCENDING),
    ]
    for other in others:
        assert refused(log.queries.page(replace(other, page_token=token))) == "page_token_invalid"
    assert refused(log.queries.count(query.filter, token)) == "page_token_invalid"


@pytest.mark.parametrize("token", ["x", "é", "AAAA", "A" * 23, "A" * 9_999, "AA=="])
def test_what_is_no_token_is_refused(log, token):
    assert refused(log.queries.page(EntryQuery(page_token=token))) == "page_token_invalid"


def test_a_page_is_of_a_bounded_size(log, monkeypatch):
    assert refused(log.queries.page(EntryQuery(page_size=1_001))) == "parameter_invalid"
    monkeypatch.setattr(entry_queries, "PAGE_BYTES_MAX", 600)
    pages = log.pages(EntryQuery(page_size=1_000))
    assert all(1 <= len(page.entries) < 30 for page in pages)
    assert [entry.index for page in pages for entry in page.entries] == list(range(110))


def test_an_index_behind_the_log_is_out_of_range_and_its_very_end_is_an_empty_page(log):
    [page] = log.pages(EntryQuery(EntryFilter(start_index=110)))
    assert page.entries == ()
    call = log.queries.page(EntryQuery(EntryFilter(start_index=111)))
    assert refused(call) == "index_out_of_range"


def test_before_the_first_checkpoint_the_answer_is_pending(log):
    log.latest = None
    assert refused(log.queries.page(EntryQuery())) == "checkpoint_pending"
    assert refused(log.queries.count(EntryFilter(), "")) == "checkpoint_pending"


def test_sizes_of_checkpoints_are_listed_from_both_ends(log, ledger):
    sizes = [3, 40, 41, 90, 110]
    for size in sizes:
        ledger.store.publish(size, b"note")
    for order, expected in ((Order.ASCENDING, sizes), (Order.DESCENDING, sizes[::-1])):
        found, token = [], ""
        while True:
            page = log.queries.checkpoint_sizes(2, order, token)
            found += page.sizes
            token = page.next_page_token
            if not token:
                break
        assert found == expected


def test_too_many_who_wait_for_their_turn_are_told_so(log):
    async def story():
        turns = turns_module.Turns(waiting_max=2)
        async with turns.one():
            waiting = asyncio.create_task(take(turns))
            await asyncio.sleep(0)
            with pytest.raises(Problem) as caught:
                await take(turns)
            assert caught.value.code == "overloaded"
        await waiting
        await take(turns)

    asyncio.run(story())


async def take(turns):
    async with turns.one():
        pass


def refused(call):
    with pytest.raises(Problem) as caught:
        asyncio.run(call)
    return caught.value.code
