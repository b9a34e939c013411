"""A group that works: from a batch to a commit, and back to silence."""

from itertools import pairwise

import pytest

from heptad.consensus.codec import new_timeout
from heptad.consensus.evidence import of_votes
from heptad.consensus.limits import Limits
from heptad.consensus.messages import BlocksReply, Certificates, Proposal, encode_message
from heptad.consensus.objects import Timeout, Vote


def of_kind(world, kind):
    return [(at, source, target, m) for at, source, target, m in world.sent if isinstance(m, kind)]


def proposals(world):
    """Each proposal once: (time, block)."""
    return list({m.block.id: (at, m.block) for at, _, _, m in of_kind(world, Proposal)}.values())


def timeout_of(world, claim):
    """The time-out of round 1 that this claim is part of."""
    return new_timeout(
        epoch=world.cell.epoch,
        round_=1,
        high_qc=world.genesis()[1],
        tc=None,
        fast_vote=b"",
        voter=claim.voter,
        signature=claim.signature,
    )


def load(world, count, every_ms, validator=1):
    for sequence in range(count):
        world.submit(world.batch(validator=validator, sequence=sequence))
        world.run(for_ms=every_ms)


def test_a_batch_commits_on_every_replica(world):
    batch = world.batch()
    world.submit(batch)
    world.run()
    for replica in world.replicas:
        assert replica.log() == [(1, 1, 0)]
        (commit,) = replica.commits
        assert [(ref.digest, index) for ref, index in commit.placed()] == [(batch.digest, 0)]
        assert replica.driver.status().head.size == 3
        assert replica.named("vote_refused") == []


def test_from_idle_a_batch_commits_everywhere_after_five_message_delays(world):
    world.run()
    start_ms = world.now_ms
    world.submit(world.batch())
    world.run(until=lambda: all(replica.commits for replica in world.replicas))
    assert world.now_ms - start_ms == 5


def test_an_idle_group_sends_nothing_and_waits_for_nothing(world):
    world.run()
    load(world, count=3, every_ms=100)
    world.run()
    sent = len(world.sent)

    world.run(for_ms=3_600_000)

    assert world.next_ms() is None
    assert len(world.sent) == sent
    assert all(replica.driver.timer_at_ms is None for replica in world.replicas)


def test_behind_the_last_block_with_batches_comes_one_empty_block(world):
    load(world, count=2, every_ms=200)
    sizes = [len(block.batches) for _, block in proposals(world)]
    assert sizes == [1, 0, 1, 0]


def test_under_load_blocks_with_batches_keep_their_pace_and_take_all_that_arrived(world):
    load(world, count=60, every_ms=2)
    world.run()
    full = [(at, block) for at, block in proposals(world) if block.batches]
    assert all(later[0] - earlier[0] >= 25 for earlier, later in pairwise(full))
    assert len(full) < 10
    assert all(len(replica.log()) == 60 for replica in world.replicas)


def test_under_load_all_commit_as_soon_as_the_leader_can_prove_it(world):
    """A commit is told long before the next proposal, which would carry its certificate too."""
    load(world, count=60, every_ms=1)
    full = [(at, block) for at, block in proposals(world) if block.batches]
    (_, first), (second_at, _), (third_at, _), *_ = full
    told = [at for at, _, _, m in of_kind(world, Certificates) if m.high_qc.round == 2]
    assert first.round == 1
    assert second_at < told[0] < third_at


def test_a_certificate_that_the_next_proposal_will_carry_and_that_commits_nothing_is_kept(world):
    """Under load the others need no message for it: the proposal comes within the pace."""
    world.run()
    world.sent.clear()
    world.submit(world.batch())
    world.submit(world.batch(sequence=1))
    world.run(for_ms=world.limits.pace_ms - 1)
    assert world.replicas[0].driver.status().high_qc_round == 1
    assert of_kind(world, Certificates) == []


def test_from_idle_a_leader_does_not_wait_for_its_pace(world):
    load(world, count=2, every_ms=100)
    first, second = [at for at, block in proposals(world) if block.batches]
    assert second - first == 100


def test_the_pace_counts_from_the_last_block_with_batches_and_not_from_its_flush(world):
    world.run()
    world.submit(world.batch())
    world.run(for_ms=world.limits.pace_ms + 1)
    assert [block.is_empty for _, block in proposals(world)] == [False, True]
    world.submit(world.batch(sequence=1))
    at_ms, block = proposals(world)[-1]
    assert (at_ms, block.is_empty) == (world.now_ms, False)


