"""From headers and batches to validated blocks: what waits, what is asked for, what is let go."""

from dataclasses import replace

import pytest

from heptad.consensus.chain import Chain, decode_committed
from heptad.consensus.errors import RefusedError
from heptad.consensus.judging import Judge
from heptad.consensus.limits import Limits
from heptad.consensus.objects import BatchId, CommitProof
from heptad.consensus.parking import Parked
from heptad.consensus.pool import BatchReader
from heptad.consensus.results import Results
from heptad.consensus.verified import SEAL, VerifiedSnapshot
from heptad.model.batch import BATCH_BYTES_MAX, encode_batch
from heptad.model.ids import BatchDigest, BlockId, MemberIndex, Round, ValidatorNumber

OTHERS = tuple(MemberIndex(index) for index in range(1, 7))
TIGHT = Limits(pool_batches_max_per_validator=4)


@pytest.fixture
def idle(make_world):
    return make_world()


@pytest.fixture
def chain(idle):
    return made(idle, Limits())


@pytest.fixture
def results():
    return Results()


def made(world, limits):
    return Chain(
        cell=world.cell,
        limits=limits,
        certificates=world.certificates(),
        judge=Judge(world.cell, world.verifier),
        others=OTHERS,
        root=decode_committed(None, world.cell),
    )


def pooled(world, batch, now_ms=0):
    return BatchReader(world.cell, world.verifier).trusted(
        batch, encode_batch(batch), now_ms=now_ms
    )


def proposal(world, verified, source=1):
    block = verified.block
    vote = world.vote(block.proposer, block.round, block.id)
    return Parked(block, verified.entry, vote, False, MemberIndex(source), world.now_ms)


def advance(chain, results, keep=None):
    arrivals = chain.advance(keep=keep or chain.tree.root.block.id, results=results)
    return [arrival.node.block.round for arrival in arrivals]


def wants(world, chain, certified=None, *, walk=True):
    """What is asked for, blocks and batches."""
    chain.touch()
    certified = certified or world.genesis()[1]
    chain.update_wants(certified=certified, walk=walk, now_ms=world.now_ms)
    return set(chain.blocks_wanted._wants), set(chain.batches_wanted._wants)


def test_a_block_is_known_that_is_parked_or_in_the_tree(idle, chain, results):
    one, two = idle.chain([1, 2])
    assert not any(chain.knows(each.block.id) for each in (one, two))
    chain.park_proposal(proposal(idle, two))
    assert chain.knows(two.block.id)
    chain.park_proposal(proposal(idle, one))
    assert advance(chain, results) == [1, 2]
    assert chain.knows(one.block.id)
    assert chain.knows(two.block.id)


def test_a_proposal_that_was_fetched_before_it_came_gets_its_vote(idle, chain):
    _, two = idle.chain([1, 2])
    chain.park_certified(two.block, source=MemberIndex(3))
    assert chain.parked.get(two.block.id).vote is None
    chain.park_proposal(proposal(idle, two))
    (waiting,) = chain.parked.all()
    assert waiting.vote == idle.vote(0, 2, two.block.id)
    assert waiting.is_certified


def test_a_proposal_that_is_certified_is_kept_whatever_the_round(idle, chain, results):
    """So are its ancestors, for a quorum has voted for them as well."""
    one, two, three, four = idle.chain([1, 2, 3, 4])
    for each in (two, three, four):
        chain.park_proposal(proposal(idle, each))
    chain.certify(three.block.id)
    chain.forget(Round(9), results)
    assert [each.block.round for each in chain.parked.all()] == [2, 3]
    chain.park_proposal(proposal(idle, one))
    chain.park_certified(one.block, source=MemberIndex(3))
    chain.forget(Round(9), results)
    assert advance(chain, results) == [1, 2, 3]


def test_what_is_not_above_what_is_committed_is_not_parked(idle, chain, results):
    one, two = idle.chain([1, 2])
    rival = idle.block(one.block, one.state, 2, proposer=3)
    for each in (one, two):
        chain.park_proposal(proposal(idle, each))
    advance(chain, results)
    chain.commit(two.block.id, proof=None, results=results)
    for each in (one, rival):
        chain.park_certified(each.block, source=MemberIndex(3))
    assert len(chain.parked) == 0


