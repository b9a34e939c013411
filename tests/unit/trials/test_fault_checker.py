"""The history checker sees each broken promise, and nothing wrong in a history that is good."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from heptad.crypto.keys import load_service_key
from heptad.model.entry import Entry, Kind, Outcome
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan
from heptad.runtime.vkeys import witness_vkey
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.trials.faults.checker import LogRead, judge, sizes_of
from heptad.trials.faults.history import History
from heptad.trials.faults.watch import Sightings
from heptad.wire.convert.entry import encode_entry
from heptad.wire.streams import CosignatureFrame

REGISTERED = 2
REQUESTS = 6
TIME_S = 1_800_000_000


def entry(number):
    kind = Kind.REQUEST if number >= REGISTERED else Kind.SUBJECT_REGISTERED
    return encode_entry(Entry(kind, "s", "a", Outcome.ALLOWED, number, 1, bytes([number]) * 32))


ENTRIES = [entry(number) for number in range(REGISTERED + REQUESTS)]


def root(size):
    return CompactRange.empty().extended(leaf_hashes(ENTRIES[:size])).root()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("checked") / "cell"
    create_home(home, GenesisPlan(PortPlan(7_700)), now=datetime.now(UTC))
    return home


@pytest.fixture(scope="module")
def cell(home):
    from heptad.runtime.config import load_cell

    return load_cell(home)


class World:
    """A good history, to be spoiled."""

    def __init__(self, home, cell):
        self.home = home
        self.cell = cell
        self.history = History()
        for number in range(REQUESTS):
            self.history.acknowledge(f"r{number}", REGISTERED + number, now_s=float(number))
        self.copies = 0
        self.entries = ENTRIES
        heads = [(size, root(size)) for size in (0, 3, 5, 8)]
        self.seen = Sightings(
            {"replica-1": heads, "replica-2": heads[1:]},
            {"replica-1": [self.cosigned(1, 3), self.cosigned(1, 3), self.cosigned(1, 8)]},
        )

    def cosigned(self, number, size):
        replica = self.cell.replicas[number - 1]
        key = load_service_key(self.home / replica.id / "keys" / "cosign.pem")
        checkpoint = Checkpoint(self.cell.origin, size, root(size))
        line = cosign_checkpoint(
            checkpoint, key=witness_vkey(self.cell, replica), time_s=TIME_S, sign=key.sign
        )
        return CosignatureFrame(size, root(size), TIME_S, line.signature[8:])

    def broken(self):
        log = LogRead(sizes_of(self.seen))
        for start in range(0, len(self.entries), 3):
            log.visit(start, self.entries[start : start + 3])
        verdict = judge(
            history=self.history, seen=self.seen, log=log, copies=self.copies, cell=self.cell
        )
        return " · ".join(verdict.broken)


@pytest.fixture
def world(home, cell):
    return World(home, cell)


def test_nothing_is_wrong_with_a_good_history(world):
    assert world.broken() == ""


def test_an_acknowledged_request_that_is_not_there_is_missed(world):
    world.history.acknowledge("lost", 8, now_s=9.0)
    assert "1 acknowledged requests are not in the log, first at 8" in world.broken()


def test_an_index_at_which_something_else_stands_is_noticed(world):
    del world.history.acknowledged["r0"]
    world.history.acknowledge("r0", 0, now_s=9.0)
    assert "not in the log, first at 0" in world.broken()


def test_two_requests_at_one_index_are_noticed(world):
    world.history.acknowledge("r6", 7, now_s=9.0)
    assert "7 acknowledged requests share 6 indexes" in world.broken()


def test_a_request_that_is_there_twice_is_noticed_unless_the_ledger_says_so(world):
    del world.history.acknowledged["r5"]
    assert "5 acknowledged, 6 in the log" in world.broken()
    world.copies = 1
    assert world.broken() == ""


def test_a_head_that_is_no_beginning_of_the_log_is_noticed(world):
    world.seen.heads["replica-2"].append((8, root(7)))
    assert "replica-2 showed a head of 8 entries that is no beginning" in world.broken()


def test_a_head_beyond_the_log_is_noticed(world):
    world.seen.heads["replica-2"].append((9, root(8)))
    assert "replica-2 showed a head of 9 entries that is no beginning" in world.broken()


def test_a_replica_that_forgets_is_noticed(world):
    world.seen.heads["replica-1"].append((5, root(5)))
    assert "replica-1 showed 5 committed entries after 8" in world.broken()


def test_a_cosignature_of_another_log_is_noticed(world):
    good = world.cosigned(2, 5)
    world.seen.cosignatures["replica-2"] = [replace(good, root=root(4))]
    assert "replica-2 cosigned a head of 5 that is no beginning" in world.broken()


def test_a_cosignature_that_does_not_hold_is_noticed(world):
    good = world.cosigned(2, 5)
    world.seen.cosignatures["replica-2"] = [replace(good, time_s=TIME_S + 1)]
    assert "replica-2's cosignature of 5" in world.broken()


def test_a_cosignature_by_another_member_is_noticed(world):
    world.seen.cosignatures["replica-2"] = [world.cosigned(3, 5)]
    assert "replica-2's cosignature of 5" in world.broken()


def test_a_member_that_cosigns_a_smaller_log_later_is_noticed(world):
    world.seen.cosignatures["replica-1"].append(world.cosigned(1, 5))
    assert "replica-1 cosigned 5 entries after 8" in world.broken()


def test_an_answer_that_no_client_may_get_is_passed_on(world):
    world.history.broken.append("a good request was refused")
    assert world.broken() == "a good request was refused"
