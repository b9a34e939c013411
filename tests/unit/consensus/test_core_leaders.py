"""A group with dead leaders: who leads, what the chain records, and how long it takes."""

from itertools import pairwise

import pytest

from heptad.consensus.events import PeerConnected, PeerLost
from heptad.consensus.limits import Limits
from heptad.consensus.messages import BatchOffer, Certificates, Proposal
from heptad.consensus.objects import Timeout, Vote
from heptad.model.ids import MemberIndex

K = 8


def of_kind(world, kind):
    return [(at, source, target, m) for at, source, target, m in world.sent if isinstance(m, kind)]


def load(world, count, every_ms=50, sequence=0):
    for each in range(sequence, sequence + count):
        world.submit(world.batch(sequence=each))
        world.run(for_ms=every_ms)
    return sequence + count


def records(world):
    """The leader record after the highest certified block, as every live replica has it."""
    found = set()
    for replica in world.live():
        parts = replica.driver._core._parts
        node = parts.chain.tree.get(parts.rounds.high_qc.qc.block_id)
        found.add(node.state.leader_record)
    return found


def failed_rounds(world, since=0):
    return {m.round for at, _, _, m in of_kind(world, Timeout) if at >= since}


@pytest.fixture
def group(make_world):
    world = make_world(limits=Limits(term_rounds=K, timeout_ms_first=200)).start()
    world.run()
    return world


def tell_lost(world, member, to=None):
    for replica in world.live():
        if to is None or replica.index in to:
            world.deliver(replica.index, PeerLost(MemberIndex(member)))


def test_a_dead_leader_is_missed_once_and_then_left_out(group):
    group.crash(1)
    load(group, 60)
    group.run()
    assert all(len(replica.log()) == 60 for replica in group.live())
    (record,) = records(group)
    assert [(each.member, each.strikes) for each in record.failures] == [(1, 1)]
    assert len(failed_rounds(group)) == 1


def test_the_next_leader_that_is_dead_is_blamed_and_not_the_one_that_worked(group):
    """At the term's end the votes go to the dead one: its proposer saves the certificate."""
    group.crash(1)
    load(group, 6)
    group.run()
    (failed,) = failed_rounds(group)
    assert failed == K
    votes = {(m.round, target) for _, _, target, m in of_kind(group, Vote) if m.round == K - 1}
    assert votes == {(K - 1, 0), (K - 1, 1)}