@pytest.mark.parametrize("room", [True, False])
def test_only_a_chunk_of_the_committed_chain_finds_room_where_none_is(idle, room):
    chain = made(idle, Limits(parked_blocks_max=1))
    for each in idle.chain([1, 2, 3])[1:]:
        chain.park_certified(each.block, source=MemberIndex(3), is_urgent=room)
    assert len(chain.parked) == (2 if room else 1)


def test_an_invalid_block_is_dropped_for_good_and_told_whether_a_quorum_stands_behind_it(
    idle, chain, results
):
    """Its batch is not the one that its reference describes."""
    batch = idle.batch()
    chain.add_batch(pooled(idle, batch))
    genesis, _, state = idle.genesis()
    for proposer, is_certified in ((0, False), (1, True)):
        block = idle.block(genesis, state, 1, proposer=proposer, batches=[batch]).block
        ref = replace(block.batches[0], size_bytes=1)
        bad = Parked(replace(block, batches=(ref,)), None, None, is_certified, MemberIndex(3))
        chain.park_proposal(bad)
        assert advance(chain, results) == []
        assert len(chain.parked) == 0
        assert chain.knows(block.id)
    assert [fact.name for fact in results.facts] == ["vote_refused", "certified_block_invalid"]


def test_what_is_committed_goes_as_far_as_the_last_batch_of_each_validator(idle, chain, results):
    batches = [idle.batch(sequence=0), idle.batch(sequence=1)]
    for batch in batches:
        chain.add_batch(pooled(idle, batch))
    one, two, three = idle.chain([1, 2, 3], batches=[[batches[0]], [batches[1]]])
    for each in (one, two, three):
        chain.park_proposal(proposal(idle, each))
    assert advance(chain, results) == [1, 2, 3]
    chain.commit(one.block.id, proof=None, results=results)
    assert chain.is_committed(BatchId(1, 1, 0))
    assert chain.is_committed(BatchId(1, 0, 9))
    assert not chain.is_committed(BatchId(1, 1, 1))
    assert not chain.is_committed(BatchId(1, 2, 0))
    assert not chain.is_committed(BatchId(2, 0, 0))
    chain.require_fetchable(two.block)
    with pytest.raises(RefusedError, match="is committed already"):
        chain.require_fetchable(one.block)


def test_a_commit_writes_blocks_before_it_and_tells_log_indexes_and_the_proof_of_the_last(
    idle, chain, results
):
    batches = [idle.batch(sequence=sequence, records=3 + sequence) for sequence in (0, 1)]
    for batch in batches:
        chain.add_batch(pooled(idle, batch))
    one, two, three = idle.chain([1, 2, 3], batches=[[batches[0]], [batches[1]]])
    for each in (one, two, three):
        chain.park_proposal(proposal(idle, each))
    advance(chain, results)
    chain.persist(chain.tree.get(one.block.id), results)
    proof = CommitProof(three.block, idle.qc(3, three.block.id))
    wave = chain.commit(two.block.id, proof=proof, results=results)
    assert wave.before.block.height == 0
    assert [node.block.round for node in wave.final] == [1, 2]
    assert [(each.block.round, each.first_index, each.proof) for each in results.commits] == [
        (1, 0, None),
        (2, 3, proof),
    ]
    assert [block.round for block in results.blocks] == [1, 2]
    assert [digest for digest, _ in results.batches] == [batch.digest for batch in batches]
    assert len(chain.pool) == 0
    assert results.batches_dropped == []
    assert decode_committed(results.state, idle.cell).block.id == two.block.id


