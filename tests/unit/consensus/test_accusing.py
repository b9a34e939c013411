"""From two signatures that contradict each other to one entry of the log."""

import pytest

from heptad.consensus.codec import decode_block, new_block
from heptad.consensus.control import control_entries
from heptad.consensus.errors import RefusedError
from heptad.consensus.events import BatchReceived, EvidenceReceived, MessageReceived
from heptad.consensus.evidence import Charge, Offence, decode_evidence, of_votes
from heptad.consensus.messages import (
    Accusation,
    Certificates,
    Deposition,
    Proposal,
    encode_message,
)
from heptad.consensus.objects import Timeout, Vote
from heptad.consensus.state import ChainState
from heptad.consensus.tree import Node
from heptad.consensus.validity import CONTROL_ENTRIES_MAX
from heptad.consensus.witness import ROUNDS_MAX, Witness
from heptad.model.batch import encode_batch
from heptad.model.canonical import Reader
from heptad.model.control_entry import control_entry
from heptad.model.entry import Kind
from heptad.model.ids import BlockId, Epoch, MemberIndex, Round
from heptad.transparency.merkle import leaf_hashes

A, B, C = (BlockId(letter * 32) for letter in (b"a", b"b", b"c"))


@pytest.fixture
def idle(make_world):
    return make_world()


def proof_of(world, member=4, round_=1):
    votes = (world.vote(member, round_, each) for each in (A, B))
    return of_votes(*votes, origin=world.cell.origin)


def accused(replica):
    return [fact["accused"] for fact in replica.named("evidence")]


def committed_proofs(replica):
    """The charges in the log, as its disk has them."""
    blocks = [decode_block(stored.block) for stored in replica.store.heights.values()]
    return [decode_evidence(each).charge for block in blocks for each in block.control]


def of_kind(world, kind):
    return [each for each in world.sent if isinstance(each[3], kind)]


# --- into the log ----------------------------------------------------------------------------


def test_an_idle_group_makes_one_round_for_a_proof_and_is_silent_again(world):
    world.run()
    world.inject(4, 0, world.vote(4, 1, A))
    world.inject(4, 0, world.vote(4, 1, B))
    world.run()
    for replica in world.replicas:
        assert committed_proofs(replica) == [Charge(Offence.BLOCKS, 4)]
        assert replica.store.evidence == bytes(2)
    assert world.next_ms() is None
    heights = len(world.replicas[0].store.heights)
    world.inject(4, 0, Accusation(proof_of(world)))
    world.run()
    assert len(world.replicas[0].store.heights) == heights
    assert of_kind(world, Timeout) == []


def test_the_entry_in_the_log_is_the_proof_behind_the_batches_of_its_block(world):
    batch, told = world.batch(records=3), encode_message(Accusation(proof_of(world)))
    world.submit(batch, to=range(1, 7))
    world.deliver(0, BatchReceived(1, encode_batch(batch)), MessageReceived(MemberIndex(4), told))
    world.run()
    commit = next(each for each in world.replicas[2].commits if each.block.control)
    (entry,) = control_entries(commit.block)
    edge = ChainState.genesis().edge.extended(leaf_hashes([*batch.entries(), entry]))
    assert (commit.block.head.size, commit.block.head.root) == (4, edge.root())
    assert commit.first_index == 0
    assert entry == control_entry(
        Kind.MISBEHAVIOUR_EVIDENCE,
        time_ms=commit.block.time_ms,
        statement=proof_of(world).encoded,
    )


def test_the_head_behind_a_proof_is_cosigned(world):
    world.inject(4, 0, Accusation(proof_of(world)))
    world.run()
    assert world.replicas[1].cosignatures[-1].head.size == 1


def test_a_leader_that_keeps_the_proof_against_it_out_is_timed_out(world):
    """Member 0 leads an idle group, and never hears of it."""
    world.run()
    world.drop = lambda source, target, _: 0 in (source, target)
    world.inject(5, 3, Accusation(proof_of(world, member=0)))
    world.run(until=lambda: all(committed_proofs(each) for each in world.replicas[1:]))
    assert committed_proofs(world.replicas[3]) == [Charge(Offence.BLOCKS, 0)]
    assert of_kind(world, Timeout) != []


