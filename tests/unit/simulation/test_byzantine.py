"""Villains do what their tricks are called, with their own keys only."""

from dataclasses import replace
from random import Random

import pytest

from heptad.consensus.certificates import Certificates as Judge
from heptad.consensus.codec import new_tc
from heptad.consensus.errors import RefusedError
from heptad.consensus.evidence import Charge, Offence
from heptad.consensus.judging import Judge as Court
from heptad.consensus.leader_record import Failure, LeaderRecord
from heptad.consensus.leaders import Schedule
from heptad.consensus.messages import (
    BatchesReply,
    BatchOffer,
    BlocksReply,
    Certificates,
    FetchChain,
    Proposal,
    decode_message,
    encode_message,
)
from heptad.consensus.objects import Timeout, TimeoutClaim, Vote
from heptad.consensus.state import ChainState
from heptad.model.canonical import MalformedError
from heptad.model.ids import Epoch, Height, MemberIndex, Round
from heptad.simulation.byzantine import Sending
from heptad.simulation.network import VALIDATORS_AT, NodeId
from heptad.simulation.repertoire import INITIATIVES, TRICKS
from heptad.simulation.repertoire import villain_of as named_villain

OTHERS = (MemberIndex(1), MemberIndex(2), MemberIndex(3))

FAILED_BEFORE_ROUND_5 = LeaderRecord((Failure(0, 1, 4), Failure(2, 1, 2), Failure(3, 1, 3)))
"""Skipped after the genesis: its proposer by the QC rule, then members[2], [3] and [0]."""


@pytest.fixture
def villain_of(scene):
    def make(*tricks, seed=1):
        keys = scene.forge.keys
        return named_villain(
            tricks, me=MemberIndex(0), cell=scene.forge.cell, rng=Random(seed),
            schedule=Schedule(scene.forge.cell.committee, 64),
            signer=keys.signer("vote", 0), cosigner=keys.signer("cosign", 0),
        )  # fmt: skip

    return make


@pytest.fixture
def judge(scene):
    return Judge(scene.forge.cell, scene.forge.keys)


def sent(villain, message, targets=OTHERS):
    return villain.twist(targets, encode_message(message))


def messages(sendings):
    return [decode_message(sending.payload) for sending in sendings]


def timeout_of(villain, scene, round_=1):
    return villain.timeout(Round(round_), scene.forge.genesis_qc, None)


def tc_of(scene):
    claims = [TimeoutClaim(MemberIndex(i), Round(0), b"", bytes(64)) for i in (1, 2, 3)]
    return new_tc(epoch=Epoch(1), round_=Round(4), claims=claims, high_qc=scene.forge.genesis_qc)


def test_without_tricks_a_villain_says_what_his_core_says(villain_of, scene):
    payload = encode_message(scene.forge.proposal(scene.forge.block(scene.forge.genesis)))

    assert villain_of().twist(OTHERS, payload) == [Sending(OTHERS, payload)]
    assert villain_of().initiative() == []


@pytest.mark.parametrize("trick", sorted(TRICKS))
def test_every_trick_copes_with_every_kind_of_message(villain_of, scene, trick):
    villain = villain_of(trick)
    block = scene.forge.block(scene.forge.genesis)
    for message in (
        scene.forge.proposal(block), scene.forge.vote(block, 0), timeout_of(villain, scene),
        Certificates(scene.forge.qc(block), tc_of(scene)), FetchChain(Height(1), 0),
        BatchesReply((b"x",)),
    ):  # fmt: skip
        for sending in sent(villain, message):
            assert set(sending.targets) <= set(OTHERS)
            assert sending.delay_us >= 0


def test_a_silent_villain_says_nothing(villain_of, scene):
    block = scene.forge.block(scene.forge.genesis)

    assert sent(villain_of("silent"), scene.forge.vote(block, 0)) == []


def test_votes_certificates_and_data_can_be_withheld(villain_of, scene):
    block = scene.forge.block(scene.forge.genesis)
    proposal, vote = scene.forge.proposal(block), scene.forge.vote(block, 0)

    assert sent(villain_of("withhold_votes"), vote) == []
    assert len(sent(villain_of("withhold_votes"), proposal)) == 1
    assert len(sent(villain_of("withhold_certificates"), proposal)[0].targets) == 1
    assert sent(villain_of("withhold_data"), BatchesReply((b"x",))) == []


