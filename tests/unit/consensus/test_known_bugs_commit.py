"""Known bugs of this family, 15 to 18: what commits, in which order, how often; what is lost."""

import pytest

from heptad.consensus.messages import BlocksReply, Certificates, Proposal
from heptad.consensus.objects import Timeout


def propose(world, target, verified):
    block = verified.block
    signature = world.vote(block.proposer, block.round, block.id).signature
    world.inject(block.proposer, target, Proposal(block, signature))


@pytest.fixture
def alone(world):
    """A world in which no message arrives but those that a test hands over, and no time passes."""
    world.run()
    world.drop = lambda *_: True
    return world


def give(world, target, verified_blocks):
    """Hand blocks to one replica, as proposals of their leaders."""
    for verified in verified_blocks:
        propose(world, target, verified)


def leaders_chain(world, rounds, batches):
    """Blocks of these rounds by their rightful leaders: 0, or members[round mod 7] after a TC."""
    parent, _, state = world.genesis()
    made = []
    leader = 0
    for round_, content in zip(rounds, batches, strict=True):
        tc = None
        if round_ != parent.round + 1:
            justify = world.qc(parent.round, parent.id) if made else world.genesis()[1]
            tc = world.tc(round_ - 1, dict.fromkeys(range(5), int(parent.round)), justify)
            leader = round_ % 7
        verified = world.block(parent, state, round_, tc=tc, proposer=leader, batches=content)
        made.append(verified)
        parent, state = verified.block, verified.state
    return made


def one_batch_each(world, count):
    return [[world.batch(sequence=sequence)] for sequence in range(count)]


def supply(world, target, content):
    for batch in (each for batches in content for each in batches):
        world.submit(batch, to=[target])


def test_bug_15_blocks_that_commit_together_come_out_oldest_first(alone):
    """Rounds 1, 3, 5 and 7 commit nothing; 8, directly on 7, commits all four at once."""
    content = [*one_batch_each(alone, 4), [], []]
    chain = leaders_chain(alone, [1, 3, 5, 7, 8, 9], content)
    supply(alone, 6, content)
    replica = alone.replicas[6]

    give(alone, 6, chain[:5])
    assert replica.commits == []
    propose(alone, 6, chain[5])

    assert replica.log() == [(1, 1, 0), (1, 1, 1), (1, 1, 2), (1, 1, 3)]
    assert [commit.block.height for commit in replica.commits] == [1, 2, 3, 4]
    assert [commit.first_index for commit in replica.commits] == [0, 3, 6, 9]
    assert [commit.proof is not None for commit in replica.commits] == [False, False, False, True]


def test_bug_16_a_block_is_not_delivered_again_after_a_gap_of_rounds(alone):
    """After each commit come failed rounds; the next commit starts where the last one ended."""
    content = [*one_batch_each(alone, 2), [], [], [alone.batch(sequence=2)], [], []]
    chain = leaders_chain(alone, [1, 2, 3, 9, 15, 16, 17], content)
    supply(alone, 6, content)

    give(alone, 6, chain)

    replica = alone.replicas[6]
    heights = [commit.block.height for commit in replica.commits]
    assert heights == sorted(set(heights)) == [1, 2, 3, 4, 5]
    assert replica.log() == [(1, 1, 0), (1, 1, 1), (1, 1, 2)]
    firsts = [commit.first_index for commit in replica.commits]
    assert firsts == [0, 3, 6, 6, 6]


def test_bug_16_the_same_certificate_again_commits_nothing_again(alone):
    content = [*one_batch_each(alone, 1), [], []]
    chain = leaders_chain(alone, [1, 2, 3], content)
    supply(alone, 6, content)
    give(alone, 6, chain)
    replica = alone.replicas[6]
    before = list(replica.commits)
    assert len(before) == 1
    for verified in chain:
        propose(alone, 6, verified)
        block = verified.block
        alone.inject(2, 6, Certificates(alone.qc(block.round, block.id, [1, 2, 3, 4, 5]), None))
    heights = [commit.block.height for commit in replica.commits]
    assert heights == sorted(set(heights))