def test_a_proof_that_was_told_to_nobody_is_said_again_with_the_time_out(world):
    world.run()
    world.drop = lambda _source, _target, message: isinstance(message, Accusation)
    world.inject(5, 3, Accusation(proof_of(world)))
    world.run(for_ms=100)
    assert not committed_proofs(world.replicas[3])
    world.drop = lambda *_: False
    world.run()
    assert committed_proofs(world.replicas[0]) == [Charge(Offence.BLOCKS, 4)]


def test_a_proof_survives_the_crash_of_everybody_who_knew_it(world):
    world.run()
    world.drop = lambda *_: True
    world.inject(5, 3, Accusation(proof_of(world)))
    world.crash(*range(7))
    world.drop = lambda *_: False
    for index in range(7):
        world.restart(index)
    world.run()
    assert committed_proofs(world.replicas[6]) == [Charge(Offence.BLOCKS, 4)]


def test_of_many_proofs_a_block_takes_four_and_the_next_ones_the_rest(world):
    for member in range(1, 7):
        world.inject(3 if member != 3 else 2, 0, Accusation(proof_of(world, member=member)))
    world.run()
    counts = [len(each.block.control) for each in world.replicas[5].commits if each.block.control]
    assert sum(counts) == 6
    assert max(counts) <= 4


def test_two_batches_under_one_number_are_in_the_log(world):
    first, second = world.batch(records=1), world.batch(records=2)
    world.submit(first, to=[0, 1, 2])
    world.submit(second, to=[3, 4, 5, 6])
    world.run()
    assert {charge for each in world.replicas for charge in committed_proofs(each)} == {
        Charge(Offence.BATCHES, 1)
    }


def test_what_a_ledger_hands_on_is_verified_and_goes_into_the_log(world):
    world.run()
    proof = proof_of(world)
    world.deliver(3, EvidenceReceived(proof.encoded[:-1]), EvidenceReceived(b""))
    refused = [fact["sender"] for fact in world.replicas[3].named("message_refused")]
    assert refused == ["ledger", "ledger"]
    world.deliver(3, EvidenceReceived(proof.encoded))
    world.run()
    assert committed_proofs(world.replicas[0]) == [proof.charge]


# --- what counts, and what it costs ----------------------------------------------------------


def test_a_proof_is_told_to_all_others_once_by_each_who_has_it(world):
    world.run()
    world.inject(5, 0, Accusation(proof_of(world)))
    world.inject(6, 0, Accusation(proof_of(world)))
    world.run()
    told = dict.fromkeys(range(7), 0)
    for _, source, _, _ in of_kind(world, Accusation):
        told[source] += 1
    assert told == dict.fromkeys(range(7), 6)


def test_another_proof_of_a_known_charge_is_not_even_verified(world):
    world.run()
    world.drop = lambda *_: True
    world.inject(5, 3, Accusation(proof_of(world)))
    checked = world.verifier.checked
    world.inject(5, 3, Accusation(proof_of(world, round_=9)))
    assert world.verifier.checked == checked
    assert accused(world.replicas[3]) == ["replica-5"]


def test_a_false_accusation_is_refused_and_goes_no_further(world):
    world.run()
    one, other = world.vote(4, 1, A), world.vote(5, 1, B)
    false = of_votes(one, type(one)(1, 1, B, 4, other.signature), origin=world.cell.origin)
    world.inject(6, 3, Accusation(false))
    world.run()
    assert "not by replica-5" in world.replicas[3].named("message_refused")[0]["reason"]
    assert of_kind(world, Accusation) == []
    assert not any(committed_proofs(each) for each in world.replicas)


def test_a_member_that_repeats_itself_is_not_accused(world):
    """A restart sends the last vote and proposal again, bit for bit."""
    for sequence in range(3):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=3)
        for index in range(7):
            world.crash(index)
            world.restart(index)
    world.run()
    assert all(replica.named("evidence") == [] for replica in world.replicas)


def test_a_validator_that_sends_the_same_batch_again_is_not_accused(world):
    batch = world.batch()
    for _ in range(2):
        world.submit(batch)
    world.run()
    world.submit(batch)
    assert all(replica.named("evidence") == [] for replica in world.replicas)


