"""Known bugs of this family, 1 and 3 to 7: what a crash must not make a replica forget.

(2, syncing file and directory, is about the replica's real store and tested there.)
"""

import pytest

from heptad.consensus.errors import RefusedError
from heptad.consensus.events import BatchReceived
from heptad.consensus.kernel.record import decode_record
from heptad.consensus.limits import Limits
from heptad.consensus.messages import BlocksReply, Certificates, Proposal
from heptad.consensus.objects import Timeout, Vote
from heptad.model.batch import encode_batch
from heptad.model.ids import MemberIndex, Round

ORIGIN = "cell.example/log"


def sent(world, kind, source):
    return [m for _, origin, _, m in world.sent if isinstance(m, kind) and origin == source]


def stored_record(world, index):
    encoded = world.replicas[index].store.record
    return decode_record(encoded, origin=ORIGIN, member=MemberIndex(index))


class Stepped:
    """A driver's wave split open: what is on disk when something leaves."""

    def __init__(self, world, index):
        self.record_when_sent = []
        outer = self

        class Outbox:
            def send(self, targets, payload):
                outer.record_when_sent.append(stored_record(world, index))

        world.replicas[index].driver._outbox = Outbox()


def test_bug_01_a_vote_is_durable_before_it_is_sent(world):
    world.run()
    seen = Stepped(world, 3)
    genesis, _, state = world.genesis()
    block = world.block(genesis, state, 1).block
    world.inject(0, 3, Proposal(block, world.vote(0, 1, block.id).signature))
    (record,) = seen.record_when_sent
    assert record.vote.block_id == block.id
    assert world.replicas[3].store.block(block.id) == block.encoded


def test_bug_01_the_batches_of_a_block_are_durable_before_its_vote_is_sent(world):
    world.run()
    batch = world.batch()
    world.submit(batch)
    world.run(for_ms=2)
    for vote in sent(world, Vote, source=3):
        write = next(w for w in world.replicas[3].store.writes if w.blocks)
        assert [block.id for block in write.blocks] == [vote.block_id]
        assert [digest for digest, _ in write.batches] == [batch.digest]
        assert write.record is not None


def test_bug_01_a_timeout_is_durable_before_it_is_sent(world):
    world.run()
    world.crash(0)
    world.submit(world.batch())
    seen = Stepped(world, 3)
    world.run(until=lambda: stored_record(world, 3).round_timed_out == 1)
    assert seen.record_when_sent[-1].timeout.round == 1
    assert all(record.round_timed_out == 0 for record in seen.record_when_sent[:-1])


def test_bug_01_a_proposal_is_durable_before_it_is_sent(world):
    world.run()
    seen = Stepped(world, 0)
    world.submit(world.batch(), to=[0])
    (record,) = seen.record_when_sent
    header, vote = record.proposal
    assert record.round_proposed == record.round_voted == 1
    assert world.replicas[0].store.block(vote.block_id) == header


def test_bug_03_the_round_after_a_restart_follows_the_highest_certificate(world):
    """Not round 1, not the last round voted: max(high_qc, highest_tc) + 1."""
    world.crash(1, 2)
    for sequence in range(3):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=200)
    world.crash(0)
    world.submit(world.batch(sequence=3))
    world.run(for_ms=5_000)
    for index in range(3, 7):
        record = stored_record(world, index)
        highest_tc = record.highest_tc.round if record.highest_tc else 0
        world.drop = lambda *_: True
        world.crash(index)
        world.restart(index)
        status = world.replicas[index].driver.status()
        assert status.round == max(record.high_qc.round, highest_tc) + 1
        assert status.round > 1


def test_bug_03_a_round_entered_by_a_tc_is_not_forgotten(world):
    world.run()
    world.crash(0, 2)
    world.submit(world.batch())
    world.run(until=lambda: stored_record(world, 3).round_voted >= 3)
    world.drop = lambda *_: True
    record = stored_record(world, 3)
    world.crash(3)
    world.restart(3)
    assert record.highest_tc.round >= 2
    assert world.replicas[3].driver.status().highest_tc_round == record.highest_tc.round
    assert world.replicas[3].driver.status().round > record.highest_tc.round


def test_bug_04_a_restart_sends_the_identical_vote_again(world):
    world.run()
    world.submit(world.batch())
    world.run(for_ms=1)
    (before,) = sent(world, Vote, source=3)
    world.crash(3)
    world.sent.clear()
    world.restart(3)
    assert sent(world, Vote, source=3) == [before]
    assert len(world.vote_keys[3].signed) == 1


def test_bug_04_a_restart_sends_the_identical_proposal_again(world):
    world.run()
    world.submit(world.batch())
    (before, *_) = sent(world, Proposal, source=0)
    world.crash(0)
    world.sent.clear()
    world.restart(0)
    world.submit(world.batch(), to=[0])
    after = sent(world, Proposal, source=0)
    assert len(after) == 6
    assert {(m.block.encoded, m.signature) for m in after} == {
        (before.block.encoded, before.signature)
    }
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)


def test_bug_04_a_restart_sends_the_identical_timeout_again(world):
    world.run()
    world.crash(0, 1, 2)
    world.submit(world.batch())
    world.run(until=lambda: bool(sent(world, Timeout, source=3)))
    before = sent(world, Timeout, source=3)[0]
    world.crash(3)
    world.sent.clear()
    world.restart(3)
    assert {m.encoded for m in sent(world, Timeout, source=3)} == {before.encoded}


def test_bug_04_a_leader_that_restarts_still_counts_its_own_vote(world):
    """Two are down, so the five that are left need each vote, the leader's from before too."""
    world.run()
    world.crash(5, 6)
    world.submit(world.batch())
    world.crash(0)
    world.restart(0)
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.live())
    assert not any(isinstance(m, Timeout) for _, _, _, m in world.sent)