def test_what_a_commit_abandons_leaves_the_disk_if_it_was_there(idle, chain, results):
    """Blocks of other branches, and batches that an incarnation has fenced off."""
    genesis, _, state = idle.genesis()
    old, fence = idle.batch(sequence=7), idle.batch(sequence=0, incarnation=2)
    for batch in (old, idle.batch(sequence=8), fence):
        chain.add_batch(pooled(idle, batch))
    chain.pool.mark(BatchDigest(old.digest), is_durable=True)
    volatile, durable = (idle.block(genesis, state, 1, proposer=each) for each in (1, 2))
    final = idle.block(genesis, state, 1, batches=[fence])
    for verified in (final, volatile, durable):
        chain.park_proposal(proposal(idle, verified))
    advance(chain, results)
    chain.persist(chain.tree.get(durable.block.id), results)
    chain.persist(chain.tree.get(final.block.id), results)
    chain.commit(final.block.id, proof=None, results=results)
    assert results.blocks_dropped == [durable.block.id]
    assert results.batches_dropped == [old.digest]
    assert len(chain.pool) == 0


def test_no_vote_is_sent_for_a_block_whose_rival_is_committed_in_the_same_step(
    idle, chain, results
):
    """Nothing of the block reaches the disk, and a vote says that its voter holds it."""
    genesis, _, state = idle.genesis()
    final, rival = (idle.block(genesis, state, 1, proposer=each) for each in (0, 1))
    for verified in (final, rival):
        chain.park_proposal(proposal(idle, verified))
    advance(chain, results)
    votes = [idle.vote(0, 1, verified.block.id) for verified in (final, rival)]
    for verified, vote in zip((final, rival), votes, strict=True):
        chain.persist(chain.tree.get(verified.block.id), results)
        results.send(OTHERS, vote)
    assert [sent.message for sent in results.ready(record=None, timer_at_ms=None).messages] == votes
    chain.commit(final.block.id, proof=None, results=results)
    ready = results.ready(record=None, timer_at_ms=None)
    assert ready.persist.blocks_dropped == (rival.block.id,)
    assert [sent.message for sent in ready.messages] == votes[:1]


def test_whoever_starts_asks_at_once_for_the_block_of_its_highest_certificate(idle, chain):
    (one,) = idle.chain([1])
    certified = idle.qc(1, one.block.id)
    chain.update_wants(certified=certified, walk=True, now_ms=idle.now_ms)
    assert one.block.id in chain.blocks_wanted


def test_exactly_what_is_missing_is_asked_for(idle, chain):
    batches = [idle.batch(sequence=sequence) for sequence in (0, 1)]
    _, two, three = idle.chain([1, 2, 3], batches=[[], batches])
    assert wants(idle, chain) == (set(), set())
    certified = idle.qc(3, three.block.id)
    assert wants(idle, chain, certified) == ({three.block.id}, set())
    chain.park_certified(three.block, source=MemberIndex(3))
    assert wants(idle, chain, certified) == ({two.block.id}, set())
    assert wants(idle, chain, certified, walk=False) == (set(), set())
    chain.park_certified(two.block, source=MemberIndex(3))
    digests = {batch.digest for batch in batches}
    assert wants(idle, chain, certified) == ({two.block.parent_id}, digests)
    chain.add_batch(pooled(idle, batches[0]))
    assert wants(idle, chain, certified, walk=False) == (set(), {batches[1].digest})


def test_a_proposals_batches_are_asked_for_only_when_they_would_have_come_by_themselves(
    idle, chain
):
    """Those of a fetched block at once."""
    batches = [idle.batch(sequence=sequence) for sequence in (0, 1)]
    one, two = idle.chain([1, 2], batches=[[batches[0]], [batches[1]]])
    chain.park_proposal(proposal(idle, one, source=4))
    wants(idle, chain)
    assert chain.batches_wanted.due_ms() == idle.now_ms + Limits().fetch_after_ms
    chain.park_certified(two.block, source=MemberIndex(5))
    wants(idle, chain)
    assert chain.batches_wanted.due(idle.now_ms) == {5: [batches[1].digest]}
    late_ms = idle.now_ms + Limits().fetch_after_ms
    assert chain.batches_wanted.due(late_ms) == {4: [batches[0].digest]}


