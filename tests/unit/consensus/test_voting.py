"""Proposals and votes as they come in: what is counted, what is verified, and what is answered."""

from dataclasses import replace

import pytest

from heptad.consensus.core.adopting import adopt_qc
from heptad.consensus.limits import Limits
from heptad.consensus.messages import Certificates, Proposal
from heptad.consensus.objects import Vote
from heptad.model.ids import BlockId, Epoch, MemberIndex, Round

ME = 6
BLOCK, OTHER = BlockId(b"b" * 32), BlockId(b"c" * 32)
FORGED = bytes(64)


@pytest.fixture
def alone(world):
    """A replica that hears nothing but what a test hands over."""
    world.run()
    world.drop = lambda *_: True
    parts_of(world).now_ms = world.now_ms
    world.verifier.checked = 0
    return world


def parts_of(world):
    return world.replicas[ME].driver._core._parts


def voting_of(world):
    return world.replicas[ME].driver._core._voting


def in_round(world, round_):
    """A certificate of the round before has come."""
    adopt_qc(parts_of(world), parts_of(world).certificates.qc(world.qc(round_ - 1, OTHER)))
    world.verifier.checked = 0
    return parts_of(world).rounds


def refusals(world):
    return [each["reason"] for each in world.replicas[ME].named("message_refused")]


def told(world):
    """To whom this replica has sent its certificates."""
    return [
        target
        for _, source, target, message in world.sent
        if source == ME and isinstance(message, Certificates)
    ]


def proposal(world, verified, signature=None):
    block = verified.block
    return Proposal(block, signature or world.vote(block.proposer, block.round, block.id).signature)


def test_a_vote_of_another_epoch_is_refused_and_not_kept(alone):
    vote = replace(alone.vote(1, 1, BLOCK), epoch=Epoch(2))
    alone.inject(1, ME, vote)
    assert refusals(alone) == ["vote of epoch 2, this is epoch 1"]
    assert parts_of(alone).rounds.votes._rounds == {}


@pytest.mark.parametrize(("round_", "is_answered"), [(7, True), (8, False)])
def test_whoever_votes_more_than_two_rounds_late_is_told_what_it_has_missed(
    alone, round_, is_answered
):
    in_round(alone, 11)
    alone.sent.clear()
    alone.inject(1, ME, alone.vote(1, round_, BLOCK))
    assert told(alone) == [1] * is_answered
    assert alone.verifier.checked == 0


def test_a_vote_for_a_round_that_is_certified_is_no_news_and_not_kept(alone):
    in_round(alone, 11)
    vote = alone.vote(1, 10, OTHER)
    assert voting_of(alone).on_vote(MemberIndex(1), vote) is False
    assert voting_of(alone).count(vote, is_verified=True) is False
    assert parts_of(alone).rounds.votes._rounds == {}


def test_a_vote_is_news_where_it_makes_a_certificate_or_is_at_odds_with_the_last(alone):
    voting = voting_of(alone)
    votes = [alone.vote(voter, 1, BLOCK) for voter in (0, 1, 2, 4, 5)]
    news = [voting.on_vote(vote.voter, vote) for vote in votes[:4]]
    assert news == [False] * 4
    assert voting.on_vote(MemberIndex(1), alone.vote(1, 1, OTHER)) is True
    assert voting.qc_to_share is None
    assert voting.on_vote(MemberIndex(5), votes[4]) is True
    assert voting.qc_to_share.qc.block_id == BLOCK
    assert parts_of(alone).rounds.round == 2


@pytest.mark.parametrize("ahead", [0, 1])
def test_votes_are_counted_up_to_the_end_of_the_window(alone, ahead):
    rounds = in_round(alone, 11)
    vote = alone.vote(1, 11 + Limits().round_window + ahead, BLOCK)
    alone.inject(1, ME, vote)
    assert len(rounds.votes._rounds) == 1 - ahead
    assert len(refusals(alone)) == ahead


def test_whose_vote_was_bad_is_told(alone):
    for voter in (0, 1, 2, 4):
        alone.inject(voter, ME, alone.vote(voter, 1, BLOCK))
    alone.inject(5, ME, replace(alone.vote(5, 1, BLOCK), signature=FORGED))
    assert refusals(alone) == ["signature of member 5: the hashes differ"]


