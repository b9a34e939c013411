"""Catching up never stands still: a chunk that is here is applied, or one is being asked for."""

import pytest

from heptad.consensus.limits import Limits
from heptad.consensus.messages import BlocksReply, Certificates, ChainReply, FetchBlocks, FetchChain

SMALL_CHUNKS = Limits(chain_gap_min=2, reply_blocks_max=1)


def load(world, start, stop):
    for sequence in range(start, stop):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=40)


def status(world, index):
    return world.replicas[index].driver.status()


def is_level(world, index=6):
    return status(world, index).committed_height == status(world, 0).committed_height


def test_a_chunk_whose_blocks_are_all_in_the_tree_already_is_applied(make_world):
    """Member 6 goes down with the next block to commit in its tree, and it is all of a chunk."""
    world = make_world(limits=SMALL_CHUNKS).start()
    load(world, 0, 2)
    world.drop = lambda source, target, m: isinstance(m, Certificates) and target == 6
    world.submit(world.batch(sequence=2))
    world.run(until=lambda: len(world.replicas[6].store.uncommitted) == 1)
    world.crash(6)
    world.drop = lambda *_: False
    load(world, 3, 20)
    world.restart(6)
    world.run()
    assert [m for _, source, _, m in world.sent if source == 6 and isinstance(m, FetchChain)]
    assert is_level(world)
    assert not status(world, 6).is_catching_up


@pytest.mark.parametrize("lost", [(ChainReply,), (ChainReply, BlocksReply)])
def test_chunks_are_asked_for_again_when_all_peers_were_silent_for_a_while(make_world, lost):
    """Blocks by hash do not help: there are more of them than may be parked."""
    world = make_world(limits=Limits(parked_blocks_max=16)).start()
    world.crash(6)
    load(world, 0, 60)
    world.drop = lambda source, target, m: target == 6 and isinstance(m, lost)
    world.restart(6)
    world.run(for_ms=10_000)
    assert not is_level(world)
    world.drop = lambda *_: False
    world.run()
    assert is_level(world)


def test_something_is_always_asked_for_while_blocks_are_missing(make_world):
    """The committed chain is never given, so it is asked for and given up over and over."""
    world = make_world(limits=Limits(parked_blocks_max=16)).start()
    world.crash(6)
    load(world, 0, 60)
    world.drop = lambda source, target, m: target == 6 and isinstance(m, ChainReply)
    world.restart(6)
    for _ in range(200):
        world.run(for_ms=100)
        assert world.replicas[6].driver.timer_at_ms is not None
    asked = [m for _, source, _, m in world.sent if source == 6 and isinstance(m, FetchBlocks)]
    assert len(asked) < 2_000, "and nothing is asked for in a busy loop"


def test_blocks_are_fetched_by_hash_where_nobody_gives_the_committed_chain(world):
    world.crash(6)
    load(world, 0, 60)
    world.drop = lambda source, target, m: target == 6 and isinstance(m, ChainReply)
    world.restart(6)
    world.run()
    assert is_level(world)


def test_a_second_answer_does_not_replace_the_chunk_that_is_being_applied(world):
    world.crash(6)
    load(world, 0, 60)
    world.restart(6)
    answers = []

    def keep(source, target, message):
        if target == 6 and isinstance(message, ChainReply):
            answers.append((source, message))
        return bool(answers)

    world.drop = keep
    world.run(until=lambda: answers)
    source, chunk = answers[0]
    world.inject(source, 6, chunk)
    world.inject(source, 6, chunk)
    (refused,) = world.replicas[6].named("message_refused")
    assert "not asked for" in refused["reason"]