def test_a_block_is_asked_of_who_sent_its_child_and_then_of_who_has_voted_for_it(idle, chain):
    _, two = idle.chain([1, 2])
    chain.park_certified(two.block, source=MemberIndex(6))
    wants(idle, chain)
    asked = [next(iter(chain.blocks_wanted.due(idle.now_ms + n * 1_000))) for n in range(6)]
    assert asked == [6, 1, 2, 3, 4, 5]


def refs(world, *sequences, validator=1, **changes):
    batches = [pooled(world, world.batch(sequence=each)) for each in sequences]
    return [replace(each.ref, validator=ValidatorNumber(validator), **changes) for each in batches]


@pytest.mark.parametrize(
    ("validator", "size_bytes", "is_news"),
    [(1, 100, True), (1, BATCH_BYTES_MAX, True), (1, BATCH_BYTES_MAX + 1, False), (9, 100, False)],
)
def test_an_offer_of_what_can_be_no_batch_is_passed_over(
    idle, chain, validator, size_bytes, is_news
):
    offered = refs(idle, 0, validator=validator, size_bytes=size_bytes)
    assert chain.offer(offered, MemberIndex(2)) is is_news
    assert wants(idle, chain)[1] == {ref.digest for ref in offered if is_news}


def test_an_offer_is_news_once_and_only_of_what_is_not_here(idle, chain, results):
    first, second = refs(idle, 0, 1)
    assert chain.offer([first], MemberIndex(2))
    assert not chain.offer([first], MemberIndex(3))
    chain.add_batch(pooled(idle, idle.batch(sequence=0)))
    assert not chain.offer([first], MemberIndex(3))
    assert wants(idle, chain)[1] == set()
    assert chain.offer([first, second], MemberIndex(3))
    assert wants(idle, chain)[1] == {second.digest}


def test_where_one_offer_has_no_room_those_of_other_validators_may_have(idle):
    chain = made(idle, TIGHT)
    far, near = refs(idle, 4, 0)
    (other,) = refs(idle, 0, validator=2, digest=BatchDigest(b"o" * 32))
    assert chain.offer([far, near, other], MemberIndex(2))
    assert wants(idle, chain)[1] == {other.digest}
    assert not chain.offer([far], MemberIndex(2))


def test_an_offer_that_nobody_makes_good_in_two_rounds_of_asking_is_let_go(idle, chain):
    (ref,) = refs(idle, 0)
    chain.offer([ref], MemberIndex(2))
    wants(idle, chain)
    for turn in range(2 * len(OTHERS) + 1):
        chain.expire_offers()
        assert wants(idle, chain)[1] == {ref.digest}
        chain.batches_wanted.due(idle.now_ms + turn * 1_000)
    chain.expire_offers()
    assert wants(idle, chain)[1] == set()


def test_a_pair_of_batches_under_one_number_is_told_once(idle, chain):
    first, second = idle.batch(records=1), idle.batch(records=2)
    for batch in (first, first, second):
        chain.add_batch(pooled(idle, batch))
    assert chain.has_rivals
    assert chain.take_rivals() == [(encode_batch(first), encode_batch(second))]
    assert not chain.has_rivals
    assert chain.take_rivals() == []


def test_of_invalid_blocks_only_so_many_are_remembered(idle, chain, results, monkeypatch):
    monkeypatch.setattr("heptad.consensus.chain._INVALID_MAX", 1)
    genesis, _, state = idle.genesis()
    blocks = [idle.block(genesis, state, 1, proposer=proposer).block for proposer in (1, 2)]
    for block in blocks:
        spoiled = replace(block, state_hash=bytes(32))
        chain.park_proposal(Parked(spoiled, None, None, False, MemberIndex(3)))
        advance(chain, results)
    assert [chain.knows(block.id) for block in blocks] == [True, False]


def test_what_has_come_or_is_waited_for_no_more_is_asked_for_no_more(idle, chain, results):
    batches = [idle.batch(sequence=sequence) for sequence in (0, 1)]
    (one,) = idle.chain([1], batches=[batches])
    chain.park_proposal(proposal(idle, one))
    assert wants(idle, chain)[1] == {batch.digest for batch in batches}
    chain.add_batch(pooled(idle, batches[0]))
    assert batches[0].digest not in chain.batches_wanted
    chain.forget(Round(2), results)
    chain.update_wants(certified=idle.genesis()[1], walk=True, now_ms=idle.now_ms)
    assert len(chain.batches_wanted) == 0