def test_bug_04_neither_vote_nor_proposal_is_sent_again_once_the_round_is_timed_out(world):
    world.run()
    world.drop = lambda source, target, m: isinstance(m, Vote | Timeout)
    world.submit(world.batch())
    world.run(until=lambda: all(sent(world, Timeout, source=index) for index in range(7)))
    for index in range(7):
        world.crash(index)
        world.sent.clear()
        world.restart(index)
        assert sent(world, Timeout, source=index)
        assert not sent(world, Vote, source=index)
        assert not sent(world, Proposal, source=index)


def test_bug_05_all_safety_fields_are_one_value_in_one_write(world):
    world.submit(world.batch())
    world.run()
    for replica in world.replicas:
        for write in replica.store.writes:
            assert write.record is not None or not (write.blocks or write.commits)
        voted = [stored for stored in replica.store.writes if stored.blocks]
        for write in voted:
            record = decode_record(write.record, origin=ORIGIN, member=replica.index)
            newest = write.blocks[-1]
            assert record.round_voted >= newest.round
            assert record.high_qc.round >= newest.justify.round


def test_bug_05_no_commit_is_written_without_the_certificate_that_commits_it(world):
    """Under load a leader commits before its next proposal is due: it has nothing to sign then."""
    for sequence in range(8):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=10)
    unsigned = 0
    for replica in world.replicas:
        for write in (each for each in replica.store.writes if each.commits):
            record = decode_record(write.record, origin=ORIGIN, member=replica.index)
            assert record.high_qc.round > write.commits[-1].block.round
            unsigned += not write.blocks
    assert unsigned


def test_bug_05_a_failed_write_stops_the_replica_and_lets_nothing_out(world):
    world.run()
    world.sent.clear()
    world.replicas[0].store.fails = True
    payload = encode_batch(world.batch())
    with pytest.raises(OSError, match="disk failed"):
        world.deliver(0, BatchReceived(1, payload))
    assert world.sent == []
    world.replicas[0].store.fails = False
    with pytest.raises(AssertionError, match="must stop"):
        world.deliver(0, BatchReceived(1, payload))
    world.restart(0)
    world.deliver(0, BatchReceived(1, payload))
    world.run()
    assert world.replicas[0].log() == [(1, 1, 0)]


@pytest.mark.parametrize("round_", [1, 2])
def test_bug_06_the_guard_against_signing_twice_holds_at_the_very_round(make_world, round_):
    """`<` where `<=` belongs lets a replica sign two blocks of the round it voted in last."""
    world = make_world()
    genesis, _, state = world.genesis()
    kernel = world.kernel()
    parent, after = genesis, state
    for each in range(1, round_):
        verified = world.block(parent, after, each)
        kernel.vote(verified)
        parent, after = verified.block, verified.state
    kernel.propose(world.block(parent, after, round_))
    rival = world.block(parent, after, round_, time_ms=world.now_ms + 1)
    with pytest.raises(RefusedError):
        kernel.vote(rival)
    with pytest.raises(RefusedError):
        kernel.propose(rival)
    kernel.timeout(Round(round_))
    with pytest.raises(RefusedError):
        kernel.vote(rival)


def test_bug_06_the_guard_holds_across_a_restart(world):
    world.run()
    genesis, _, state = world.genesis()
    first = world.block(genesis, state, 1).block
    second = world.block(genesis, state, 1, time_ms=world.now_ms + 1).block
    world.inject(0, 3, Proposal(first, world.vote(0, 1, first.id).signature))
    world.crash(3)
    world.restart(3)
    world.sent.clear()
    world.inject(0, 3, Proposal(second, world.vote(0, 1, second.id).signature))
    assert sent(world, Vote, source=3) == []
    assert "round_voted 1" in world.replicas[3].named("vote_refused")[0]["reason"]


def test_bug_07_even_a_proposal_that_could_be_checked_gets_no_vote_while_catching_up(make_world):
    """Its parent is in the tree, but the replica knows of a certified block far above it."""
    world = make_world(limits=Limits(chain_gap_min=2)).start()
    world.run()
    world.drop = lambda *_: True
    made = world.chain([7, 14, 15, 16, 17, 18])
    chain = [each.block for each in made]
    for block in chain[:2]:
        world.inject(0, 6, Proposal(block, world.vote(0, block.round, block.id).signature))
    world.inject(1, 6, Certificates(world.qc(18, chain[-1].id), None))
    world.inject(1, 6, BlocksReply((chain[-1],)))
    signed = len(world.vote_keys[6].signed)
    high_qc = world.qc(14, chain[1].id)
    tc = world.tc(20, dict.fromkeys(range(5), 14), high_qc)
    block = world.block(chain[1], made[1].state, 21, justify=high_qc, tc=tc).block

    world.inject(0, 6, Proposal(block, world.vote(0, 21, block.id).signature))

    assert "while catching up" in world.replicas[6].named("vote_refused")[-1]["reason"]
    assert len(world.vote_keys[6].signed) == signed


def test_bug_07_no_votes_while_catching_up(world):
    """A replica that is fetching the committed chain votes for nothing until it is done."""
    world.crash(6)
    for sequence in range(60):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=40)
    signed = len(world.vote_keys[6].signed)
    world.restart(6)
    was_catching_up = False
    for sequence in range(60, 90):
        world.submit(world.batch(sequence=sequence))
        for _ in range(10):
            world.run(for_ms=1)
            if world.replicas[6].driver.status().is_catching_up:
                was_catching_up = True
                assert len(world.vote_keys[6].signed) == signed
    world.run()
    assert was_catching_up
    assert len(world.vote_keys[6].signed) > signed
    assert world.replicas[6].log() == world.replicas[0].log()
