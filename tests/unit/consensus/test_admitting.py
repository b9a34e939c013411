"""What is decided by a batch's number costs neither its reading nor its hashing."""

from dataclasses import replace

import pytest

from heptad.consensus.limits import Limits
from heptad.consensus.messages import BatchesReply, BatchOffer
from heptad.consensus.pool import BatchReader
from heptad.consensus.ready import BatchVerdict
from heptad.model.batch import encode_batch, signed


@pytest.fixture
def read(monkeypatch):
    """The encoded batches that replicas have read in full, in order."""
    seen = []
    decode = BatchReader.decode

    def reading(self, encoded):
        seen.append(encoded)
        return decode(self, encoded)

    monkeypatch.setattr(BatchReader, "decode", reading)
    return seen


def last_verdict(world, index=3):
    return world.replicas[index].outcomes[-1].verdict


def test_a_batch_that_waits_here_already_is_not_read_again(world, read):
    for _ in range(3):
        world.submit(world.batch(sequence=1), to=[3])
    assert len(read) == 1
    assert last_verdict(world) is BatchVerdict.ACCEPTED


def test_a_pruned_copy_of_a_batch_that_waits_is_refused(world):
    """Its digest is the same, and a validator that lost its sealed half must hear of it."""
    whole = world.batch(sequence=1)
    world.submit(whole, to=[3])
    world.submit(replace(whole, sealed=None), to=[3])
    assert last_verdict(world) is BatchVerdict.INVALID
    assert "sealed half" in world.replicas[3].outcomes[-1].detail


def test_a_committed_batch_that_is_sent_again_is_not_read(world, read):
    world.submit(world.batch())
    world.run()
    read.clear()
    world.submit(world.batch(), to=[3])
    assert read == []
    assert last_verdict(world) is BatchVerdict.COMMITTED


def test_a_batch_for_which_there_is_no_room_is_not_read(make_world, read):
    world = make_world(limits=Limits(pool_batches_max_per_validator=2)).start()
    for sequence in (1, 2, 3):
        world.submit(world.batch(sequence=sequence), to=[3])
    assert len(read) == 1
    assert last_verdict(world) is BatchVerdict.OVERLOADED


def test_other_bytes_under_a_number_that_waits_are_read_and_judged(world, read):
    batch = world.batch(sequence=1)
    world.submit(batch, to=[3])
    world.submit(signed(world.batch(sequence=1, records=2), bytes(64)), to=[3])
    assert len(read) == 2
    assert last_verdict(world) is BatchVerdict.INVALID
    world.submit(signed(batch, bytes(64)), to=[3])
    assert last_verdict(world) is BatchVerdict.ACCEPTED, "the digest waits, its signature was good"


def test_an_answer_that_the_commit_has_overtaken_is_nobodys_fault(world):
    world.run()
    batch = world.batch()
    ref = world.chain([1], batches=[[batch]])[0].block.batches[0]
    world.inject(5, 3, BatchOffer((ref,)))
    world.submit(batch)
    world.run()
    world.inject(5, 3, BatchesReply((encode_batch(batch),)))
    assert world.replicas[3].named("message_refused") == []


def test_a_fetched_batch_that_has_come_meanwhile_is_not_read_again(world, read):
    world.submit(world.batch(sequence=1), to=[3])
    world.inject(5, 3, BatchesReply((encode_batch(world.batch(sequence=1)),)))
    assert len(read) == 1
    assert world.replicas[3].named("message_refused") == []
