"""What one authenticated peer can make the others fetch, or read, without paying for it."""

from dataclasses import replace

from heptad.consensus.codec import new_block
from heptad.consensus.messages import (
    BatchesReply,
    BatchOffer,
    ChainReply,
    Proposal,
    encode_message,
)
from heptad.model.batch import encode_batch

EVIL = 5
VICTIM = 3


def core_of(world, index=VICTIM):
    return world.replicas[index].driver._core


def test_an_answer_with_what_is_here_already_is_not_free(world):
    """Each byte of it is read, and nobody had to ask for it."""
    batch = world.batch(records=900)
    world.submit(batch, to=[VICTIM])
    reply = BatchesReply((encode_batch(batch),) * 8)
    account = core_of(world)._parts.peers._accounts[EVIL]
    world.inject(EVIL, VICTIM, reply)
    before_us = account.work_us
    world.inject(EVIL, VICTIM, reply)
    assert before_us - account.work_us >= len(encode_message(reply)) >> 8


def test_nobody_fetches_what_a_proposal_cannot_hold(world):
    """Members would fetch committed batches from each other until none of them is heard any more.

    (A block on a chain in which they are not committed could have them: there is no such chain.)
    """
    batches = [world.batch(sequence=sequence) for sequence in range(3)]
    for batch in batches:
        world.submit(batch)
        world.run()
    core = core_of(world)
    tip = core._parts.chain.tree.get(core._parts.rounds.high_qc.qc.block_id)
    valid = world.block(
        tip.block,
        tip.state,
        tip.block.round + 1,
        justify=core._parts.rounds.high_qc.qc,
        time_ms=world.now_ms,
        batches=[world.batch(sequence=3)],
    ).block
    committed = [ref for each in world.replicas[0].commits for ref in each.block.batches]
    too_large = [replace(valid.batches[0], size_bytes=(1 << 25) + 1)]
    for refs in (committed, too_large):
        block = with_batches(valid, refs)
        signature = world.vote(0, block.round, block.id).signature
        world.inject(0, VICTIM, Proposal(block, signature))
        assert not core._parts.chain.batches_wanted._wants
        assert core._parts.chain.parked.get(block.id) is None


def with_batches(block, refs):
    """The same header with other batches, encoded anew."""
    names = [
        "epoch",
        "height",
        "proposer",
        "time_ms",
        "justify",
        "tc",
        "control",
        "head",
        "state_hash",
    ]
    fields = {name: getattr(block, name) for name in names} | {"round_": block.round}
    return new_block(**fields, batches=tuple(refs))


def test_an_offer_of_what_nobody_has_ends_no_chunk_that_is_being_applied(world):
    """It looked as if the chunk's batches were gone, and whoever had sent it as if he were silent.

    One peer makes as many such offers as it likes; all others are asked for each in vain.
    """
    world.crash(VICTIM)
    for sequence in range(60):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=40)
    world.drop = lambda source, target, _: VICTIM in (source, target)
    world.restart(VICTIM)
    ref = world.chain([1], batches=[[world.batch(validator=2)]])[0].block.batches[0]
    world.inject(EVIL, VICTIM, BatchOffer((replace(ref, digest=b"?" * 32),)))
    parts = core_of(world)._parts
    while parts.chain.batches_wanted.asked(b"?" * 32) < 2 * len(parts.others):
        world.run(for_ms=50)
    world.drop = lambda _source, _target, message: isinstance(message, BatchesReply)
    world.inject(0, VICTIM, core_of(world, 0)._parts.rounds.message())
    world.run(until=lambda: any(to == VICTIM and type(m) is ChainReply for *_, to, m in world.sent))
    world.run(for_ms=10)
    assert parts.sync.chunk is not None