def test_an_equivocator_signs_two_blocks_of_one_round(villain_of, scene, judge):
    block = scene.forge.block(scene.forge.genesis)
    proposals = [
        message
        for message in messages(sent(villain_of("equivocate"), scene.forge.proposal(block)))
        if isinstance(message, Proposal)
    ]

    assert len({proposal.block.id for proposal in proposals}) == 2
    for proposal in proposals:
        assert proposal.block.round == block.round
        judge.proposer(proposal.block, proposal.signature)


def test_an_equivocator_votes_for_each_rival_of_a_round(villain_of, scene, judge):
    villain = villain_of("equivocate")
    rivals = [scene.forge.block(scene.forge.genesis, time_ms=time_ms) for time_ms in (1, 2)]
    for rival in rivals:
        villain.blocks[rival.id] = rival
    votes = messages(sent(villain, scene.forge.vote(rivals[0], 0)))

    assert {vote.block_id for vote in votes} == {rival.id for rival in rivals}
    for vote in votes:
        judge.vote(vote)


def test_an_empty_leader_strips_the_batches_and_keeps_the_head(villain_of, scene):
    block = scene.forge.block(scene.forge.genesis, scene.forge.batch(0, b"a"))
    (message,) = messages(sent(villain_of("empty"), scene.forge.proposal(block)))

    assert message.block.batches == ()
    assert message.block.head == scene.forge.genesis.head
    assert message.block.parent_id == scene.forge.genesis.id


def test_a_stale_leader_extends_the_grandparent(villain_of, scene):
    villain = villain_of("stale")
    parent = scene.forge.block(scene.forge.genesis)
    sent(villain, scene.forge.proposal(parent))
    block = scene.forge.block(parent, round_=5, tc=tc_of(scene))
    (message,) = messages(sent(villain, scene.forge.proposal(block)))

    assert message.block.parent_id == scene.forge.genesis.id
    assert message.block.round == 5
    state = replace(ChainState.genesis(), leader_record=FAILED_BEFORE_ROUND_5)
    membership_hash = scene.forge.cell.membership_hash()
    assert message.block.state_hash == state.hash(epoch=1, membership_hash=membership_hash)


@pytest.mark.parametrize("seed", range(20))
def test_a_forger_forges_nothing_that_verifies(villain_of, scene, judge, seed):
    """Under his own name he may sign what he likes; under another's, or a quorum's, he cannot."""
    villain = villain_of("forge", seed=seed)
    block = scene.forge.block(scene.forge.block(scene.forge.genesis))
    originals = [
        scene.forge.vote(block, 0), scene.forge.proposal(block), timeout_of(villain, scene, 2),
        Certificates(scene.forge.qc(block), tc_of(scene)),
    ]  # fmt: skip
    plain = {encode_message(message) for message in originals}
    for original in originals:
        for sending in sent(villain, original):
            if sending.payload not in plain:
                with pytest.raises((RefusedError, MalformedError)):
                    believe(judge, decode_message(sending.payload))


def believe(judge, message):
    """Take a message for true, or raise."""
    match message:
        case Vote():
            judge.vote(message)
        case Proposal(block, signature):
            judge.entry(block)
            judge.proposer(block, signature)
        case Timeout():
            judge.timeout(message)
        case Certificates(high_qc, highest_tc):
            judge.qc(high_qc)
            if highest_tc is not None:
                judge.tc(highest_tc)


@pytest.mark.parametrize("initiative", sorted(INITIATIVES))
def test_initiatives_come_out_of_what_was_heard(villain_of, scene, initiative):
    villain = villain_of(initiative)
    block = scene.forge.block(scene.forge.genesis)
    others = scene.forge.proposal(scene.forge.block(scene.forge.genesis, proposer=1))
    villain.overhear(encode_message(others))
    for _ in range(10):
        sent(villain, scene.forge.proposal(block))
    acts = [villain.initiative() for _ in range(30)]
    sendings = [sending for act in acts for sending in act]

    assert sendings
    assert villain.played[initiative] == sum(map(bool, acts))
    if initiative == "replay":
        heard = {encode_message(each) for each in (others, scene.forge.proposal(block))}
        assert {s.payload for s in sendings} <= heard
    if initiative == "future":
        assert min(message.round for message in messages(sendings)) > block.justify.round