def test_two_votes_of_one_member_in_one_round_are_looked_at_once(alone):
    """What is not signed by it is not held against it later."""
    forged = replace(alone.vote(1, 1, OTHER), signature=FORGED)
    for vote in (alone.vote(1, 1, BLOCK), forged):
        alone.inject(1, ME, vote)
    assert alone.verifier.checked == 2
    for block_id in (b"d", b"e", b"f"):
        alone.inject(1, ME, alone.vote(1, 1, block_id * 32))
    assert len(alone.replicas[ME].named("evidence")) == 1


def test_an_own_proposal_counts_with_its_own_vote_and_shares_no_older_certificate(alone):
    voting, genesis = voting_of(alone), alone.genesis()
    verified = alone.block(genesis[0], genesis[2], 1, proposer=ME)
    node = parts_of(alone).chain.insert_own(verified, keep=verified.block.id)
    voting.qc_to_share = parts_of(alone).rounds.high_qc
    alone.verifier.checked = 0
    voting.proposed(node, alone.vote(ME, 1, verified.block.id))
    assert voting.qc_to_share is None
    assert voting.leaders_heard() == (ME,)
    for voter in (0, 1, 2, 4):
        voting.on_vote(MemberIndex(voter), alone.vote(voter, 1, verified.block.id))
    assert parts_of(alone).rounds.high_qc.qc.block_id == verified.block.id
    assert alone.verifier.checked == 4


def test_the_front_is_the_proposal_of_the_rounds_leader_on_top_of_the_tip(alone):
    voting, chain = voting_of(alone), parts_of(alone).chain
    genesis, _, state = alone.genesis()
    root = chain.tree.root
    by_another, by_leader = (alone.block(genesis, state, 1, proposer=each) for each in (2, 0))
    on_top = alone.block(by_leader.block, by_leader.state, 2)
    assert voting.front(root) is root
    voting._proposals = {(1, 0): by_leader.block}
    assert voting.front(root) is root, "it is not in the tree yet"
    nodes = [chain.insert_own(each, keep=each.block.id) for each in (by_another, by_leader)]
    chain.insert_own(on_top, keep=on_top.block.id)
    voting._proposals = {
        (1, 2): by_another.block,
        (2, 0): on_top.block,
        (1, 0): by_leader.block,
    }
    assert voting.front(root) is nodes[1]
    voting._proposals = {(1, 2): by_another.block}
    assert voting.front(root) is root


def test_a_refused_leader_is_refused_for_the_rest_of_its_term_and_nobody_else_is(alone):
    voting, rounds = voting_of(alone), parts_of(alone).rounds
    term = Limits().term_rounds
    rounds.round = Round(term + 5)
    voting.refuse(MemberIndex(2))
    refused = {}
    for round_ in (term - 1, term, term + 5, 2 * term - 1, 2 * term):
        rounds.round = Round(round_)
        refused[round_] = voting.is_refused(MemberIndex(2))
        assert not voting.is_refused(MemberIndex(1))
        assert not voting.is_refused(None)
    assert list(refused.values()) == [False, True, True, True, False]


def test_of_proposals_those_of_the_current_round_are_remembered(alone):
    voting, (one, two) = voting_of(alone), alone.chain([1, 2])
    alone.inject(0, ME, proposal(alone, one))
    assert voting.leaders_heard() == (0,)
    alone.inject(0, ME, proposal(alone, two))
    assert voting.leaders_heard() == (0,)
    assert list(voting._proposals) == [(2, 0)]
    voting._reported = {("vote", Round(1), 4), ("vote", Round(2), 4)}
    voting.forget()
    assert voting._reported == {("vote", Round(2), 4)}


def test_a_proposal_that_comes_again_while_it_waits_is_not_verified_again(alone):
    """Whatever its signature is now: its batch is not here, and until then it might come often."""
    genesis, _, state = alone.genesis()
    verified = alone.block(genesis, state, 1, batches=[alone.batch()])
    alone.verifier.checked = 0
    alone.inject(0, ME, proposal(alone, verified))
    assert alone.verifier.checked == 1
    for nonce in range(20):
        signature = nonce.to_bytes(64, "big")
        alone.inject(0, ME, proposal(alone, verified, signature))
    assert alone.verifier.checked == 1
    assert refusals(alone) == []