# --- noticing --------------------------------------------------------------------------------


def test_a_leader_whose_two_proposals_went_to_different_members_is_caught_by_the_certificate(world):
    world.run()
    genesis, _, state = world.genesis()
    first = world.block(genesis, state, 1).block
    second = world.block(genesis, state, 1, time_ms=7).block
    world.inject(0, 3, Proposal(first, world.vote(0, 1, first.id).signature))
    assert accused(world.replicas[3]) == []
    child = world.block(
        second, state, 2, justify=world.qc(1, second.id, voters=[0, 1, 2, 4, 5])
    ).block
    world.inject(0, 3, Proposal(child, world.vote(0, 2, child.id).signature))
    assert accused(world.replicas[3]) == ["replica-1"]


def test_a_member_that_votes_for_each_of_two_collectors_is_caught_by_the_certificate(world):
    """The collector has its vote, unread; the other's certificate holds the contradiction."""
    world.run()
    world.inject(4, 0, world.vote(4, 1, A))
    genesis, _, state = world.genesis()
    block = world.block(genesis, state, 1, proposer=1).block
    qc = world.qc(1, block.id, voters=[1, 2, 3, 4, 5])
    world.inject(2, 0, Certificates(qc, None))
    assert accused(world.replicas[0]) == ["replica-5"]


def test_a_vote_or_proposal_that_comes_after_the_certificate_is_evidence_too(world):
    world.submit(world.batch())
    world.run()
    voters = [voter for voter, _ in world.replicas[3].driver._core._parts.rounds.high_qc.qc.votes]
    late = world.vote(voters[1], 2, A)
    world.inject(voters[1], 3, late)
    assert accused(world.replicas[3]) == [f"replica-{voters[1] + 1}"]
    genesis, _, state = world.genesis()
    block = world.block(genesis, state, 1, time_ms=7).block
    world.inject(0, 3, Proposal(block, world.vote(0, 1, block.id).signature))
    assert accused(world.replicas[3])[1:] == ["replica-1"]


def proposals(world, *times_ms):
    """Proposals of member 0 for round 1, each with another time."""
    genesis, _, state = world.genesis()
    blocks = [world.block(genesis, state, 1, time_ms=time_ms).block for time_ms in times_ms]
    return [Proposal(block, world.vote(0, 1, block.id).signature) for block in blocks]


def test_a_leader_that_splits_the_group_is_caught_when_the_round_fails(world):
    world.run()
    world.crash(0)
    one, other = proposals(world, 7, 8)
    for member in (1, 2, 3):
        world.inject(0, member, one)
    for member in (4, 5, 6):
        world.inject(0, member, other)
    world.submit(world.batch(), to=range(1, 7))
    world.run(until=lambda: all(committed_proofs(each) for each in world.replicas[1:]))
    assert committed_proofs(world.replicas[4]) == [Charge(Offence.BLOCKS, 0)]


def test_a_deposition_is_verified_only_where_it_contradicts(world):
    world.run()
    one, other = proposals(world, 7, 8)
    world.inject(0, 3, one)
    checked = world.verifier.checked
    stranger = Vote(1, 1, A, 9, bytes(64))
    for vote in (world.vote(0, 1, one.block.id), world.vote(1, 1, A), stranger):
        world.inject(5, 3, Deposition(vote))
    assert world.verifier.checked == checked
    world.inject(5, 3, Deposition(Vote(1, 1, other.block.id, 0, bytes(64))))
    assert accused(world.replicas[3]) == []
    assert "signature of member 0" in world.replicas[3].named("message_refused")[0]["reason"]
    world.inject(5, 3, Deposition(world.vote(0, 1, other.block.id)))
    assert accused(world.replicas[3]) == ["replica-1"]


def test_a_late_vote_that_is_forged_accuses_nobody(world):
    world.submit(world.batch())
    world.run()
    forged = type(world.vote(1, 2, A))(1, 2, A, 1, bytes(64))
    world.inject(1, 3, forged)
    assert accused(world.replicas[3]) == []