def test_what_a_fetched_chain_commits_on_its_way_does_not_wait_for_its_end(alone):
    """Rounds 1 to 3 commit two blocks, and 5 and 7 on top of them commit nothing yet."""
    content = one_batch_each(alone, 2)
    chain = [each.block for each in leaders_chain(alone, [1, 2, 3, 5, 7], [*content, [], [], []])]
    supply(alone, 6, content)
    alone.inject(2, 6, Certificates(alone.qc(7, chain[-1].id), None))

    alone.inject(2, 6, BlocksReply(tuple(reversed(chain))))

    assert [commit.block.round for commit in alone.replicas[6].commits] == [1, 2]


@pytest.mark.parametrize("rounds", [[1, 3, 5, 7], [2, 4, 9, 11]])
def test_bug_17_certified_blocks_in_rounds_that_are_not_consecutive_commit_nothing(alone, rounds):
    content = [*one_batch_each(alone, 4)]
    chain = leaders_chain(alone, rounds, content)
    supply(alone, 6, content)
    give(alone, 6, chain)
    last = chain[-1].block
    alone.inject(2, 6, Certificates(alone.qc(last.round, last.id), None))
    assert alone.replicas[6].driver.status().high_qc_round == last.round
    assert alone.replicas[6].commits == []


def test_bug_10_a_certificate_of_another_round_than_its_blocks_commits_nothing(alone):
    """A quorum has signed the id of a block of round 2 as one of round 9."""
    content = [*one_batch_each(alone, 1), []]
    chain = leaders_chain(alone, [1, 2], content)
    supply(alone, 6, content)
    give(alone, 6, chain)
    block_id = chain[1].block.id
    alone.inject(2, 6, Certificates(alone.qc(9, block_id), None))
    assert alone.replicas[6].commits == []


def test_bug_17_a_parent_certified_by_another_path_is_no_substitute(alone):
    """Two certified blocks in rounds 1 and 2 that are not parent and child commit neither."""
    genesis, genesis_qc, state = alone.genesis()
    one = alone.block(genesis, state, 1)
    tc = alone.tc(1, dict.fromkeys(range(5), 0), genesis_qc)
    two = alone.block(genesis, state, 2, tc=tc, proposer=2)
    give(alone, 6, [one, two])
    for verified in (one, two):
        block = verified.block
        alone.inject(2, 6, Certificates(alone.qc(block.round, block.id), None))
    assert alone.replicas[6].commits == []


def test_bug_18_a_qc_shown_to_one_replica_and_withheld_is_not_lost(world):
    """The leader certifies the batch's child, shows that to member 5 only, and is gone.

    Member 5 may have committed. Its time-out carries the certificate, so the next leader must
    extend that block: the others commit the same.
    """
    world.run()

    def withhold(source, target, message):
        return source == 0 and isinstance(message, Certificates) and target != 5

    world.drop = withhold
    world.submit(world.batch())
    world.run(until=lambda: bool(world.replicas[5].commits))
    world.crash(0)
    assert [len(replica.commits) for replica in world.live()] == [0, 0, 0, 0, 1, 0]

    world.drop = lambda *_: False
    world.run()

    world.assert_agreement()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.live())
    assert any(isinstance(message, Timeout) for _, _, _, message in world.sent)
    first = {replica.commits[0].block.id for replica in world.live()}
    assert len(first) == 1


def test_bug_18_a_qc_of_the_batchs_own_block_withheld_costs_nothing_but_time(world):
    """Only member 5 learns that the block with the batch was certified; then both are cut off."""
    world.run()
    world.drop = lambda source, target, m: (
        source == 0 and isinstance(m, Proposal) and m.block.round == 2 and target != 5
    )
    world.submit(world.batch())
    world.run(for_ms=4)
    world.crash(0)
    world.drop = lambda source, target, m: 5 in (source, target)
    world.run(for_ms=20_000)
    assert all(replica.log() == [(1, 1, 0)] for replica in world.live() if replica.index != 5)
    world.drop = lambda *_: False
    world.run()
    world.assert_agreement()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.live())