def test_a_late_proposal_is_answered_and_verified_only_where_it_contradicts(alone):
    in_round(alone, 11)
    genesis, _, state = alone.genesis()
    one, rival = (alone.block(genesis, state, 1, time_ms=alone.now_ms + each) for each in (0, 1))
    alone.verifier.checked = 0
    alone.sent.clear()
    alone.inject(0, ME, proposal(alone, one, FORGED))
    assert told(alone) == [0]
    assert alone.verifier.checked == 0
    assert not parts_of(alone).chain.knows(one.block.id)
    parts_of(alone).certificates.remember_vote(alone.vote(0, 1, rival.block.id))
    alone.inject(0, ME, proposal(alone, one))
    of_the_proof = 2
    assert alone.verifier.checked == 1 + of_the_proof
    assert len(alone.replicas[ME].named("evidence")) == 1


def test_a_late_proposal_of_a_block_that_is_missing_here_is_taken_in(alone):
    one, two = alone.chain([1, 2])
    alone.inject(1, ME, Certificates(alone.qc(2, two.block.id), None))
    assert two.block.id in parts_of(alone).chain.blocks_wanted
    alone.sent.clear()
    alone.inject(0, ME, proposal(alone, two, FORGED))
    assert parts_of(alone).chain.parked.get(two.block.id).is_certified
    alone.inject(0, ME, proposal(alone, two, FORGED))
    assert told(alone) == [], "what is known is answered to nobody"
    alone.inject(0, ME, proposal(alone, one))
    assert parts_of(alone).chain.tree.get(two.block.id) is not None
    assert parts_of(alone).kernel.record.vote is None


def test_a_second_proposal_of_a_leader_is_refused_and_a_third_is_not_verified(alone):
    genesis, _, state = alone.genesis()
    made = [alone.block(genesis, state, 1, time_ms=alone.now_ms + each) for each in range(3)]
    for verified in made:
        alone.inject(0, ME, proposal(alone, verified))
    assert refusals(alone) == [
        "second proposal of member 0 in 1",
        "one more proposal of member 0 in 1",
    ]
    assert list(voting_of(alone)._proposals.values()) == [made[0].block]


def test_a_proposal_that_comes_again_once_it_is_voted_for_gets_the_same_vote(alone):
    """The first one may have been lost."""
    (one,) = alone.chain([1])
    for _ in range(2):
        alone.inject(0, ME, proposal(alone, one))
    votes = [message for _, source, _, message in alone.sent if isinstance(message, Vote)]
    assert votes == [alone.vote(ME, 1, one.block.id)] * 2


def test_a_vote_goes_to_the_next_leader_and_not_to_oneself(alone):
    (one,) = alone.chain([1])
    alone.inject(0, ME, proposal(alone, one))
    targets = [target for _, _, target, message in alone.sent if isinstance(message, Vote)]
    assert targets == [0]
    assert parts_of(alone).rounds.votes._rounds == {}
    assert one.block.id in alone.replicas[ME].store.headers


def test_in_a_certificate_the_own_vote_and_the_proposers_cost_nothing(alone):
    (one,) = alone.chain([1])
    alone.inject(0, ME, proposal(alone, one))
    certified = alone.qc(1, one.block.id, voters=(0, 1, 2, ME, 4))
    alone.verifier.checked = 0
    alone.inject(0, ME, Certificates(certified, None))
    assert alone.verifier.checked == 3


def test_a_collector_counts_the_proposers_vote_and_its_own(alone):
    parts, (one,) = parts_of(alone), alone.chain([1])
    voting = voting_of(alone)
    voting._next_leader = lambda _: MemberIndex(ME)
    voting._leader_of = lambda _: MemberIndex(0)
    alone.inject(0, ME, proposal(alone, one))
    ballot = parts.rounds.votes._rounds[Round(1)][one.block.id]
    assert sorted(ballot.verified) == [0, ME]
