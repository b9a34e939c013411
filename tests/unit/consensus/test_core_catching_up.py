"""Replicas that missed something: restarted, cut off, or far behind."""

from dataclasses import replace

import pytest

from heptad.consensus.codec import decode_proof, new_qc
from heptad.consensus.messages import (
    BatchesReply,
    BlocksReply,
    Certificates,
    ChainReply,
    FetchBlocks,
    FetchChain,
    Proposal,
)
from heptad.consensus.objects import CommitProof, Vote
from heptad.model.ids import Height


def sent(world, kind, source=None, target=None):
    return [
        message
        for _, origin, to, message in world.sent
        if isinstance(message, kind) and source in (None, origin) and target in (None, to)
    ]


def load(world, start, stop, every_ms=40):
    for sequence in range(start, stop):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=every_ms)


def heights(world):
    return [replica.driver.status().committed_height for replica in world.live()]


def same_everywhere(world):
    world.assert_agreement()
    return len(set(heights(world))) == 1


def test_a_replica_that_missed_a_few_blocks_fetches_them_by_hash(world):
    load(world, 0, 2)
    world.crash(6)
    load(world, 2, 8)
    world.restart(6)
    world.run()
    assert same_everywhere(world)
    assert sent(world, FetchBlocks, source=6)
    assert not sent(world, FetchChain)
    assert world.replicas[6].log() == world.replicas[1].log()


def test_a_replica_far_behind_fetches_the_committed_chain_in_chunks(world):
    load(world, 0, 2)
    world.crash(6)
    load(world, 2, 120)
    world.restart(6)
    world.run(until=lambda: world.replicas[6].driver.status().is_catching_up)
    world.run()
    assert same_everywhere(world)
    assert len(sent(world, FetchChain, source=6)) > 2
    assert world.replicas[6].log() == world.replicas[1].log()
    assert not world.replicas[6].driver.status().is_catching_up
    (fact,) = world.replicas[6].named("catching_up")
    assert fact["target_height"] - fact["height"] > world.limits.chain_gap_min


def test_a_replica_catches_up_while_the_group_goes_on(world):
    world.crash(6)
    load(world, 0, 80)
    world.restart(6)
    load(world, 80, 120, every_ms=20)
    world.run()
    assert same_everywhere(world)


def test_a_new_replica_starts_from_the_genesis_and_catches_up(make_world):
    world = make_world().start(*range(6))
    load(world, 0, 80)
    world.restart(6, is_new=True)
    world.run()
    assert same_everywhere(world)
    world.submit(world.batch(sequence=80))
    world.run()
    assert same_everywhere(world)


@pytest.mark.parametrize("silent", [BlocksReply, ChainReply, BatchesReply])
def test_peers_that_never_answer_are_passed_over(world, silent):
    world.crash(6)
    load(world, 0, 60)
    world.drop = lambda source, target, m: isinstance(m, silent) and source in (0, 1)
    world.restart(6)
    world.run()
    assert same_everywhere(world)


def corrupted(message):
    """A wrong answer of the same kind."""
    match message:
        case BlocksReply(blocks):
            return BlocksReply((replace_encoded(blocks[0]), *blocks[1:]))
        case ChainReply(blocks, proof):
            return ChainReply(blocks[:-1] or blocks, proof)
        case BatchesReply():
            return BatchesReply((b"garbage",))


def replace_encoded(block):
    encoded = block.encoded[:-1] + bytes([block.encoded[-1] ^ 1])
    return replace(block, encoded=encoded)


@pytest.mark.parametrize("kind", [BlocksReply, ChainReply, BatchesReply])
def test_peers_that_answer_garbage_are_passed_over(world, kind):
    world.crash(6)
    load(world, 0, 60)

    def lie(source, target, message):
        if isinstance(message, kind) and source in (0, 1):
            world.inject(source, target, corrupted(message))
            return True
        return False

    world.drop = lie
    world.restart(6)
    world.run()
    assert same_everywhere(world)
    assert world.replicas[6].named("message_refused")


def test_a_chunk_must_extend_what_is_committed_and_end_with_its_proof(world):
    world.crash(6)
    load(world, 0, 60)
    world.restart(6)
    answers = []

    def keep(source, target, message):
        if isinstance(message, ChainReply):
            answers.append((source, message))
        return isinstance(message, ChainReply)

    world.drop = keep
    world.run(until=lambda: answers)
    source, chunk = answers[0]
    stored = world.replicas[0].store.committed(Height(40))
    for wrong in (
        ChainReply(chunk.blocks[1:], chunk.proof),
        ChainReply((), chunk.proof),
        ChainReply(chunk.blocks[::2], chunk.proof),
        ChainReply(chunk.blocks, decode_proof(stored.proof)),
    ):
        world.inject(source, 6, wrong)
    reasons = [fact["reason"] for fact in world.replicas[6].named("message_refused")]
    assert len(reasons) == 4
    assert all("chunk" in reason or "does not extend" in reason for reason in reasons)