def test_however_long_a_pace_is_configured_nobody_gives_up_on_a_leader_that_works(make_world):
    world = make_world(limits=Limits(pace_ms=1_000)).start()
    load(world, count=60, every_ms=15)
    world.run(for_ms=5_000)
    assert all(len(replica.log()) == 60 for replica in world.replicas)
    assert [replica.named("round_timed_out") for replica in world.replicas] == [[]] * 7


def test_batches_that_arrive_together_are_proposed_together(world):
    from heptad.consensus.events import BatchReceived
    from heptad.model.batch import encode_batch

    batches = [world.batch(sequence=sequence) for sequence in range(4)]
    for replica in world.replicas:
        world.deliver(replica.index, *(BatchReceived(1, encode_batch(each)) for each in batches))
    world.run()
    assert [len(block.batches) for _, block in proposals(world)] == [4, 0]


def test_proposals_carry_references_and_no_entries(world):
    world.submit(world.batch(records=900))
    world.run()
    for _, _, _, message in of_kind(world, Proposal):
        assert len(encode_message(message)) < 1_500


def test_only_the_next_leader_gets_votes_and_whoever_certifies_last_tells_all(world):
    world.submit(world.batch())
    world.run()
    assert {target for _, _, target, _ in of_kind(world, Vote)} == {0}
    last = of_kind(world, Certificates)[-6:]
    assert [(source, m.high_qc.round) for _, source, _, m in last] == [(0, 2)] * 6


def test_a_working_leader_stays_until_its_term_ends(make_world):
    world = make_world(limits=Limits(term_rounds=8)).start()
    load(world, count=20, every_ms=50)
    world.run()
    leaders = {block.round // 8: set() for _, block in proposals(world)}
    for _, block in proposals(world):
        leaders[block.round // 8].add(block.proposer)
    assert leaders == {term: {term} for term in leaders}
    assert len(leaders) > 3
    assert not of_kind(world, Timeout)
    assert all(len(replica.log()) == 20 for replica in world.replicas)


def test_at_a_terms_end_the_old_leaders_vote_counts_for_the_new_one(make_world):
    """Two of seven are down, so the new leader needs every vote, that in the proposal too."""
    world = make_world(limits=Limits(term_rounds=8)).start()
    world.run()
    world.crash(5, 6)
    load(world, count=5, every_ms=50)
    assert [block.proposer for _, block in proposals(world)][6:9] == [0, 1, 1]
    assert not of_kind(world, Timeout)


def test_at_a_terms_end_votes_go_to_the_next_leader_and_to_the_proposer(make_world):
    world = make_world(limits=Limits(term_rounds=8)).start()
    load(world, count=5, every_ms=50)
    targets = {
        target for _, source, target, vote in of_kind(world, Vote) if vote.round == 7 and source > 1
    }
    assert targets == {0, 1}


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 10])
def test_groups_of_other_sizes_work_too(make_world, n):
    world = make_world(n=n).start()
    load(world, count=3, every_ms=10)
    world.run()
    assert all(len(replica.log()) == 3 for replica in world.replicas)
    world.assert_agreement()


@pytest.mark.parametrize("n", [4, 7])
def test_a_group_goes_on_with_f_members_down_and_stops_with_one_more(make_world, n):
    world = make_world(n=n).start()
    f = world.cell.committee.f
    world.crash(*range(f))
    world.submit(world.batch())
    world.run(for_ms=10_000)
    assert all(len(replica.log()) == 1 for replica in world.live())

    world.crash(f)
    world.submit(world.batch(sequence=1))
    world.run(for_ms=100_000)
    assert all(len(replica.log()) == 1 for replica in world.live())


def test_all_replicas_cosign_the_same_heads_and_never_a_smaller_one(world):
    load(world, count=200, every_ms=3)
    world.run()
    heads = [[each.head for each in replica.cosignatures] for replica in world.replicas]
    assert all(each == heads[0] for each in heads)
    sizes = [head.size for head in heads[0]]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == 600
    assert 6 < len(sizes) < len(world.replicas[0].commits)


def test_a_head_is_cosigned_once_although_an_empty_block_repeats_it(world):
    """The flush block falls into the next tenth of a second, and commits much later."""
    world.run(for_ms=98)
    world.submit(world.batch())
    world.run(for_ms=302)
    world.submit(world.batch(sequence=1))
    world.run()
    replica = world.replicas[3]
    full, flush, *_ = (commit.block for commit in replica.commits)
    assert (full.head, len(flush.batches)) == (flush.head, 0)
    assert flush.time_ms // 100 > full.time_ms // 100
    assert [each.head.size for each in replica.cosignatures] == [3, 6]


