"""Bug 30: sync, and a peer that lies about its height, goes silent, or answers garbage.

f peers do it at once, all along, and each in its way; the replica catches up with the help of the
others, asks the wicked less and less, and believes nothing that it has not checked.
"""

from dataclasses import replace

import pytest

from heptad.consensus.codec import decode_proof
from heptad.consensus.limits import Limits
from heptad.consensus.messages import (
    BatchesReply,
    BlocksReply,
    Certificates,
    ChainReply,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    SnapshotReply,
)
from heptad.consensus.objects import Block
from heptad.model.ids import Height
from heptad.simulation.byzantine import rebuilt

LATE = 6
WICKED = (0, 1)
REPLIES = (BlocksReply, BatchesReply, ChainReply, SnapshotReply)
REQUESTS = (FetchBlocks, FetchBatches, FetchChain)


def load(world, start, stop):
    for sequence in range(start, stop):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=40)


def silent(_world, _message):
    return None


def garbage(_world, message):
    match message:
        case BlocksReply(blocks):
            return BlocksReply((bent(blocks[0]), *blocks[1:]))
        case ChainReply(blocks, proof):
            return ChainReply((*blocks[:-1], bent(blocks[-1])), proof)
        case BatchesReply():
            return BatchesReply((b"garbage",))
        case SnapshotReply():
            return replace(message, state=b"garbage")


def bent(block: Block) -> Block:
    return replace(block, encoded=block.encoded[:-1] + bytes([block.encoded[-1] ^ 1]))


def boasting(world, message):
    """Claims a height that nobody has reached: headers and proofs of blocks that do not exist."""
    match message:
        case BlocksReply(blocks):
            return BlocksReply((higher(blocks[0]), *blocks[1:]))
        case ChainReply(blocks, proof):
            return ChainReply(tuple(map(higher, blocks)), proof)
        case SnapshotReply(proof=proof):
            return replace(message, proof=replace(proof, child=higher(proof.child)))
        case _:
            return message


def higher(block: Block) -> Block:
    return rebuilt(replace(block, height=Height(block.height + 1_000)))


def modest(world, message):
    """Gives next to nothing: of each chunk one block, and none where it can prove none alone."""
    match message:
        case ChainReply(blocks, _):
            stored = world.replicas[2].store.committed(blocks[0].height)
            return ChainReply(blocks[:1], decode_proof(stored.proof)) if stored.proof else None
        case _:
            return message


WAYS = {"silent": silent, "garbage": garbage, "boasting": boasting, "modest": modest}


def beset(world, ways, late=LATE):
    """Members 0 and 1 answer the late one in these two ways, whatever it asks."""

    def twist(source, target, message):
        if target != late or source not in WICKED or not isinstance(message, REPLIES):
            return False
        if getattr(message, "is_twisted", False):
            return False
        twisted = WAYS[ways[source]](world, message)
        if twisted is not None:
            world.inject(source, target, twisted)
        return True

    world.drop = twist


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("is_pruned", [False, True], ids=["by blocks", "by a jump"])
def test_bug_30_a_replica_catches_up_whatever_f_peers_answer(make_world, first, second, is_pruned):
    world = make_world(limits=Limits(reply_blocks_max=8)).start()
    load(world, 0, 2)
    world.crash(LATE)
    load(world, 2, 50)
    if is_pruned:
        for replica in world.replicas[:LATE]:
            replica.store.prune(4)
    beset(world, (first, second))
    world.restart(LATE)
    start_ms = world.now_ms
    world.run(until=lambda: level(world))
    assert level(world)
    assert world.now_ms - start_ms < 10_000
    world.assert_agreement()
    assert bool(world.replicas[LATE].named("jumped")) == is_pruned


def level(world):
    statuses = [replica.driver.status() for replica in (world.replicas[2], world.replicas[LATE])]
    return statuses[0].committed_height == statuses[1].committed_height


@pytest.mark.parametrize("way", ["silent", "garbage", "boasting"])
def test_bug_30_the_wicked_are_asked_far_less_than_the_others(make_world, way):
    world = make_world(limits=Limits(reply_blocks_max=1)).start()
    world.crash(LATE)
    load(world, 0, 60)
    beset(world, (way, way))
    world.restart(LATE)
    world.run(until=lambda: level(world))
    asked = [
        target
        for _, source, target, message in world.sent
        if source == LATE and isinstance(message, REQUESTS)
    ]
    wicked = sum(target in WICKED for target in asked)
    assert len(asked) > 60
    assert wicked < len(asked) / 6, f"{wicked} of {len(asked)}, where fair shares are a third"


def test_bug_30_a_height_that_is_only_claimed_is_not_aimed_at(world):
    """Certificates of blocks far up, signed by nobody, start no catching up."""
    load(world, 0, 3)
    tip = world.replicas[1].commits[-1].block
    boast = world.qc(tip.round + 1_000, bytes(32), voters=range(5))
    forged = replace(
        boast, encoded=boast.encoded[:-64] + bytes(64), votes=(*boast.votes[:-1], (4, bytes(64)))
    )
    world.inject(0, LATE, Certificates(forged, None))
    late = world.replicas[LATE]
    assert "signature" in late.named("message_refused")[-1]["reason"]
    assert not late.driver.status().is_catching_up
    assert late.driver.status().round < 1_000


def test_bug_30_whoever_was_wicked_is_tried_again_later(make_world):
    """Two of the peers that lied have mended their ways, and then they are the only ones up."""
    world = make_world().start()
    world.crash(LATE)
    load(world, 0, 60)
    beset(world, ("garbage", "silent"))
    world.restart(LATE)
    world.run(for_ms=100)
    world.crash(LATE, 2, 3, 4, 5)
    world.drop = lambda *_: False
    world.run(for_ms=200)
    world.restart(LATE)
    world.run(until=lambda: level_with(world, 0))
    assert level_with(world, 0)


def level_with(world, index):
    statuses = [world.replicas[each].driver.status() for each in (index, LATE)]
    return statuses[0].committed_height == statuses[1].committed_height
