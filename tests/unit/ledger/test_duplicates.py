"""Later copies of requests are stated in the log: asked for until they are there, once each."""

import asyncio

import pytest

from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.wire.convert.entry import encode_entry
from heptad.wire.convert.entry_facts import decode_duplicate, encode_duplicate
from heptad_ledger import duplicates
from heptad_ledger.duplicates import RETRY_S, DuplicateReporter


class Validators:
    """Two validators that remember what they were asked; `down` refuses."""

    def __init__(self):
        self.asked = []
        self.down = set()

    async def record(self, validator, statement):
        self.asked.append((validator, decode_duplicate(statement)))
        if validator in self.down:
            raise Problem("validator_unavailable", "down")
        return 0


@pytest.fixture
def reporting(ledger, group, office):
    """A ledger that holds one request twice, and a reporter with a clock that the test moves."""

    class Reporting:
        def __init__(self):
            self.validators, self.now_s = Validators(), 0.0
            self.reporter = self.new()
            anna, jti = office.register(1), office.jti()
            first, _ = office.request(anna, jti=jti)
            second, _ = office.request(anna, jti=jti, witness=b"\x09" * 32)
            group.commit(group.batch([anna.registration, first, second]))
            ledger.catch_up()

        def new(self):
            return DuplicateReporter(
                store=ledger.store,
                record=self.validators.record,
                validator_count=2,
                now_s=lambda: self.now_s,
                log=EventLog(bound={}, write=lambda line: None),
            )

        def work(self):
            return asyncio.run(self.reporter.work())

        def state(self, index=2, first_index=1):
            content = encode_duplicate(index=index, first_index=first_index)
            entry = encode_entry(Entry(Kind.DUPLICATE, "", "", Outcome.NONE, 1, 1, b"", content))
            group.commit(group.batch([(entry, b"")]))
            ledger.catch_up()

    return Reporting()


def test_a_copy_is_asked_for_once_until_it_is_due_again(reporting):
    assert reporting.work() == 1
    assert reporting.work() == 1
    assert reporting.validators.asked == [(0, (2, 1))]
    reporting.now_s += RETRY_S
    reporting.work()
    assert reporting.validators.asked == [(0, (2, 1)), (1, (2, 1))]


def test_it_is_asked_for_no_more_once_the_log_states_it(reporting):
    reporting.work()
    reporting.state()
    reporting.now_s += RETRY_S
    assert reporting.work() == 0
    assert len(reporting.validators.asked) == 1


def test_an_untrue_statement_does_not_end_the_asking(reporting):
    reporting.state(first_index=0)
    assert reporting.work() == 1


def test_a_validator_that_is_down_is_passed_over_the_next_time(reporting):
    reporting.validators.down = {0}
    reporting.work()
    reporting.now_s += RETRY_S
    reporting.work()
    assert [validator for validator, _ in reporting.validators.asked] == [0, 1]


def test_after_a_restart_the_queue_is_there_and_the_same_validator_is_asked_first(reporting):
    reporting.work()
    reporting.reporter = reporting.new()
    reporting.work()
    assert reporting.validators.asked == [(0, (2, 1)), (0, (2, 1))]


def test_the_running_task_asks_at_once_when_there_is_news(reporting, eventually, monkeypatch):
    monkeypatch.setattr(duplicates, "START_PAUSE_S", 0.0)

    async def scenario():
        task = asyncio.create_task(reporting.reporter.run())
        await eventually(lambda: reporting.validators.asked)
        reporting.now_s += RETRY_S
        reporting.reporter.has_news()
        await eventually(lambda: len(reporting.validators.asked) == 2)
        task.cancel()

    asyncio.run(scenario())
