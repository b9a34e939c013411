"""The office: what it does of itself, when it waits, and that it tells nobody too early."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from unit.ledger.erasures import House, state

from heptad.model.entry import Kind
from heptad.model.erasure import ErasureState
from heptad.model.problems import Problem
from heptad.observability.metrics import Metrics
from heptad_ledger.errors import KeyBookError, StoreFullError
from heptad_ledger.lending.loans import MARGIN_S, LoanBook
from heptad_ledger.privacy.gate import ReplayGate
from heptad_ledger.privacy.office import IDLE_S, ErasureOffice
from heptad_ledger.privacy.recording import (
    RETRY_S,
    START_PAUSE_S,
    Statement,
    StatementQueue,
)


class Log:
    """Takes events and remembers their names."""

    def __init__(self):
        self.events = []

    def __getattr__(self, _level):
        return lambda event, *args, **fields: self.events.append(event)


class Desk:
    """An office with a clock that the test moves, and validators that record at once."""

    def __init__(self, house, metrics):
        self.house, self.now_s, self.asked, self.refuses = house, 1_000.0, [], False
        self.loans = LoanBook(ttl_s=60, now_s=0.0)
        self.writer = ThreadPoolExecutor(max_workers=1)
        self.log = Log()
        self.told = []
        self.statements = StatementQueue(
            record=self.record, validator_count=2, now_s=lambda: self.now_s, log=self.log
        )
        self.office = ErasureOffice(
            store=house.ledger.store, intake=house.ledger.intake, eraser=house.eraser,
            decider=house.decider, statements=self.statements, loans=self.loans,
            writer=self.writer, now_s=lambda: self.now_s, log=self.log, metrics=metrics,
        )  # fmt: skip
        self.office.on_revoked = lambda names: self.told.append(("revoked", names))
        self.office.on_erased = lambda erased: self.told.append(("erased", dict(erased)))
        self.office.open()

    async def record(self, validator, kind, statement):
        self.asked.append((validator, kind))
        if self.refuses:
            raise Problem("overloaded", "not now", retry_after_s=1)
        self.house.commit(state(kind, statement))
        return 0

    def work(self, times=1):
        async def scenario():
            for _ in range(times):
                pause_s = await self.office.work()
            return pause_s

        return asyncio.run(scenario())


@pytest.fixture
def house(tmp_path, kit, group):
    house = House(tmp_path, kit, group)
    house.anna, house.bert = house.register(1, 2)
    yield house
    house.close()


@pytest.fixture
def metrics():
    return Metrics(cell="log.test", service="ledger-1")


@pytest.fixture
def desk(house, metrics):
    desk = Desk(house, metrics)
    yield desk
    desk.writer.shutdown()


def kinds(desk):
    return [kind for _, kind in desk.asked]


def test_all_of_it_happens_by_itself(desk, house):
    name = house.ask(house.anna)
    desk.work(times=3)
    assert house.desk.find(name).state is ErasureState.ERASED
    assert kinds(desk) == [Kind.ERASURE_ORDERED, Kind.ERASED]


def test_leases_end_before_the_key_does_and_are_told_of_once(desk, house):
    house.ask(house.anna)
    desk.work(times=3)
    slot, name = house.anna.slot, house.anna.subject_id
    assert desk.told == [("revoked", (name,)), ("erased", {slot: name})]


def test_nothing_is_attested_while_a_lease_may_be_in_use(desk, house):
    lease_id = b"l" * 16
    desk.loans.lend(lease_id, slot=house.anna.slot, holder="validator-1", now_s=desk.now_s)
    name = house.ask(house.anna)
    desk.work(times=3)
    assert house.desk.find(name).state is ErasureState.ORDERED
    assert not any(case.statement for case in house.cases())
    assert desk.office.revoked() == (house.anna.subject_id,)
    # returned
    desk.loans.take_back(lease_id, holder="validator-1")
    desk.work()
    assert house.desk.find(name).state is ErasureState.ERASED
    assert desk.office.revoked() == ()


def test_a_lease_that_is_never_returned_is_waited_for_to_its_end(desk, house):
    desk.loans.lend(b"l" * 16, slot=house.anna.slot, holder="validator-1", now_s=desk.now_s)
    name = house.ask(house.anna)
    desk.work(times=2)
    desk.now_s += 60 + MARGIN_S - 0.1
    assert desk.work() == pytest.approx(0.1)
    assert house.desk.find(name).state is ErasureState.ORDERED
    desk.now_s += 0.1
    desk.work()
    assert house.desk.find(name).state is ErasureState.ERASED


def test_after_a_start_leases_of_the_life_before_are_waited_for(desk, house):
    desk.loans.unknown_until_s = desk.now_s + 65
    name = house.ask(house.anna)
    desk.work(times=3)
    assert house.desk.find(name).state is ErasureState.ORDERED
    desk.now_s += 65
    desk.work()
    assert house.desk.find(name).state is ErasureState.ERASED


def test_a_statement_that_is_not_recorded_is_offered_again_to_the_next_with_the_same_bytes(
    desk, house
):
    desk.refuses = True
    house.ask(house.anna)
    desk.work()
    [case] = house.cases()
    desk.work(times=2)
    assert len(desk.asked) == 1
    desk.now_s += RETRY_S
    desk.work()
    assert len(desk.asked) == 2
    assert len({validator for validator, _ in desk.asked}) == 2
    assert house.cases() == [case]
    assert desk.log.events.count("erasure_not_stated") == 2


def test_what_an_earlier_life_has_asked_for_is_given_time_to_come(desk):
    wanted = {7: Statement(Kind.ERASED, b"x")}

    async def scenario():
        desk.statements.hold_back(wanted)
        await desk.statements.work(wanted)
        assert desk.asked == []
        desk.now_s += START_PAUSE_S
        desk.refuses = True
        await desk.statements.work(wanted)

    asyncio.run(scenario())
    assert kinds(desk) == [Kind.ERASED]


def test_before_the_log_is_caught_up_with_orders_are_carried_out_and_nothing_is_decided(
    house, metrics
):
    desk = Desk(house, metrics)
    desk.office._is_open.clear()
    house.ask(house.anna)
    house.commit(house.order_of(house.bert))
    assert desk.work() == IDLE_S
    assert desk.asked == []
    states = {case.slot: case.is_executed for case in house.cases()}
    assert states == {house.anna.slot: False, house.bert.slot: True}
    desk.writer.shutdown()


@pytest.mark.parametrize("fault", [StoreFullError("no room"), KeyBookError("no book")])
def test_what_cannot_be_done_now_is_tried_again(desk, house, monkeypatch, fault):
    name = house.ask(house.anna)
    attest, faults = house.decider.attest, [fault]

    def failing(numbers):
        if faults:
            raise faults.pop()
        attest(numbers)

    monkeypatch.setattr(house.decider, "attest", failing)
    monkeypatch.setattr("heptad_ledger.privacy.office.RETRY_S", 0.01)

    async def scenario():
        running = asyncio.create_task(desk.office.run())
        async with asyncio.timeout(30):
            while house.desk.find(name).state is not ErasureState.ERASED:
                desk.office.has_news()
                await asyncio.sleep(0)
        running.cancel()

    asyncio.run(scenario())
    assert any(event.startswith("erasure_waits") for event in desk.log.events)


def test_a_wave_counts_although_there_is_no_room_to_look_at_its_requests(desk, house):
    """Else the follower would ask for blocks that are applied, and blame who sends the next."""

    def full():
        raise StoreFullError("no room")

    house.ledger.applier._take_erasures = full
    record, name = house.asked(house.anna)
    house.group.commit(house.group.batch([record]))
    assert house.ledger.catch_up().erasures == 1
    assert house.cases() == []
    house.ledger.applier._take_erasures = house.ledger.intake.take
    # the office looks at it once there is room
    desk.work(times=3)
    assert house.desk.find(name).state is ErasureState.ERASED


def test_between_transactions_of_a_large_erasure_the_ledger_applies_what_comes(
    desk, house, monkeypatch
):
    house.commit(*(house.office.request(house.anna)[0] for _ in range(20)))
    house.eraser._rows_at_once_max = 7
    name = house.ask(house.anna)
    jobs, submit = [], desk.writer.submit
    monkeypatch.setattr(
        desk.writer, "submit", lambda act, *args: jobs.append(act) or submit(act, *args)
    )
    desk.work(times=3)
    deletions = [job for job in jobs if job.func == house.eraser.delete_some]
    # three that were full, and a look at what fits into the last one
    assert len(deletions) == 4
    assert house.desk.find(name).state is ErasureState.ERASED
    assert house.certificate(name).ciphertexts == 22


# The gate.


class Ways:
    """What the gate asks of the rest."""

    def __init__(self, office):
        self.office, self.steps, self.is_caught_up = office, [], True

    async def catch_up(self, _timeout_s):
        self.steps.append("catch up")
        await asyncio.sleep(0)
        if len(self.steps) == 3:
            self.was_open_before = self.gate.is_open
            self.is_caught_up = True
        return self.is_caught_up

    async def carry_out(self):
        self.steps.append("carry out")
        await self.office.replay()


def gate_of(desk):
    ways = Ways(desk.office)

    async def keep(name, value):
        ways.steps.append("keep")
        desk.house.ledger.store.keep(name, value)

    gate = ReplayGate(
        desk.house.ledger.store, catch_up=ways.catch_up, carry_out=ways.carry_out, keep=keep,
        log=desk.log,
    )  # fmt: skip
    ways.gate = gate
    return gate, ways


def test_a_ledger_that_owes_nothing_is_open_from_the_start(desk):
    gate, ways = gate_of(desk)
    gate.require_open()
    asyncio.run(gate.settle())
    assert "keep" not in ways.steps
    assert gate.note == ""


@pytest.mark.parametrize("name", ["restored", "cloned", "old_vault"])
def test_a_ledger_that_came_back_is_shut_until_all_orders_are_carried_out(desk, house, name):
    house.ledger.store.keep(name, b"x")
    house.commit(house.order_of(house.anna))
    gate, ways = gate_of(desk)
    with pytest.raises(Problem, match="vault_unavailable"):
        gate.require_open()
    assert gate.note
    ways.is_caught_up = False
    asyncio.run(gate.settle())
    assert ways.steps[:3] == ["catch up"] * 3
    assert ways.was_open_before is False
    assert ways.steps[-2:] == ["carry out", "keep"]
    gate.require_open()
    [case] = house.cases()
    assert case.is_executed
    # the next start finds it open, and the next restore shuts it again
    assert gate_of(desk)[0].is_open
    house.ledger.store.keep(name, b"y")
    assert not gate_of(desk)[0].is_open
