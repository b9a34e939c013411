"""The log checker finds what it is there for, in histories made by hand."""

from dataclasses import replace

import pytest

from heptad.consensus.objects import CommitProof, LogHead
from heptad.consensus.ready import Persist
from heptad.model.ids import Height, LogIndex, Round
from heptad.simulation.violations import Broken, ViolationError


def chain_of(scene, *batches):
    """One block for each batch, stored on every disk, none committed."""
    scene.submit(*batches)
    blocks, parent = [], scene.forge.genesis
    for batch in batches:
        parent = scene.forge.block(parent, batch)
        scene.store_everywhere(parent)
        blocks.append(parent)
    return blocks


def broken_by(act, *arguments):
    with pytest.raises(ViolationError) as raised:
        act(*arguments)
    return raised.value.broken


def test_a_right_history_is_accepted_by_every_replica(scene):
    batches = [scene.forge.batch(0, b"a", b"b"), scene.forge.batch(1, b"c"), scene.forge.batch(2)]
    blocks = chain_of(scene, *batches)

    for replica in scene.replicas:
        scene.commit(replica, *[scene.forge.commit(block) for block in blocks])
        scene.checkers.told(replica, [scene.forge.commit(block) for block in blocks])

    assert scene.checkers.log.chain == blocks
    assert scene.checkers.log.records == 3


def test_two_blocks_of_one_height_are_a_fork(scene):
    scene.submit(batch := scene.forge.batch(0, b"a"))
    one = scene.forge.block(scene.forge.genesis, batch)
    other = scene.forge.block(scene.forge.genesis, batch, round_=2, justify=scene.forge.genesis_qc)
    scene.store_everywhere(one)
    scene.store_everywhere(other)
    scene.commit(scene.replicas[0], scene.forge.commit(one))

    assert broken_by(scene.commit, scene.replicas[1], scene.forge.commit(other)) is Broken.FORK


def test_a_block_on_another_parent_is_a_fork(scene):
    one, _ = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b"))
    other = scene.forge.block(scene.forge.genesis, scene.batches[one.batches[0].digest], round_=2)
    child = scene.forge.block(other)
    scene.store_everywhere(other)
    scene.store_everywhere(child)
    scene.commit(scene.replicas[0], scene.forge.commit(one))
    scene.replicas[1].disk.write(Persist(commits=(scene.forge.commit(other),)))

    assert broken_by(scene.commit, scene.replicas[1], scene.forge.commit(child)) is Broken.FORK


def test_a_commit_above_a_gap_is_refused_by_the_disk(scene):
    _, second = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b"))

    assert broken_by(scene.commit, scene.replicas[0], scene.forge.commit(second)) is Broken.STORE


def test_a_commit_above_what_the_group_has_seen_is_found(scene):
    first, second = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b"))
    scene.replicas[0].disk.write(Persist(commits=(scene.forge.commit(first),)))

    assert broken_by(scene.commit, scene.replicas[0], scene.forge.commit(second)) is Broken.LOST


def jump_to(scene, block):
    return replace(scene.forge.commit(block), is_jump=True)


def test_where_somebody_jumped_to_is_the_log_before_anybody_honest_has_what_lies_before(scene):
    first, second = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b"))
    scene.commit(scene.replicas[0], jump_to(scene, second))

    log = scene.checkers.log
    assert log.is_committed_head(second.head)
    assert not log.is_committed_head(first.head)
    for block in (first, second):
        scene.commit(scene.replicas[1], scene.forge.commit(block))
    assert log.chain == [first, second]


@pytest.mark.parametrize("is_jump", [True, False])
def test_another_block_than_where_somebody_jumped_to_is_a_fork(scene, is_jump):
    first, second = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b"))
    other = scene.forge.block(first, scene.batches[second.batches[0].digest], round_=3)
    scene.store_everywhere(other)
    scene.commit(scene.replicas[0], jump_to(scene, second))
    if is_jump:
        act = (scene.commit, scene.replicas[1], jump_to(scene, other))
    else:
        scene.commit(scene.replicas[1], scene.forge.commit(first))
        act = (scene.commit, scene.replicas[1], scene.forge.commit(other))

    assert broken_by(*act) is Broken.FORK


