"""Batches: what validators are told, how batches spread, and what happens to those left out."""

import pytest

from heptad.consensus.events import BatchReceived
from heptad.consensus.evidence import of_batches
from heptad.consensus.limits import Limits
from heptad.consensus.messages import BatchesReply, BatchOffer, FetchBatches, Proposal
from heptad.consensus.objects import Timeout, Vote
from heptad.consensus.ready import BatchVerdict
from heptad.model.batch import encode_batch, signed


def kinds(world):
    return {type(message) for _, _, _, message in world.sent}


def verdicts(replica):
    return [outcome.verdict for outcome in replica.outcomes]


def test_a_validator_learns_what_became_of_each_batch(make_world):
    world = make_world(limits=Limits(pool_batches_max_per_validator=2)).start()
    replica = world.replicas[3]
    world.submit(world.batch(sequence=0))
    world.submit(world.batch(sequence=0))
    world.run()
    world.submit(world.batch(sequence=0))
    world.submit(world.batch(sequence=3))
    world.submit(world.batch(sequence=0, incarnation=2))
    world.run()
    world.submit(world.batch(sequence=1, incarnation=1))
    assert verdicts(replica) == [
        BatchVerdict.ACCEPTED,
        BatchVerdict.ACCEPTED,
        BatchVerdict.COMMITTED,
        BatchVerdict.OVERLOADED,
        BatchVerdict.ACCEPTED,
        BatchVerdict.STALE,
    ]
    assert replica.log() == [(1, 1, 0), (1, 2, 0)]


def test_what_is_no_batch_of_that_validator_is_answered_invalid(world):
    replica = world.replicas[3]
    batch = world.batch(validator=1)
    for validator, payload in (
        (1, b"garbage"),
        (2, encode_batch(batch)),
        (1, encode_batch(signed(batch, bytes(64)))),
        (1, encode_batch(batch.pruned())),
    ):
        world.deliver(3, BatchReceived(validator, payload))
    assert verdicts(replica) == [BatchVerdict.INVALID] * 4
    assert replica.driver.status().batches_pending == 0


def test_a_second_batch_under_one_number_is_evidence_and_is_not_taken(world):
    first, second = world.batch(records=1), world.batch(records=2)
    world.submit(first, to=[3])
    world.submit(second, to=[3])
    (fact,) = world.replicas[3].named("evidence")
    assert (fact["offence"], fact["validator"]) == ("batches", 1)
    assert fact["proof"] == of_batches(first, second, origin=world.cell.origin).encoded
    assert verdicts(world.replicas[3]) == [BatchVerdict.ACCEPTED, BatchVerdict.INVALID]


def test_a_validator_that_sends_two_batches_under_one_number_stops_nobody(world):
    first, second = world.batch(records=1), world.batch(records=2)
    world.submit(first, to=[0, 1, 2])
    world.submit(second, to=[3, 4, 5, 6])
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)
    world.assert_agreement()
    assert Timeout not in kinds(world)


def test_an_empty_batch_fences_the_incarnation_before(world):
    world.submit(world.batch(sequence=0, incarnation=1))
    world.run()
    world.submit(world.batch(sequence=0, incarnation=2, records=0))
    world.run()
    world.submit(world.batch(sequence=1, incarnation=1))
    world.submit(world.batch(sequence=1, incarnation=2))
    world.run()
    assert world.replicas[0].log() == [(1, 1, 0), (1, 2, 0), (1, 2, 1)]


def test_a_voter_that_lacks_a_batch_fetches_it_from_the_proposer(world):
    world.run()
    world.submit(world.batch(), to=[0, 1, 2])
    world.run()
    asked = [(source, target) for _, source, target, m in world.sent if isinstance(m, FetchBatches)]
    assert sorted(asked) == [(3, 0), (4, 0), (5, 0), (6, 0)]
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)


def test_a_voter_asks_the_proposer_first_whoever_that_is(world):
    world.run()
    genesis, genesis_qc, state = world.genesis()
    tc = world.tc(1, dict.fromkeys(range(5), 0), genesis_qc)
    block = world.block(genesis, state, 2, tc=tc, proposer=2, batches=[world.batch()]).block
    world.inject(2, 6, Proposal(block, world.vote(2, 2, block.id).signature))
    world.run(for_ms=world.limits.fetch_after_ms)
    asked = [target for _, source, target, m in world.sent if isinstance(m, FetchBatches)]
    assert asked == [2]


def test_a_batch_that_is_only_late_is_not_asked_for(world):
    """A proposal overtakes a batch by less than the time that voters wait for it."""
    world.run()
    batch = world.batch()
    world.submit(batch, to=[0, 1, 2])
    world.run(for_ms=world.limits.fetch_after_ms - 1)
    world.submit(batch, to=[3, 4, 5, 6])
    world.run()
    assert FetchBatches not in kinds(world)
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)


