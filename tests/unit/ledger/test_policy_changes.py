"""The log is told of each new `cell.toml`, once it goes by it, and of none that did not change."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.wire.convert.entry import encode_entry
from heptad.wire.convert.entry_facts import decode_policy_change, encode_policy_change
from heptad_ledger.policy_changes import RECORDED, RETRY_S, PolicyChangeReporter
from heptad_ledger.watermark import Watermark

FIRST, SECOND = b"1" * 32, b"2" * 32
CHANGE = encode_policy_change(cell_sha256=SECOND, previous_sha256=FIRST)


@pytest.fixture
def reporting(ledger, group):
    """Starts of a ledger that goes by a file of some digest; validators in `down` refuse."""

    class Reporting:
        def __init__(self):
            self.asked, self.pauses, self.down, self.lying = [], [], set(), set()
            self.applied = Watermark(ledger.store.state.size)

        async def record(self, validator, statement):
            self.asked.append((validator, decode_policy_change(statement)))
            if validator in self.down:
                self.down.remove(validator)
                raise Problem("validator_unavailable", "down")
            is_lie = validator in self.lying
            self.lying.discard(validator)
            said = CHANGE if is_lie else statement
            kind = Kind.DUPLICATE if is_lie else Kind.POLICY_CHANGE
            entry = encode_entry(Entry(kind, "", "", Outcome.NONE, 1, 1, b"", said))
            group.commit(group.batch([(entry, b"")]))
            ledger.catch_up()
            self.applied.advance(ledger.store.state.size)
            return ledger.store.state.size - 1

        async def pause(self, pause_s):
            self.pauses.append(pause_s)

        def start(self, digest):
            with ThreadPoolExecutor(max_workers=1) as writer:
                reporter = PolicyChangeReporter(
                    store=ledger.store,
                    writer=writer,
                    applied_size=self.applied,
                    cell_sha256=digest,
                    record=self.record,
                    validator_count=2,
                    log=EventLog(bound={}, write=lambda line: None),
                    pause=self.pause,
                )
                asyncio.run(reporter.run())
            return ledger.store.kept(RECORDED)

    return Reporting()


def test_the_first_file_of_a_cell_is_no_change(reporting):
    assert reporting.start(FIRST) == FIRST
    assert reporting.asked == []


def test_each_change_is_recorded_once_and_follows_the_one_before(reporting):
    for digest in (FIRST, FIRST, SECOND, SECOND, FIRST):
        assert reporting.start(digest) == digest
    assert reporting.asked == [(0, (SECOND, FIRST)), (0, (FIRST, SECOND))]


def test_the_next_validator_is_asked_when_one_does_not_answer(reporting):
    reporting.start(FIRST)
    reporting.down = {0}
    assert reporting.start(SECOND) == SECOND
    assert [validator for validator, _ in reporting.asked] == [0, 1]
    assert reporting.pauses == [RETRY_S]


def test_a_validator_is_not_believed_that_it_is_in_the_log(reporting):
    reporting.start(FIRST)
    reporting.lying = {0}
    assert reporting.start(SECOND) == SECOND
    assert [validator for validator, _ in reporting.asked] == [0, 1]