def test_a_commit_comes_with_its_proof_and_the_log_index_of_each_batch(world):
    load(world, count=10, every_ms=3)
    world.run()
    verifier = world.certificates()
    for replica in world.replicas:
        places = [place for commit in replica.commits for place in commit.placed()]
        assert [index for _, index in places] == [3 * place for place in range(10)]
        proofs = [commit.proof for commit in replica.commits if commit.proof]
        for proof in proofs:
            verifier.commit(proof)
        assert replica.commits[-1].proof.block_id == replica.commits[-1].block.id


def test_a_proposal_from_the_future_gets_no_vote_and_one_just_ahead_does(make_world):
    for ahead_ms, votes in ((501, 0), (500, 1)):
        world = make_world().start()
        world.run()
        genesis, _, state = world.genesis()
        block = world.block(genesis, state, 1, time_ms=world.now_ms + ahead_ms).block
        world.sent.clear()
        world.inject(0, 3, Proposal(block, world.vote(0, 1, block.id).signature))
        assert len(of_kind(world, Vote)) == votes
        refused = world.replicas[3].named("vote_refused")
        assert [f"{ahead_ms} ms ahead" in each["reason"] for each in refused] == [True] * (
            1 - votes
        )


def test_a_group_whose_clocks_were_all_ahead_goes_on_when_they_are_set_right(world):
    """The chain's time stands still until the clocks have come up to it, and the log goes on."""
    load(world, 3, every_ms=1_000)
    world.run()
    latest_ms = max(block.time_ms for _, block in proposals(world))
    world.crash(*range(7))
    world.now_ms -= 3_600_000
    world.start()
    for sequence in range(3, 6):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=1_000)
    assert [sequence for _, _, sequence in world.replicas[0].log()] == list(range(6))
    assert world.replicas[0].driver.status().committed_time_ms == latest_ms
    assert not any(replica.named("round_timed_out") for replica in world.replicas)
    world.assert_agreement()


def test_nobody_but_the_rounds_leader_may_propose(world):
    world.run()
    genesis, _, state = world.genesis()
    block = world.block(genesis, state, 1, proposer=2).block
    world.sent.clear()
    world.inject(2, 3, Proposal(block, world.vote(2, 1, block.id).signature))
    assert world.sent == []
    assert "led by 0" in world.replicas[3].named("message_refused")[0]["reason"]


def test_nobody_but_the_member_whose_turn_it_is_may_propose_after_a_tc(world):
    world.run()
    genesis, genesis_qc, state = world.genesis()
    tc = world.tc(1, dict.fromkeys(range(5), 0), genesis_qc)
    block = world.block(genesis, state, 2, tc=tc, proposer=5).block
    world.sent.clear()
    world.inject(5, 3, Proposal(block, world.vote(5, 2, block.id).signature))
    assert of_kind(world, Vote) == []
    assert "led by 2" in world.replicas[3].named("message_refused")[0]["reason"]


def test_a_proposal_of_no_leader_gets_no_vote_although_its_parent_comes_only_later(world):
    """Who leads was not known when it came; it is asked again before the vote."""
    world.run()
    genesis, _, state = world.genesis()
    one = world.block(genesis, state, 1)
    two = world.block(one.block, one.state, 2, proposer=3).block
    world.inject(3, 6, Proposal(two, world.vote(3, 2, two.id).signature))
    world.sent.clear()

    world.inject(0, 6, BlocksReply((one.block,)))

    assert of_kind(world, Vote) == []
    assert (
        "round 2 is led by 0, not by member 3"
        in (world.replicas[6].named("vote_refused")[0]["reason"])
    )


def test_a_proposal_with_a_bad_signature_is_refused_before_anything_in_it_is_used(world):
    world.run()
    _one, two = world.chain([1, 2])
    world.inject(0, 3, Proposal(two.block, bytes(64)))
    status = world.replicas[3].driver.status()
    assert (status.round, status.high_qc_round) == (1, 0)
    assert "signature of member 0" in world.replicas[3].named("message_refused")[0]["reason"]


def test_a_second_proposal_of_one_leader_in_one_round_is_evidence(world):
    world.run()
    genesis, _, state = world.genesis()
    first = world.block(genesis, state, 1).block
    second = world.block(genesis, state, 1, time_ms=7).block
    for block in (first, second):
        world.inject(0, 3, Proposal(block, world.vote(0, 1, block.id).signature))
    (fact,) = world.replicas[3].named("evidence")
    assert (fact["offence"], fact["member"], fact["accused"]) == ("blocks", 0, "replica-1")
    votes = (world.vote(0, 1, block.id) for block in (first, second))
    assert fact["proof"] == of_votes(*votes, origin=world.cell.origin).encoded
    assert len(of_kind(world, Vote)) == 1