def test_a_voter_asks_others_if_the_proposer_does_not_answer(world):
    world.drop = lambda source, target, m: isinstance(m, BatchesReply) and source == 0
    world.submit(world.batch(), to=[0, 1, 2])
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)


def test_a_batch_that_nobody_asked_for_is_refused(world):
    world.run()
    world.inject(5, 3, BatchesReply((encode_batch(world.batch()),)))
    assert "was not asked for" in world.replicas[3].named("message_refused")[0]["reason"]
    assert world.replicas[3].driver.status().batches_pending == 0


def test_while_one_batch_is_asked_for_another_is_refused(world):
    world.run()
    genesis, _, state = world.genesis()
    wanted, other = world.batch(), world.batch(validator=2)
    block = world.block(genesis, state, 1, batches=[wanted]).block
    world.inject(0, 3, Proposal(block, world.vote(0, 1, block.id).signature))
    world.inject(5, 3, BatchesReply((encode_batch(other),)))
    assert "was not asked for" in world.replicas[3].named("message_refused")[0]["reason"]
    assert world.replicas[3].driver.status().batches_pending == 0


def test_a_batch_that_waits_is_offered_before_its_holder_times_out(world):
    """A validator that sends to one replica only must not stall a round."""
    world.run()
    world.submit(world.batch(), to=[5])
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)
    assert BatchOffer in kinds(world)
    assert Timeout not in kinds(world)


def test_no_timer_runs_for_a_batch_that_was_not_offered_yet(world):
    """The leader is down and one member holds a batch: it counts from its offer on."""
    world.run()
    world.crash(0)
    began_ms = world.now_ms
    world.submit(world.batch(), to=[3])
    world.run(until=lambda: Timeout in kinds(world))
    limits = world.limits
    assert world.now_ms - began_ms == limits.relay_after_ms + limits.timeout_ms_first


def test_a_proposal_whose_batches_nobody_gives_is_given_up_on(world):
    world.run()
    genesis, _, state = world.genesis()
    block = world.block(genesis, state, 1, batches=[world.batch()]).block
    world.inject(0, 3, Proposal(block, world.vote(0, 1, block.id).signature))
    world.run(for_ms=world.limits.timeout_ms_first + 1)
    assert {source for _, source, _, m in world.sent if isinstance(m, Timeout)} == {3}


def test_a_batch_in_a_block_is_not_offered(world):
    world.submit(world.batch())
    world.run()
    assert BatchOffer not in kinds(world)


def test_an_offer_that_is_lost_is_made_again(world):
    lost = []

    def drop(source, target, message):
        if isinstance(message, BatchOffer) and len(lost) < 6:
            lost.append(target)
            return True
        return False

    world.drop = drop
    world.submit(world.batch(), to=[5])
    world.run()
    assert len(lost) == 6
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)


def test_an_offer_of_what_nobody_has_is_forgotten(world):
    world.run()
    ref = world.chain([1], batches=[[world.batch()]])[0].block.batches[0]
    world.inject(5, 3, BatchOffer((ref,)))
    world.run(for_ms=60_000)
    assert world.next_ms() is None


def test_a_peer_cannot_have_more_than_its_share_of_offers_fetched(world):
    world.run()
    refs = tuple(
        world.chain([1], batches=[[world.batch(incarnation=number)]])[0].block.batches[0]
        for number in range(1, 201)
    )
    for start in range(0, 200, 50):
        world.inject(5, 3, BatchOffer(refs[start : start + 50]))
    asked = [len(m.digests) for _, _, _, m in world.sent if isinstance(m, FetchBatches)]
    assert sum(asked) == 64


def test_a_leader_that_leaves_out_a_batch_is_refused_until_its_term_ends(make_world):
    """Member 0 goes on with validator 1's batches and never hears of validator 2's.

    Its term is long, so only its being refused brings another leader.
    """
    world = make_world(limits=Limits(term_rounds=10_000)).start()

    def hides(source, target, message):
        return target == 0 and isinstance(message, BatchOffer)

    world.drop = hides
    world.run()
    world.submit(world.batch(validator=2), to=range(1, 7))
    for sequence in range(60):
        world.submit(world.batch(validator=1, sequence=sequence))
        world.run(for_ms=100)
    assert all((2, 1, 0) in replica.log() for replica in world.replicas)
    refused = [fact for replica in world.replicas for fact in replica.named("leader_refused")]
    assert {fact["leader"] for fact in refused} == {0}
    assert min(fact["waited_ms"] for fact in refused) >= world.limits.censored_after_ms
    proposers = {m.block.proposer for _, _, _, m in world.sent if isinstance(m, Proposal)}
    assert proposers > {0}


def test_a_leader_that_is_only_down_is_timed_out_and_not_judged(make_world):
    """Nothing it left out can be held against a leader whose rounds do not go on."""
    world = make_world(limits=Limits(timeout_ms_first=5_000)).start()
    world.run()
    world.crash(0)
    start_ms = world.now_ms
    world.submit(world.batch())
    world.run(until=lambda: any(isinstance(m, Timeout) for _, _, _, m in world.sent))
    assert world.now_ms - start_ms >= 5_000
    assert all(replica.named("leader_refused") == [] for replica in world.replicas)