def test_a_chunk_whose_proof_nobody_signed_commits_nothing(world):
    """Its blocks hold together and extend what is committed, and no quorum stands behind them."""
    world.crash(6)
    load(world, 0, 60)
    world.restart(6)
    answers = []

    def keep(source, target, message):
        if isinstance(message, ChainReply):
            answers.append((source, message))
        return isinstance(message, ChainReply)

    world.drop = keep
    world.run(until=lambda: answers)
    source, chunk = answers[0]
    qc = chunk.proof.child_qc
    forged = new_qc(
        epoch=qc.epoch,
        round_=qc.round,
        block_id=qc.block_id,
        votes={voter: bytes(64) for voter, _ in qc.votes},
    )
    world.inject(source, 6, ChainReply(chunk.blocks, CommitProof(chunk.proof.child, forged)))
    assert "signature of member" in world.replicas[6].named("message_refused")[-1]["reason"]
    assert world.replicas[6].commits == []


def test_a_block_rides_in_on_no_other_blocks_certificate(world):
    """What comes with the wanted block must be its ancestors, or anything would be certified."""
    world.run()
    world.drop = lambda *_: True
    *_, parent, tip = (each.block for each in world.chain([1, 2, 3]))
    stranger = world.chain([5])[0].block
    world.inject(1, 6, Certificates(world.qc(tip.round, tip.id), None))
    for wrong in ((tip, stranger), (tip, parent, stranger)):
        world.inject(1, 6, BlocksReply(wrong))
    reasons = [fact["reason"] for fact in world.replicas[6].named("message_refused")]
    assert ["does not extend" in reason for reason in reasons] == [True, True]
    world.inject(1, 6, BlocksReply((tip, parent)))
    assert len(world.replicas[6].named("message_refused")) == 2


def test_answers_that_were_not_asked_for_are_refused(world):
    load(world, 0, 3)
    stored = world.replicas[0].store
    (one, *_), proof = [each.block for each in world.replicas[0].commits], stored.committed(3).proof
    world.inject(2, 1, BlocksReply((one,)))
    world.inject(2, 1, ChainReply((one,), decode_proof(proof)))
    reasons = [fact["reason"] for fact in world.replicas[1].named("message_refused")]
    assert ["not asked for" in reason for reason in reasons] == [True, True]


@pytest.mark.parametrize("reply", [BlocksReply(()), BatchesReply(())])
def test_an_empty_answer_is_refused_while_blocks_are_missing(world, reply):
    """Nothing is no answer, and must not be taken for the first block of one."""
    world.run()
    _one, two = world.chain([1, 2], batches=[[], [world.batch()]])
    world.drop = lambda *_: True
    world.inject(0, 3, Proposal(two.block, world.vote(0, 2, two.block.id).signature))
    world.inject(5, 3, reply)
    refused = world.replicas[3].named("message_refused")
    assert len(refused) == isinstance(reply, BlocksReply)
    assert world.replicas[3].driver.status().round == 2


def test_a_proposal_whose_parent_is_missing_waits_for_it_and_is_voted_for(world):
    """Member 6 misses a proposal of round 1 and gets that of round 2: it fetches and votes."""
    world.run()
    world.drop = lambda source, target, m: (
        target == 6 and getattr(getattr(m, "block", None), "round", 0) == 1
    )
    world.delay_ms = lambda source, target, m: 9 if isinstance(m, Vote) and source != 6 else 1
    world.submit(world.batch())
    world.run()
    votes = [vote.round for vote in sent(world, Vote, source=6)]
    assert votes == [2]
    assert same_everywhere(world)


def test_the_restored_tree_is_that_of_the_process_before(world):
    """All seven lose power with an uncommitted block on disk: nothing of it is lost."""
    world.run()
    world.submit(world.batch())
    world.run(for_ms=2)
    assert heights(world) == [0] * 7
    for index in range(7):
        world.crash(index)
    for index in range(7):
        world.restart(index)
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)


def test_a_header_that_a_commit_has_overtaken_is_dropped_at_a_restart(world):
    load(world, 0, 2)
    store = world.replicas[3].store
    stale = world.replicas[3].commits[0].block.id
    world.crash(3)
    store.uncommitted.add(stale)
    world.restart(3)
    assert stale in store.writes[-1].blocks_dropped
    assert stale not in store.uncommitted
