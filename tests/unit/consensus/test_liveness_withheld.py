"""A certificate that some were shown and others were not must leave nobody behind for good."""

import pytest

from heptad.consensus.messages import BatchOffer, Certificates
from heptad.consensus.objects import Timeout


def is_shown(target, round_):
    """A rule for `world.drop`: member `target` never gets a certificate of this round by itself."""
    return lambda _, to, message: (
        to == target and isinstance(message, Certificates) and message.high_qc.round == round_
    )


def certificate(world, round_):
    """The QC of this round, as whoever collected it has sent it."""
    return next(
        message.high_qc
        for _, _, _, message in world.sent
        if isinstance(message, Certificates) and message.high_qc.round == round_
    )


def timed_out(world, source):
    return [
        m.round for _, sender, _, m in world.sent if sender == source and isinstance(m, Timeout)
    ]


def test_a_leader_flushes_what_its_own_chain_does_not_commit(world):
    """The QC of round 2 commits round 1, but the chain goes on without it: 1, 3 by a TC, 4.

    Member 0 withholds it until all have given round 2 up, and then shows it to all but member 6. A
    leader that looked at what it has committed itself would see nothing left to do in round 4.
    """
    world.run()
    world.drop = lambda source, target, m: isinstance(m, Certificates)
    world.submit(world.batch())
    world.run(until=lambda: world.replicas[3].driver.status().round == 3)
    qc = certificate(world, 2)
    world.drop = is_shown(6, 2)
    for target in range(1, 6):
        world.inject(0, target, Certificates(qc, None))
    assert [len(replica.log()) for replica in world.replicas] == [1] * 6 + [0]
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)
    assert timed_out(world, 6) == [2] * 6, "one time-out, sent to each of the others"


@pytest.fixture
def left_behind(world):
    """All have committed by the QC of round 2 but member 6, which knows a TC of round 2 instead."""
    world.run()
    world.drop = is_shown(6, 2)
    world.submit(world.batch())
    world.run(for_ms=50)
    assert [len(replica.log()) for replica in world.replicas] == [1] * 6 + [0]
    world.drop = lambda *_: False
    tc = world.tc(2, dict.fromkeys(range(5), 1), certificate_in_proposal(world, 1))
    for target in range(7):
        world.inject(1 if target == 0 else 0, target, Certificates(tc.high_qc, tc))
    return world


def test_a_member_that_gives_up_with_a_lower_certificate_is_told_the_higher_one(left_behind):
    left_behind.run()
    assert timed_out(left_behind, 6)
    assert all(replica.log() == [(1, 1, 0)] for replica in left_behind.replicas)


def test_who_has_given_up_on_a_round_that_nobody_leaves_is_idle_when_its_work_is_done(left_behind):
    left_behind.run()
    assert timed_out(left_behind, 6) == [3] * 6
    assert left_behind.next_ms() is None


def test_who_has_given_up_and_has_no_work_says_so_again_to_those_who_have(left_behind):
    """Member 0 heard it and helped; 0 and 1 are down, the rest never heard it and cannot go on."""
    world = left_behind
    world.drop = lambda source, target, m: source == 6 and target and isinstance(m, Timeout)
    world.run()
    assert world.next_ms() is None
    world.crash(0, 1)
    world.drop = lambda source, target, m: target == 6 and isinstance(m, BatchOffer)
    world.submit(world.batch(sequence=1), to=range(2, 6))
    world.run(until=lambda: world.replicas[2].driver.status().round > 3)
    assert world.replicas[2].driver.status().round == 4
    assert len(timed_out(world, 6)) > 6


def certificate_in_proposal(world, round_):
    return next(
        message.block.justify
        for _, _, _, message in world.sent
        if getattr(message, "block", None) and message.block.justify.round == round_
    )


def test_a_restarted_group_with_nothing_to_do_stays_idle(world):
    world.submit(world.batch())
    world.run()
    for index in range(7):
        world.crash(index)
    for index in range(7):
        world.restart(index)
    before = world.replicas[0].driver.status().round
    world.run()
    assert world.next_ms() is None
    assert world.replicas[0].driver.status().round == before