def test_a_second_vote_of_one_member_in_one_round_is_evidence_only_if_it_is_signed(world):
    world.run()
    world.inject(4, 0, world.vote(4, 1, b"a" * 32))
    forged = world.vote(4, 1, b"b" * 32)
    world.inject(4, 0, Vote(1, 1, b"b" * 32, 4, bytes(64)))
    assert world.replicas[0].named("evidence") == []
    world.inject(4, 0, forged)
    assert [each["member"] for each in world.replicas[0].named("evidence")] == [4]


def test_messages_in_another_members_name_are_refused(world):
    world.run()
    (one,) = world.chain([1])
    world.inject(5, 0, world.vote(4, 1, one.block.id))
    world.inject(5, 3, Proposal(one.block, world.vote(0, 1, one.block.id).signature))
    claim = world.claim(4, 1, 0)
    world.inject(5, 2, timeout_of(world, claim))
    assert (
        "time-out of member 4 sent by 5" in world.replicas[2].named("message_refused")[0]["reason"]
    )
    assert "vote of member 4 sent by 5" in world.replicas[0].named("message_refused")[0]["reason"]
    assert "proposal of member 0 sent" in world.replicas[3].named("message_refused")[0]["reason"]


def test_what_comes_from_nobody_in_the_group_is_refused(world):
    world.run()
    for stranger in (3, 7, 200):
        world.inject(stranger, 3, world.vote(4, 1, b"a" * 32))
    reasons = [fact["reason"] for fact in world.replicas[3].named("message_refused")]
    assert ["is not one of the others" in reason for reason in reasons] == [True] * 3


def test_a_member_that_is_behind_is_answered_but_not_at_every_message(world):
    world.submit(world.batch())
    world.run()
    world.drop = lambda *_: True
    behind = Certificates(world.genesis()[1], None)

    def answers():
        world.sent.clear()
        for _ in range(5):
            world.inject(2, 0, behind)
        return [m.high_qc.round for _, _, _, m in of_kind(world, Certificates)]

    assert answers() == [2]
    assert answers() == []
    world.run(for_ms=world.limits.answer_interval_ms)
    assert answers() == [2]


def lone_timeout(world, voter, round_, high_qc, tc=None):
    return new_timeout(
        epoch=world.cell.epoch,
        round_=round_,
        high_qc=high_qc,
        tc=tc,
        fast_vote=b"",
        voter=voter,
        signature=world.claim(voter, round_, high_qc.round).signature,
    )


def test_a_single_timeout_brings_whoever_is_behind_into_its_round_by_its_certificates(world):
    world.run()
    genesis_qc = world.genesis()[1]
    (one,) = world.chain([1])
    tc = world.tc(2, dict.fromkeys(range(5), 0), genesis_qc)
    by_qc = lone_timeout(world, 4, 2, world.qc(1, one.block.id))
    by_tc = lone_timeout(world, 4, 3, genesis_qc, tc)
    for target, timeout, state in ((3, by_qc, (2, 1)), (5, by_tc, (3, 0))):
        world.inject(4, target, timeout)
        status = world.replicas[target].driver.status()
        assert (status.round, status.high_qc_round) == state


def test_votes_for_far_future_rounds_are_dropped_unread(world):
    world.run()
    last = 1 + world.limits.round_window
    world.inject(4, 0, world.vote(4, last, b"a" * 32))
    assert world.replicas[0].named("message_refused") == []
    world.inject(4, 0, world.vote(4, last + 1, b"a" * 32))
    assert (
        f"vote for round {last + 1}, this is 1"
        in (world.replicas[0].named("message_refused")[0]["reason"])
    )


def test_nothing_is_kept_of_rounds_that_are_over(world):
    load(world, count=30, every_ms=30)
    world.run()
    for replica in world.replicas:
        core = replica.driver._core
        assert len(core._voting._proposals) <= 1
        assert len(core._parts.chain.parked) == 0
        assert len(core._parts.rounds.votes._rounds) <= 1


def test_requests_one_after_the_other_are_each_flushed_at_once(world):
    """A single user of an idle group, who sends the next as soon as the last is answered."""
    load(world, count=4, every_ms=40)
    empty = [at for at, block in proposals(world) if block.is_empty]
    full = [at for at, block in proposals(world) if not block.is_empty]
    assert all(later - earlier < 25 for earlier, later in zip(full, empty, strict=True))


def test_under_load_batches_that_follow_do_the_work_of_empty_blocks(world):
    """One comes each 15 ms: too soon for its pace, and too late to be there with the last."""
    load(world, count=30, every_ms=15)
    world.run()
    blocks = [block for _, block in proposals(world)]
    assert sum(block.is_empty for block in blocks) < 5
    assert all(len(replica.log()) == 30 for replica in world.replicas)