@pytest.mark.parametrize("is_jump", [False, True])
def test_an_offer_that_a_commit_has_overtaken_is_asked_for_no_more(idle, chain, results, is_jump):
    fence = idle.batch(sequence=0, incarnation=2)
    chain.add_batch(pooled(idle, fence))
    one, two = idle.chain([1, 2], batches=[[fence]])
    chain.park_proposal(proposal(idle, one))
    advance(chain, results)
    (late,) = refs(idle, 3)
    chain.offer([late], MemberIndex(2))
    assert wants(idle, chain)[1] == {late.digest}
    proof = CommitProof(two.block, idle.qc(2, two.block.id))
    if is_jump:
        commit = idle.certificates().commit(proof)
        chain.jump(VerifiedSnapshot(one.block, one.state, commit, SEAL), results)
    else:
        chain.commit(one.block.id, proof=proof, results=results)
    chain.update_wants(certified=idle.genesis()[1], walk=True, now_ms=idle.now_ms)
    assert len(chain.batches_wanted) == 0
    assert [(each.first_index, each.is_jump) for each in results.commits] == [(0, is_jump)]


def test_a_parent_that_a_full_tree_has_let_go_of_is_asked_for_again(idle, results):
    """Its child waits for a batch, and the tree is full when a block of my own comes."""
    chain = made(idle, Limits(tree_blocks_max=3))
    genesis, _, state = idle.genesis()
    kept, gone = (idle.block(genesis, state, 1, proposer=proposer) for proposer in (1, 2))
    for verified in (kept, gone):
        chain.park_proposal(proposal(idle, verified))
    advance(chain, results)
    child = idle.block(gone.block, gone.state, 2, batches=[idle.batch()])
    chain.park_certified(child.block, source=MemberIndex(3))
    assert wants(idle, chain)[0] == set()
    own = idle.block(kept.block, kept.state, 2)
    assert chain.insert_own(own, keep=kept.block.id).block is own.block
    chain.update_wants(certified=idle.genesis()[1], walk=True, now_ms=idle.now_ms)
    assert set(chain.blocks_wanted._wants) == {gone.block.id}


def test_what_gives_way_is_told_and_leaves_the_disk_if_it_was_there(idle, results):
    chain = made(idle, TIGHT)
    waiting = [idle.batch(sequence=sequence) for sequence in (1, 2, 3)]
    for batch in (*waiting, idle.batch(sequence=0, incarnation=2)):
        assert chain.add_waiting(pooled(idle, batch), results)
    chain.pool.mark(BatchDigest(waiting[2].digest), is_durable=True)
    assert not chain.add_waiting(pooled(idle, idle.batch(sequence=3, records=1)), results)
    assert chain.add_waiting(pooled(idle, idle.batch(sequence=0)), results)
    assert [outcome.id for outcome in results.outcomes] == [(1, 2, 0)]
    assert results.batches_dropped == []
    assert chain.add_waiting(pooled(idle, idle.batch(sequence=0, records=1)), results)
    assert [outcome.id for outcome in results.outcomes] == [(1, 2, 0), (1, 1, 3)]
    assert results.batches_dropped == [waiting[2].digest]


def test_without_news_nothing_is_looked_at_again(idle, chain, results):
    """Each look costs a walk over all that is parked, many times a second."""
    _, two = idle.chain([1, 2])
    chain.park_proposal(proposal(idle, two))
    chain.update_wants(certified=idle.genesis()[1], walk=True, now_ms=idle.now_ms)
    assert two.block.parent_id in chain.blocks_wanted
    chain.blocks_wanted.done(two.block.parent_id)
    chain.update_wants(certified=idle.genesis()[1], walk=True, now_ms=idle.now_ms)
    assert len(chain.blocks_wanted) == 0
    chain.parked.all = pytest.fail
    assert advance(chain, results) == []
    assert BlockId(two.block.id) not in chain.blocks_wanted
