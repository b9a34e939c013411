"""What clients make the ledger read is paid for afterwards, by each and by all together."""

import asyncio
from dataclasses import fields

import pytest

from heptad.model.log_reads import InclusionProof
from heptad.model.problems import Problem
from heptad.model.queries import EntryCount, EntryFilter, EntryPage, LoggedEntry, WatchedEntries
from heptad.runtime.config import GatewayConfig
from heptad_gateway import budget as budget_module
from heptad_gateway.budget import (
    BURST_S,
    CALL_COST_MAX,
    CLIENT_SCANS_MAX,
    PROOF_COST,
    RESTED_OWED_S,
    SCANS_MAX,
    WAITING_MAX,
    WATCH_COST,
    Account,
    BudgetSpent,
    ReadBudget,
)

PER_S = 100
FULL = int(PER_S * BURST_S)
DEAR = "/v1/entries:count?outcome=denied"


class World:
    """A budget and its clock."""

    def __init__(self, per_client=PER_S, of_all=10 * PER_S):
        self.now_s = 0.0
        self.budget = ReadBudget(
            client_per_s_max=per_client, all_per_s_max=of_all, now_s=lambda: self.now_s
        )

    def scan(self, address, cost, *, is_dear=True):
        async def scan():
            async with self.budget.scan(address, is_dear=is_dear) as bill:
                bill.cost = cost

        asyncio.run(scan())

    def refused(self, address, *, is_dear=True):
        """The refusal, or None."""
        try:
            self.scan(address, 0, is_dear=is_dear)
        except BudgetSpent as refusal:
            return refusal
        return None


def test_what_was_read_is_paid_afterwards_and_who_owes_waits_until_it_is_paid():
    world = World()
    world.scan("a", FULL + 3 * PER_S)
    assert world.refused("a").code == "client_rate_limited"
    world.now_s = 2.9
    assert world.refused("a")
    world.now_s = 3.1
    assert not world.refused("a")


def test_a_refusal_takes_nothing_and_says_how_long_to_wait():
    world = World()
    world.scan("a", FULL + 3 * PER_S)
    for _ in range(1_000):
        assert world.refused("a").retry_after_s in (3, 4)
    assert world.budget.cost_total == FULL + 3 * PER_S


def test_a_quiet_client_saves_up_no_more_than_its_burst():
    world = World()
    world.now_s = 1e6
    world.scan("a", FULL + PER_S)
    assert world.refused("a")


def test_one_client_does_not_pay_for_another_but_for_its_whole_network():
    world = World()
    world.scan("2001:db8:1:2::1", 2 * FULL)
    assert world.refused("2001:db8:1:2:ffff::9")
    assert not world.refused("2001:db8:1:3::1")


def test_however_many_addresses_they_have_all_clients_together_are_bounded():
    world = World(of_all=2 * PER_S)
    for number in range(3):
        world.scan(f"2001:db8:{number}::1", FULL - 1)
    world.budget.charge("2001:db8:9::1", 1)
    refusal = world.refused("2001:db8:9::1")
    assert (refusal.code, refusal.retry_after_s) == ("overloaded", 5)
    world.now_s = 5.1
    assert not world.refused("2001:db8:9::1")


def test_who_has_read_nothing_lately_is_let_in_while_all_owe_but_not_for_ever():
    world = World(of_all=2 * PER_S)
    world.scan("a", FULL - 1)
    world.scan("b", FULL + 2)
    assert world.refused("a").code == "overloaded"
    assert not world.refused("c")
    world.scan("c", int(2 * PER_S * RESTED_OWED_S))
    assert world.refused("a").code == "overloaded"
    assert world.refused("d").code == "overloaded"


def test_scans_that_run_the_shared_account_empty_do_not_keep_out_who_is_rested():
    default = {each.name: each.default for each in fields(GatewayConfig)}
    assert default["entries_read_per_s_max"] * RESTED_OWED_S > 2 * SCANS_MAX * CALL_COST_MAX


def test_what_takes_hardly_any_reading_is_not_refused_for_what_others_read():
    world = World(of_all=PER_S)
    world.scan("a", 2 * FULL)
    assert world.refused("b").code == "overloaded"
    assert not world.refused("b", is_dear=False)
    assert world.refused("a", is_dear=False).code == "client_rate_limited"


async def broken(world, error):
    async with world.budget.scan("a", is_dear=True):
        raise error