def test_members_without_work_join_f_plus_one_that_give_up(world):
    """Three have the batch and cannot offer it: the other four follow them into the next round."""
    world.run()
    world.crash(0)
    world.drop = lambda source, target, m: isinstance(m, BatchOffer)
    world.submit(world.batch(), to=[2, 3, 4])
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.live())


def test_f_members_that_give_up_move_nobody(world):
    world.run()
    world.crash(0)
    world.drop = lambda source, target, m: isinstance(m, BatchOffer)
    world.submit(world.batch(), to=[2, 3])
    world.run(for_ms=20_000)
    assert {source for _, source, _, m in world.sent if isinstance(m, Timeout)} == {2, 3}
    assert {replica.driver.status().round for replica in world.live()} == {1}


def test_a_refused_leader_gets_no_vote_until_its_term_ends(make_world):
    world = make_world(limits=Limits(term_rounds=8)).start()
    world.run()
    world.replicas[3].driver._core._voting.refuse(0)
    for sequence in range(8):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=50)
    voted = [m.round for _, source, _, m in world.sent if isinstance(m, Vote) and source == 3]
    assert voted
    assert min(voted) == 8
    assert not world.replicas[3].driver._core._voting.is_refused(0)
    assert all(len(replica.log()) == 8 for replica in world.replicas)


def test_a_backlog_that_full_blocks_work_off_is_no_censorship(make_world):
    """Each block takes one batch of forty: the last waits far longer than a censor would be given.

    The leader takes what came before, as anybody would; refusing it would only cost time-outs.
    """
    world = make_world(limits=Limits(block_batches_max=1, censored_after_ms=200)).start()
    for sequence in range(40):
        world.submit(world.batch(sequence=sequence))
    world.run()
    assert all(len(replica.log()) == 40 for replica in world.replicas)
    assert all(replica.named("leader_refused") == [] for replica in world.replicas)
    assert Timeout not in kinds(world)


def test_a_full_block_that_prefers_what_came_much_later_is_no_excuse(make_world):
    """Member 0 fills its blocks with validator 1's batches and never takes validator 2's."""
    world = make_world(limits=Limits(block_batches_max=1, censored_after_ms=400)).start()
    world.drop = lambda source, target, m: target == 0 and isinstance(m, BatchOffer)
    world.run()
    world.submit(world.batch(validator=2), to=range(1, 7))
    for sequence in range(80):
        world.submit(world.batch(validator=1, sequence=sequence))
        world.run(for_ms=20)
    world.run()
    assert world.replicas[3].named("leader_refused")
    assert all((2, 1, 0) in replica.log() for replica in world.replicas)


def test_batches_of_an_abandoned_block_are_proposed_again(world):
    """Member 0 proposes to two members only and dies; its batch is still committed once."""
    world.run()
    world.drop = lambda source, target, m: isinstance(m, Proposal) and source == 0 and target > 2
    world.submit(world.batch())
    world.run(for_ms=3)
    world.crash(0)
    world.drop = lambda *_: False
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.live())


def test_a_proposer_keeps_the_batches_of_its_block_until_they_commit(world):
    """Nobody hears its proposal, and nobody else holds the batch: it is offered after all."""
    world.run()
    world.drop = lambda source, target, m: isinstance(m, Proposal) and m.block.round == 1
    world.submit(world.batch(), to=[0])
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)


def test_what_can_never_commit_any_more_is_dropped_from_the_disk(world):
    """A block that was voted for and abandoned kept its batch; then that is fenced off."""
    world.run()
    world.drop = lambda *_: True
    old, fence = world.batch(), world.batch(incarnation=2, records=0)
    genesis, genesis_qc, state = world.genesis()
    abandoned = world.block(genesis, state, 1, batches=[old])
    tc = world.tc(1, dict.fromkeys(range(5), 0), genesis_qc)
    two = world.block(genesis, state, 2, tc=tc, proposer=2, batches=[fence])
    three = world.block(two.block, two.state, 3, proposer=2)
    four = world.block(three.block, three.state, 4, proposer=2)
    for batch in (old, fence):
        world.submit(batch, to=[6])
    store = world.replicas[6].store

    for verified in (abandoned, two, three, four):
        block = verified.block
        assert old.digest in store.batches or block is abandoned.block
        signature = world.vote(block.proposer, block.round, block.id).signature
        world.inject(block.proposer, 6, Proposal(block, signature))

    assert world.replicas[6].log() == [(1, 2, 0)]
    assert old.digest not in store.batches


@pytest.mark.parametrize("holders", [[1], [3, 4], [1, 2, 3]])
def test_a_batch_at_a_few_is_committed_although_the_leader_is_down(world, holders):
    world.run()
    world.crash(0)
    world.submit(world.batch(), to=holders)
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.live())
