"""Leaders and validators that conspire to fill the memory of others: what may wait has an end."""

import pytest

from heptad.consensus.limits import Limits
from heptad.consensus.messages import (
    BatchesReply,
    BlocksReply,
    Certificates,
    FetchBatches,
    Proposal,
)
from heptad.model.batch import encode_batch

VICTIM = 3
SHARE = 2_000
EXTRA = 40_000
LIMITS = Limits(
    pool_bytes_max_per_validator=SHARE,
    extra_bytes_max_per_leader=EXTRA,
    timeout_ms_first=60_000,
    timeout_ms_max=60_000,
)


@pytest.fixture
def alone(make_world):
    """Member 3, who hears nobody but whom a test lets speak."""
    world = make_world(limits=LIMITS).start()
    world.drop = lambda *_: True
    return world


def parts_of(world):
    return world.replicas[VICTIM].driver._core._parts


def rivals(world, count, *, salt):
    """Batches of validator 1 under the numbers from 0 on, unlike all others."""
    return [world.batch(sequence=each, records=20 + salt) for each in range(count)]


def propose(world, round_, batches):
    """The leader of a round that a time-out has entered proposes these on the genesis block."""
    genesis, genesis_qc, state = world.genesis()
    leader = round_ % 7
    others = [member for member in range(6) if member != VICTIM]
    tc = world.tc(round_ - 1, dict.fromkeys(others, 0), genesis_qc)
    block = world.block(genesis, state, round_, tc=tc, proposer=leader, batches=batches).block
    signature = world.vote(leader, round_, block.id).signature
    world.inject(leader, VICTIM, Proposal(block, signature))
    return block


def give(world, batches, sender=6):
    world.run(for_ms=LIMITS.fetch_after_ms + 5)  # until it asks for them
    for batch in batches:
        world.inject(sender, VICTIM, BatchesReply((encode_batch(batch),)))


def fill(world, rounds, *, but_one):
    """In each round a leader names batches that nobody else has made; how much then waits.

    With `but_one` of them never given, the block stays parked.
    """
    sizes = []
    for round_ in rounds:
        batches = rivals(world, 5, salt=round_)
        propose(world, round_, batches)
        give(world, batches[1:] if but_one else batches)
        sizes.append(parts_of(world).chain.pool.size_bytes)
    return sizes


def test_what_only_past_proposals_have_named_goes_beyond_the_share(alone):
    sizes = fill(alone, range(2, 30), but_one=True)
    assert max(sizes) > SHARE, "or it tests nothing"
    assert max(sizes) <= SHARE + 2 * EXTRA


def test_leaders_that_get_no_certificate_have_room_for_a_block_each_and_no_more(alone):
    """Their blocks are good, and stay in the tree until something is committed."""
    sizes = fill(alone, range(2, 60), but_one=False)
    assert max(sizes) <= SHARE + 7 * EXTRA
    refused = alone.replicas[VICTIM].named("vote_refused")
    assert any("no room for batch" in each["reason"] for each in refused)


def test_a_leader_that_has_filled_its_account_takes_no_room_of_another(alone):
    evil = [round_ for round_ in range(2, 60) if round_ % 7 == 5]
    fill(alone, evil, but_one=False)
    assert alone.replicas[VICTIM].named("vote_refused")
    batches = rivals(alone, 5, salt=1)
    honest = propose(alone, 62, batches)
    give(alone, batches)
    assert parts_of(alone).chain.tree.get(honest.id) is not None
    assert parts_of(alone).kernel.record.vote.block_id == honest.id


def test_what_a_quorum_has_certified_is_taken_in_whoever_has_filled_what(alone):
    evil = [round_ for round_ in range(2, 60) if round_ % 7 == 5]
    fill(alone, evil, but_one=False)
    batches = rivals(alone, 5, salt=1)
    block = propose(alone, 61, batches)
    give(alone, batches)
    chain = parts_of(alone).chain
    assert chain.tree.get(block.id) is None
    start = len(alone.sent)
    alone.inject(0, VICTIM, Certificates(alone.qc(block.round, block.id), None))
    alone.inject(0, VICTIM, BlocksReply((block,)))
    asked = [m for _, source, _, m in alone.sent[start:] if source == VICTIM]
    assert any(isinstance(message, FetchBatches) for message in asked)
    for batch in batches:
        alone.inject(0, VICTIM, BatchesReply((encode_batch(batch),)))
    assert chain.tree.get(block.id) is not None
