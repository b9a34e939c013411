"""Who led, and what every disk says of who failed, checked against the headers alone."""

from dataclasses import replace

import pytest

from heptad.consensus.chain import encode_committed
from heptad.consensus.leader_record import Failure, LeaderRecord
from heptad.consensus.state import ChainState
from heptad.consensus.tree import Node
from heptad.model.ids import MemberIndex, Round
from heptad.simulation.leader_checker import LeaderChecker
from heptad.simulation.violations import Broken, ViolationError

FAILED_IN_2 = LeaderRecord((Failure(MemberIndex(0), 1, Round(2)),))
FAILED_ROWS = {0: (1, 2)}


@pytest.fixture
def checker(scene):
    return LeaderChecker(scene.forge.cell, term_rounds=4)


def skipping(scene):
    """A block, and one two rounds later: the round between them was given up on."""
    one = scene.forge.block(scene.forge.genesis)
    return one, replace(scene.forge.block(one, round_=3, proposer=MemberIndex(3)), tc=object())


class Disk:
    def __init__(self, height):
        self.height = height


class Who:
    key, name, member = 0, "replica-1", MemberIndex(0)

    def __init__(self, height):
        self.disk = Disk(height)


def state_of(block, record):
    return encode_committed(Node(block, replace(ChainState.genesis(), leader_record=record), None))


@pytest.mark.parametrize("proposer", [1, 2])
def test_a_block_by_another_than_the_leader_is_a_violation(scene, checker, proposer):
    block = scene.forge.block(scene.forge.genesis, proposer=MemberIndex(proposer))
    with pytest.raises(ViolationError) as caught:
        checker.extend(block)
    assert caught.value.broken is Broken.LEADER


def test_who_failed_is_left_out_of_the_next_term_and_its_turn_after_that_comes(scene, checker):
    for block in skipping(scene):
        checker.extend(block)
    leaders = [
        checker._by_qc(scene.forge.block(scene.forge.genesis, round_=4 * term - 1), FAILED_ROWS)
        for term in range(1, 9)
    ]
    assert leaders == [1, 2, 3, 1, 1, 2, 3, 0]


def test_a_disk_that_has_another_record_than_the_headers_say_is_a_violation(scene, checker):
    one, two = skipping(scene)
    checker.extend(one)
    checker.extend(two)
    encoded = state_of(replace(two, tc=None), FAILED_IN_2)
    checker.stored(Who(2), encoded)
    checker.stored(Who(2), bytes(encoded))

    with pytest.raises(ViolationError) as caught:
        checker.stored(Who(2), state_of(replace(two, tc=None), LeaderRecord()))
    assert caught.value.broken is Broken.STATE


def test_the_first_disk_too_is_compared_with_the_headers(scene, checker):
    one, two = skipping(scene)
    checker.extend(one)
    checker.extend(two)
    with pytest.raises(ViolationError, match="the headers up to 2"):
        checker.stored(Who(2), state_of(replace(two, tc=None), LeaderRecord()))


@pytest.mark.parametrize("record", [FAILED_IN_2, LeaderRecord()])
def test_a_state_that_was_jumped_to_is_compared_once_the_headers_are_there(scene, checker, record):
    one, two = skipping(scene)
    checker.stored(Who(2), state_of(replace(two, tc=None), record))
    checker.extend(one)
    if record == FAILED_IN_2:
        checker.extend(two)
    else:
        with pytest.raises(ViolationError, match=r"who jumped here has \{\} after height 2"):
            checker.extend(two)


def test_only_who_leads_a_whole_term_is_struck_off(scene, checker):
    """Member 3 fails in its term, later gets another's last round by a TC, then its own term."""
    leaders = {term: term % 4 for term in range(8)}
    rounds = [round_ for round_ in range(1, 32) if round_ not in (12, 22)]
    by_tc = {13: 1, 14: 1, 15: 1, 23: 3}
    rows, parent = [], scene.forge.genesis
    for round_ in rounds:
        proposer = MemberIndex(by_tc.get(round_, leaders[round_ // 4]))
        block = scene.forge.block(parent, round_=round_, proposer=proposer)
        checker.extend(replace(block, tc=object()) if round_ in (13, 23) else block)
        rows.append(checker._rows[-1])
        parent = block

    assert dict(zip(rounds, rows, strict=True))[23] == {3: (1, 12), 1: (1, 22)}
    assert rows[-2:] == [{3: (1, 12), 1: (1, 22)}, {1: (1, 22)}]