def test_a_commit_of_what_is_not_stored_is_refused_by_the_disk(scene):
    scene.submit(batch := scene.forge.batch(0, b"a"))
    block = scene.forge.block(scene.forge.genesis, batch)

    assert broken_by(scene.commit, scene.replicas[0], scene.forge.commit(block)) is Broken.STORE


def test_a_block_that_only_one_disk_holds_is_a_lost_one(scene):
    scene.submit(batch := scene.forge.batch(0, b"a"))
    block = scene.forge.block(scene.forge.genesis, batch)
    scene.store(scene.replicas[0], block)

    assert broken_by(scene.commit, scene.replicas[0], scene.forge.commit(block)) is Broken.LOST


def test_faulty_members_need_not_hold_a_block(make_scene):
    scene = make_scene(faulty=[3])
    scene.submit(batch := scene.forge.batch(0, b"a"))
    block = scene.forge.block(scene.forge.genesis, batch)
    for replica in scene.replicas[:2]:
        scene.store(replica, block)

    scene.commit(scene.replicas[0], scene.forge.commit(block))

    assert scene.checkers.log.chain == [block]


def test_a_batch_in_two_blocks_is_found(scene):
    batch = scene.forge.batch(0, b"a")
    blocks = chain_of(scene, batch, batch)
    scene.commit(scene.replicas[0], scene.forge.commit(blocks[0]))

    assert broken_by(scene.commit, scene.replicas[0], scene.forge.commit(blocks[1])) is Broken.TWICE


def test_a_record_in_two_batches_is_found(scene):
    blocks = chain_of(scene, scene.forge.batch(0, b"same"), scene.forge.batch(1, b"same"))
    commits = [scene.forge.commit(block) for block in blocks]

    assert broken_by(scene.commit, scene.replicas[0], *commits) is Broken.TWICE


@pytest.mark.parametrize(("incarnation", "sequence"), [(0, 2), (0, 0), (1, 1)])
def test_a_batch_out_of_its_validators_order_is_found(scene, incarnation, sequence):
    blocks = chain_of(
        scene,
        scene.forge.batch(0, b"a"),
        scene.forge.batch(sequence, b"b", incarnation=incarnation),
    )
    commits = [scene.forge.commit(block) for block in blocks]

    assert broken_by(scene.commit, scene.replicas[0], *commits) is Broken.TWICE


def test_a_new_incarnation_begins_at_zero(scene):
    blocks = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(0, b"b", incarnation=7))

    scene.commit(scene.replicas[0], *[scene.forge.commit(block) for block in blocks])

    assert scene.checkers.log.last_committed(1) == (7, 0)


def test_a_batch_that_nobody_sent_is_found(scene):
    batch = scene.forge.batch(0, b"a")
    scene.batches[batch.digest] = batch
    block = scene.forge.block(scene.forge.genesis, batch)
    scene.store_everywhere(block)

    assert broken_by(scene.commit, scene.replicas[0], scene.forge.commit(block)) is Broken.INVENTED


def test_a_wrong_root_is_found(scene):
    scene.submit(batch := scene.forge.batch(0, b"a"))
    block = scene.forge.block(scene.forge.genesis, batch, head=LogHead(1, bytes(32)))
    scene.store_everywhere(block)

    assert broken_by(scene.commit, scene.replicas[0], scene.forge.commit(block)) is Broken.HEAD


def test_a_wrong_first_index_is_found(scene, swapped):
    (block,) = chain_of(scene, scene.forge.batch(0, b"a"))
    commit = swapped(scene.forge.commit(block), first_index=LogIndex(1))

    assert broken_by(scene.commit, scene.replicas[0], commit) is Broken.HEAD