def test_a_scan_whose_answer_did_not_come_costs_what_it_may_have_cost():
    world = World(per_client=CALL_COST_MAX, of_all=0)
    for error in (asyncio.CancelledError(), Problem("deadline_exceeded", "late")):
        before = world.budget.cost_total
        with pytest.raises(type(error)):
            asyncio.run(broken(world, error))
        assert world.budget.cost_total == before + CALL_COST_MAX


def test_what_the_ledger_refused_costs_nothing():
    world = World()
    with pytest.raises(Problem, match="page_token_invalid"):
        asyncio.run(broken(world, Problem("page_token_invalid", "no")))
    assert world.budget.cost_total == 0


class Scans:
    """Scans that stay under way until the test ends them."""

    def __init__(self, world):
        self.world = world
        self.began = []

    def start(self, address):
        """A scan that begins, or waits for its place."""
        end = asyncio.Event()

        async def scan():
            async with self.world.budget.scan(address, is_dear=True) as bill:
                bill.cost = 0
                self.began.append(address)
                await end.wait()

        return asyncio.create_task(scan()), end


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


async def code_of(task):
    with pytest.raises(Problem) as caught:
        await task
    return caught.value.code


async def end_all():
    """Ends all scans of this loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def test_one_client_has_few_scans_under_way_and_gets_another_when_one_ends():
    async def story():
        scans = Scans(World())
        open_ones = [scans.start("a") for _ in range(CLIENT_SCANS_MAX)]
        await settled()
        assert await code_of(scans.start("a")[0]) == "overloaded"
        async with scans.world.budget.scan("a", is_dear=False) as bill:
            bill.cost = 0
        open_ones[0][1].set()
        await settled()
        again = scans.start("a")
        await settled()
        assert scans.began == ["a"] * (CLIENT_SCANS_MAX + 1)
        assert not again[0].done()
        await end_all()

    asyncio.run(story())


def test_scans_beyond_those_under_way_wait_in_line_and_the_line_has_an_end():
    async def story():
        scans = Scans(World())
        names = [f"c{n}" for n in range(SCANS_MAX + WAITING_MAX)]
        open_ones = [scans.start(name) for name in names]
        await settled()
        assert scans.began == names[:SCANS_MAX]
        assert await code_of(scans.start("late")[0]) == "overloaded"
        open_ones[0][1].set()
        await settled()
        assert scans.began == names[: SCANS_MAX + 1]
        late = scans.start("late")
        await settled()
        assert not late[0].done()
        assert scans.world.budget.scan_count == SCANS_MAX + WAITING_MAX
        await end_all()
        assert scans.world.budget.scan_count == 0

    asyncio.run(story())


def test_who_waited_in_line_is_refused_if_all_is_spent_meanwhile():
    async def story():
        scans = Scans(World())
        open_ones = [scans.start(f"c{n}") for n in range(SCANS_MAX)]
        waiting, _ = scans.start("late")
        await settled()
        scans.world.budget.charge("other", 100 * FULL)
        open_ones[0][1].set()
        assert await code_of(waiting) == "overloaded"
        assert "late" not in scans.began
        await end_all()

    asyncio.run(story())


def test_a_limit_of_nought_is_none():
    world = World(per_client=0, of_all=0)
    world.scan("a", 10**9)
    assert not world.refused("a")
    assert world.budget.owed_s("a") == 0.0


def test_only_so_many_addresses_are_remembered(monkeypatch):
    monkeypatch.setattr(budget_module, "ADDRESSES_MAX", 3)
    account = Account(PER_S)
    for name in ("a", "b", "c", "d"):
        account.take(name, 2 * FULL, 0.0)
    assert [bool(account.owed_s(name, 0.0)) for name in "abcd"] == [False, True, True, True]


# Through a gateway.


def test_a_client_that_made_the_ledger_read_too_much_is_told_so_and_the_ledger_is_not_asked(
    gateway,
):
    async def story(gateway):
        gateway.ledger.answers["count"] = EntryCount(0, "t", 9, cost=50_000)
        assert (await gateway.call("GET", DEAR)).status == 200
        asked = len(gateway.ledger.asked)
        for path in (DEAR, "/v1/entries?start_index=3", "/v1/entries:watch?start_index=1"):
            answer = await gateway.call("GET", path)
            assert (answer.status, answer.code) == (429, "client_rate_limited")
            assert answer.headers["RateLimit-Policy"] == (
                '"client-reads";q=1000;qu="entries-read";w=1'
            )
            seconds = answer.headers["Retry-After"]
            assert answer.headers["RateLimit"] == f'"client-reads";r=0;t={seconds}'
            assert 35 < int(seconds) <= 41
        assert len(gateway.ledger.asked) == asked
        # What costs the ledger next to nothing goes on.
        gateway.ledger.answers["entry"] = b""
        assert (await gateway.call("GET", "/v1/entries/7")).status == 200

    gateway(story, client_entries_read_per_s_max=1_000)


def test_a_page_is_charged_what_the_ledger_says(gateway):
    async def story(gateway):
        gateway.ledger.answers["entries"] = EntryPage((), "", 0, 9, cost=9_999)
        assert (await gateway.call("GET", "/v1/entries")).status == 200
        gateway.ledger.answers["entries"] = EntryPage((), "", 0, 9, cost=40_002)
        assert (await gateway.call("GET", "/v1/entries?kind=EXPORT")).status == 200
        assert (await gateway.call("GET", "/v1/entries")).code == "client_rate_limited"
        metrics = (await gateway.call("GET", "/metrics")).body.decode()
        assert "\nhttp_entries_read_total 50001.0\n" in metrics.replace(
            'cell="cell.example",service="gateway-1"', ""
        ).replace("{}", "")

    gateway(story, client_entries_read_per_s_max=1_000)


def test_proofs_have_a_price(gateway):
    async def story(gateway):
        gateway.ledger.answers["inclusion_proof"] = InclusionProof(1, 2, ())
        paths = ("/v1/proofs/inclusion?index=1", "/v1/proofs/consistency?first_size=1")
        assert (await gateway.call("GET", paths[0])).status == 200
        assert gateway.app._budget.cost_total == PROOF_COST
        gateway.app._budget.charge("127.0.0.1", 10**6)
        for path in paths:
            assert (await gateway.call("GET", path)).code == "client_rate_limited"

    gateway(story, client_entries_read_per_s_max=1_000)


def test_where_addresses_do_not_tell_clients_apart_only_all_together_are_bounded(gateway):
    async def story(gateway):
        gateway.ledger.answers["count"] = EntryCount(0, "t", 9, cost=50_000)
        answers = [await gateway.call("GET", DEAR) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 503, 503]
        assert answers[-1].code == "overloaded"
        assert answers[-1].headers["RateLimit-Policy"].startswith('"reads";q=8000;')

    gateway(
        story,
        client_requests_per_s_max=0,
        client_entries_read_per_s_max=1_000,
        entries_read_per_s_max=8_000,
    )


def test_a_watch_that_reads_too_much_is_slowed_and_misses_nothing(gateway):
    async def story(gateway):
        entry = LoggedEntry(6, b"\x08\x09")
        # One iterator: what the second stream brings is what the first one has not.
        gateway.ledger.answers["watch"] = iter(
            [
                WatchedEntries((), 4, 9),
                WatchedEntries((), 5, 9, cost=10_000_000 * int(BURST_S) + 10**5),
                WatchedEntries((entry,), 7, 9),
            ]
        )
        answer = await gateway.call("GET", "/v1/entries:watch?start_index=4&service=tax")
        positions = [line for line in answer.body.decode().splitlines() if "next_index" in line]
        assert len(positions) == 3
        asked = [wanted for name, wanted, _ in gateway.ledger.asked if name == "watch"]
        assert asked == [EntryFilter(start_index=n, service="tax") for n in (4, 5)]
        assert gateway.app._budget.cost_total == WATCH_COST + 10_000_000 * BURST_S + 10**5
        assert gateway.app.watching.count == gateway.ledger.watching == 0

    gateway(story, client_entries_read_per_s_max=10_000_000, entries_read_per_s_max=0)


def test_a_gateway_that_drains_ends_a_watch_that_is_being_slowed(gateway):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [WatchedEntries((), 5, 9, cost=10**9), None]
        call = asyncio.create_task(gateway.call("GET", "/v1/entries:watch?start_index=4"))
        while not gateway.app._budget.owed_s("127.0.0.1") or gateway.ledger.watching:  # noqa: ASYNC110  other tasks of this loop bring it about
            await asyncio.sleep(0)
        gateway.app.set_draining(True)
        assert '"code":"draining"' in (await call).body.decode()
        assert gateway.app.watching.count == 0

    gateway(story, client_entries_read_per_s_max=1_000)