def test_a_witness_keeps_the_highest_rounds_and_catches_each_member_once():
    witness = Witness(Epoch(1))

    def sees(member, round_, block_id):
        witness.saw(MemberIndex(member), round_=Round(round_), block_id=block_id, signature=b"")
        return witness.take()

    assert sees(1, 5, A) == [] == sees(1, 5, A) == sees(2, 5, B) == sees(1, 6, B)
    ((first, second),) = sees(1, 5, B)
    assert (first.block_id, second.block_id, first.voter, first.round) == (A, B, 1, 5)
    assert sees(1, 5, C) == []
    assert witness.contradicts(MemberIndex(2), round_=Round(5), block_id=A)
    assert not witness.contradicts(MemberIndex(1), round_=Round(5), block_id=C)
    for round_ in range(100, 100 + ROUNDS_MAX):
        assert sees(3, round_, A) == []
    assert sees(2, 5, A) == []  # too long ago
    assert sees(2, 5, B) == []
    assert len(sees(3, 100, B)) == 1


# --- the chain -------------------------------------------------------------------------------


def block_with(idle, control, *, state=None):
    genesis, _, first = idle.genesis()
    return idle.validity().build(
        round_=Round(1),
        proposer=MemberIndex(0),
        time_ms=1_800_000_000_000,
        parent=Node(genesis, state or first, None),
        justify=idle.certificates().genesis(),
        tc=None,
        batches=(),
        control=tuple(each.encoded for each in control),
    )


def charged(state, *charges):
    leaves = [(charge, b"leaf" * 8) for charge in charges]
    return state.extended((), (), state.leader_record, leaves)


def test_a_block_with_a_proof_has_its_entry_and_its_charge(idle):
    evidence = proof_of(idle)
    verified = block_with(idle, [evidence])
    assert verified.state.proven == {evidence.charge}
    assert verified.block.head.size == 1


@pytest.mark.parametrize("bad", ["twice in it", "in an ancestor", "false"])
def test_a_block_with_a_bad_proof_gets_no_vote(idle, bad):
    evidence = proof_of(idle)
    genesis, _, state = idle.genesis()
    good = block_with(idle, [evidence]).block
    control = good.control
    if bad == "twice in it":
        control = (evidence.encoded, proof_of(idle, round_=2).encoded)
    elif bad == "false":
        control = (evidence.encoded[:-1] + b"\0",)
    else:
        state = charged(state, evidence.charge)
    fields = {
        name: getattr(good, name)
        for name in (
            "epoch", "height", "proposer", "time_ms", "justify", "tc", "batches", "head",
            "state_hash",
        )
    }  # fmt: skip
    block = new_block(round_=good.round, control=control, **fields)
    entry = idle.certificates().entry(block)
    with pytest.raises(RefusedError, match=r"twice|not by"):
        idle.validity().check(block, entry, parent=Node(genesis, state, None), batches=[])


def test_a_block_carries_no_more_proofs_than_all_replicas_agree_on(idle):
    proofs = [
        of_votes(idle.vote(member, 1, A), idle.vote(member, 1, B), origin=idle.cell.origin)
        for member in range(CONTROL_ENTRIES_MAX + 1)
    ]
    assert block_with(idle, proofs[:-1]).state.proven == {each.charge for each in proofs[:-1]}
    with pytest.raises(RefusedError, match="5 control entries, at most 4"):
        block_with(idle, proofs)


def test_the_state_hash_binds_who_is_proven_guilty(idle):
    _, _, state = idle.genesis()
    member = idle.cell.membership_hash()
    hashes = {
        each.hash(epoch=Epoch(1), membership_hash=member)
        for each in (
            state,
            charged(state, Charge(Offence.BLOCKS, 1)),
            charged(state, Charge(Offence.HEADS, 1)),
            charged(state, Charge(Offence.BLOCKS, 2)),
            charged(state, Charge(Offence.BLOCKS, 1), Charge(Offence.BLOCKS, 2)),
        )
    }
    assert len(hashes) == 5


def test_a_state_with_charges_decodes_to_itself(idle):
    _, _, state = idle.genesis()
    guilty = charged(state, Charge(Offence.BATCHES, 2), Charge(Offence.BLOCKS, 0))
    assert ChainState.decode(Reader(guilty.encode())) == guilty