def test_a_dead_member_is_probed_ever_more_rarely(make_world):
    world = make_world(limits=Limits(term_rounds=2)).start()
    world.run()
    world.crash(1)
    load(world, 140, every_ms=20)
    terms = sorted(round_ // 2 for round_ in failed_rounds(world))
    turns_missed = [(later - earlier) // 7 - 1 for earlier, later in pairwise(terms)]
    assert turns_missed == [1, 3, 7]
    (record,) = records(world)
    assert record.failures[0].strikes == 4


def test_one_that_comes_back_leads_again_and_is_in_good_standing(group):
    group.crash(1)
    sequence = load(group, 20)
    group.restart(1)
    group.sent.clear()
    load(group, 120, every_ms=20, sequence=sequence)
    group.run()
    led = [m.block.round for _, source, _, m in of_kind(group, Proposal) if source == 1]
    assert len(set(led)) >= K
    (record,) = records(group)
    assert record.failures == ()


def test_a_restarted_replica_has_the_record_that_the_others_have(group):
    group.crash(1)
    load(group, 20)
    group.run()
    (before,) = records(group)
    assert before.failures
    for index in (0, 3):
        group.crash(index)
        group.restart(index)
    group.run()
    assert records(group) == {before}


def test_a_voter_without_the_parent_waits_for_it_before_it_knows_the_leader(group):
    """Somebody else's proposal for the same round gets no vote once the parent is there."""
    genesis, _, state = group.genesis()
    one = group.block(genesis, state, 1)
    of_others = group.qc(1, one.block.id, [0, 1, 2, 4, 5])
    wrong = group.block(one.block, one.state, 2, proposer=4, justify=of_others).block
    group.drop = lambda *_: True
    group.sent.clear()
    group.inject(4, 6, Proposal(wrong, group.vote(4, 2, wrong.id).signature))
    assert not of_kind(group, Vote)
    group.drop = lambda *_: False
    group.inject(0, 6, Proposal(one.block, group.vote(0, 1, one.block.id).signature))
    assert [m.round for _, _, _, m in of_kind(group, Vote) if m.round == 2] == []
    assert any("led by 0" in each["reason"] for each in group.replicas[6].named("vote_refused"))


def test_a_proposal_by_somebody_else_takes_no_batch(group):
    """One that came before its parent, so that nobody knew better, is not the round's proposal."""
    genesis, _, state = group.genesis()
    one = group.block(genesis, state, 1)
    batch = group.batch()
    wrong = group.block(one.block, one.state, 2, proposer=4, batches=[batch]).block
    group.drop = lambda *_: True
    group.submit(batch, to=[3])
    group.inject(4, 3, Proposal(wrong, group.vote(4, 2, wrong.id).signature))
    group.inject(0, 3, Proposal(one.block, group.vote(0, 1, one.block.id).signature))
    group.sent.clear()
    group.run(for_ms=group.limits.relay_after_ms)
    assert [source for _, source, _, _ in of_kind(group, BatchOffer)] == [3] * 6


def test_a_censor_cannot_hide_its_tenure_by_hiding_its_blocks(make_world):
    """Who lacks the certified block does not know the leader for a moment: its clock runs on."""
    limits = Limits(term_rounds=1 << 20, censored_after_ms=400)
    world = make_world(limits=limits).start()
    world.run()
    pool = world.replicas[0].driver._core._parts.chain.pool
    pool.select = lambda _positions: []
    world.drop = lambda _, target, m: (
        isinstance(m, Proposal) and m.block.proposer == 0 and m.block.round % 6 + 1 == target
    )
    world.submit(world.batch())
    world.run(for_ms=1_500)
    assert all(len(replica.log()) == 1 for replica in world.replicas[1:])
    refusing = [replica.index for replica in world.replicas if replica.named("leader_refused")]
    assert len(refusing) >= 3


# --- connections that break --------------------------------------------------------------------


def test_a_leader_whose_connections_break_costs_little_more_than_the_moment(group):
    load(group, 3)
    group.crash(0)
    tell_lost(group, 0)
    start_ms = group.now_ms
    group.submit(group.batch(sequence=3))
    group.run(until=lambda: all(len(replica.log()) == 4 for replica in group.live()))
    assert group.now_ms - start_ms < group.limits.timeout_ms_lost + 20


def test_a_leader_that_only_f_members_cannot_reach_leads_on(group):
    load(group, 3)
    tell_lost(group, 0, to=(5, 6))
    group.drop = lambda source, target, _: (source, target) in {(0, 5), (0, 6)}
    load(group, 2, sequence=3)
    group.run(for_ms=200)
    status = group.replicas[3].driver.status()
    assert (status.highest_tc_round, status.committed_height >= 5) == (0, True)


def test_whoever_is_connected_again_is_waited_for_again(group):
    tell_lost(group, 0)
    for replica in group.live():
        group.deliver(replica.index, PeerConnected(MemberIndex(0)))
    group.drop = lambda source, *_: source == 0
    group.submit(group.batch())
    group.run(for_ms=group.limits.relay_after_ms + group.limits.timeout_ms_lost + 20)
    assert not failed_rounds(group)


def test_whoever_is_heard_again_is_waited_for_again(group):
    tell_lost(group, 0)
    for target in range(1, 7):
        group.inject(0, target, Certificates(group.genesis()[1], None))
    group.drop = lambda source, *_: source == 0
    group.submit(group.batch())
    group.run(for_ms=group.limits.relay_after_ms + group.limits.timeout_ms_lost + 20)
    assert not failed_rounds(group)


def test_a_broken_connection_alone_wakes_nobody(group):
    load(group, 1)
    group.run()
    tell_lost(group, 0)
    assert group.next_ms() is None