def test_a_villains_memory_is_bounded(villain_of):
    villain = villain_of("replay")
    for number in range(1_000):
        villain.overhear(b"%d" % number)

    assert len(villain.memory) == 200


def test_an_unknown_trick_is_refused(villain_of):
    with pytest.raises(ValueError, match="charm"):
        villain_of("charm")


def test_slander_never_convinces_a_judge_and_a_confession_does(villain_of, scene):
    court = Court(scene.forge.cell, scene.forge.keys)
    slanderer, penitent = villain_of("slander"), villain_of("confess")
    block = scene.forge.block(scene.forge.genesis, proposer=1)
    for villain in (slanderer, penitent):
        villain.overhear(encode_message(scene.forge.proposal(block)))
        sent(villain, scene.forge.proposal(scene.forge.block(scene.forge.genesis)))

    lies = [m for _ in range(30) for m in messages(slanderer.initiative())]
    assert {lie.evidence.charge.accused for lie in lies} == {1}
    for lie in lies:
        with pytest.raises(RefusedError):
            court.read(lie.evidence.encoded)
    truths = [m for _ in range(30) for m in messages(penitent.initiative())]
    charges = {court.read(truth.evidence.encoded).charge for truth in truths}
    assert charges == {Charge(Offence.BLOCKS, 0), Charge(Offence.HEADS, 0)}


def test_a_censor_hears_everybody_but_one_validator(villain_of):
    censor, other = villain_of("censor"), villain_of("silent")
    offer = encode_message(BatchOffer(()))

    assert not censor.hears(NodeId(VALIDATORS_AT + 1), b"batch")
    assert not censor.hears(NodeId(1), offer)
    assert censor.hears(NodeId(VALIDATORS_AT + 2), b"batch")
    assert censor.played["censor"] == 2
    assert other.hears(NodeId(VALIDATORS_AT + 1), b"batch")


def test_two_time_outs_of_one_round_claim_two_certificates(villain_of, scene, judge):
    villain = villain_of("two_timeouts")
    first = scene.forge.block(scene.forge.genesis)
    sent(villain, Certificates(scene.forge.genesis_qc, None))
    sendings = sent(villain, villain.timeout(Round(2), scene.forge.qc(first), None))

    said = messages(sendings)
    assert {(m.round, m.high_qc.round) for m in said} == {(2, 0), (2, 1)}
    reached = {target for sending in sendings[:2] for target in sending.targets}
    assert reached == set(OTHERS)


def test_who_understates_claims_an_older_certificate(villain_of, scene):
    villain = villain_of("understate")
    first = scene.forge.block(scene.forge.genesis)
    sent(villain, Certificates(scene.forge.genesis_qc, None))
    (lie,) = messages(sent(villain, Certificates(scene.forge.qc(first), None)))

    assert lie.high_qc.round == 0


def test_a_poisoned_tc_is_refused(villain_of, scene, judge):
    villain = villain_of("poison")
    timeout = villain.timeout(Round(5), scene.forge.genesis_qc, tc_of(scene))
    (lie,) = messages(sent(villain, timeout))

    assert lie.tc.encoded != timeout.tc.encoded
    with pytest.raises(RefusedError):
        judge.timeout(lie)


def test_who_lies_in_answers_leaves_everything_else_as_it_was(villain_of, scene):
    villain = villain_of("misserve")
    block = scene.forge.block(scene.forge.genesis)
    answer, vote = BlocksReply((block,)), scene.forge.vote(block, 0)

    assert sent(villain, vote) == [Sending(OTHERS, encode_message(vote))]
    told = {s.payload for _ in range(20) for s in sent(villain, answer)}
    assert len(told) > 3