def test_a_wave_without_a_proof_is_found(scene):
    (block,) = chain_of(scene, scene.forge.batch(0, b"a"))
    commit = scene.forge.commit(block, has_proof=False)

    assert broken_by(scene.commit, scene.replicas[0], commit) is Broken.UNPROVEN


def test_a_proof_of_rounds_that_do_not_follow_each_other_is_found(scene):
    (block,) = chain_of(scene, scene.forge.batch(0, b"a"))
    child = scene.forge.block(block, round_=block.round + 2)
    commit = scene.forge.commit(block, proof=CommitProof(child, scene.forge.qc(child)))

    assert broken_by(scene.commit, scene.replicas[0], commit) is Broken.UNPROVEN


@pytest.mark.parametrize("voters", [(0, 1), ()])
def test_a_proof_with_too_few_votes_is_found(scene, voters):
    (block,) = chain_of(scene, scene.forge.batch(0, b"a"))
    child = scene.forge.block(block)
    commit = scene.forge.commit(
        block, proof=CommitProof(child, scene.forge.qc(child, voters=voters))
    )

    assert broken_by(scene.commit, scene.replicas[0], commit) is Broken.UNPROVEN


def test_a_proof_with_a_forged_vote_is_found(scene, swapped):
    (block,) = chain_of(scene, scene.forge.batch(0, b"a"))
    proof = scene.forge.proof(block)
    votes = (*proof.child_qc.votes[:-1], (proof.child_qc.votes[-1][0], bytes(64)))
    forged = swapped(proof, child_qc=swapped(proof.child_qc, votes=votes, encoded=b"forged"))

    assert (
        broken_by(scene.commit, scene.replicas[0], scene.forge.commit(block, proof=forged))
        is Broken.UNPROVEN
    )


def test_a_proof_of_another_block_is_found(scene):
    one, other = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b"))
    commit = scene.forge.commit(one, proof=scene.forge.proof(other))

    assert broken_by(scene.commit, scene.replicas[0], commit) is Broken.UNPROVEN


def test_rounds_that_go_back_are_found(scene):
    first, _ = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b"))
    scene.submit(batch := scene.forge.batch(1, b"c"))
    second = scene.forge.block(first, batch, round_=Round(1))
    scene.store_everywhere(second)
    scene.commit(scene.replicas[0], scene.forge.commit(first))

    assert (
        broken_by(scene.commit, scene.replicas[0], scene.forge.commit(second)) is Broken.VOTE_RULE
    )


def test_telling_before_it_is_on_disk_is_found(scene):
    (block,) = chain_of(scene, scene.forge.batch(0, b"a"))

    assert (
        broken_by(scene.checkers.told, scene.replicas[0], [scene.forge.commit(block)])
        is Broken.NOT_DURABLE
    )


def test_telling_twice_is_found(scene):
    (block,) = chain_of(scene, scene.forge.batch(0, b"a"))
    commit = scene.forge.commit(block)
    scene.commit(scene.replicas[0], commit)
    scene.checkers.told(scene.replicas[0], [commit])

    assert broken_by(scene.checkers.told, scene.replicas[0], [commit]) is Broken.TWICE


def test_telling_out_of_order_is_found(scene):
    blocks = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b"))
    commits = [scene.forge.commit(block) for block in blocks]
    scene.commit(scene.replicas[0], *commits)

    assert broken_by(scene.checkers.told, scene.replicas[0], commits[::-1]) is Broken.TWICE


def test_a_new_process_is_told_from_the_disks_height_on(scene):
    blocks = chain_of(scene, scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b"))
    first, second = (scene.forge.commit(block) for block in blocks)
    scene.commit(scene.replicas[0], first)

    scene.checkers.restarted(scene.replicas[0])
    scene.commit(scene.replicas[0], second)
    scene.checkers.told(scene.replicas[0], [second])

    assert scene.replicas[0].disk.committed(Height(2)).block == blocks[1].encoded
