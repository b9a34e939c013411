"""Known bugs of this family, 27 to 29, 31 and 32: one authenticated peer makes the others work.

(30, a peer that lies while others catch up, has a file of its own.) The measure of work is the
number of signatures that a replica checks; what may be held is counted in its maps.
"""

from dataclasses import replace

import pytest

from heptad.consensus.codec import new_block, new_qc, new_timeout
from heptad.consensus.events import MessageReceived
from heptad.consensus.limits import Limits
from heptad.consensus.messages import (
    BatchesReply,
    BatchOffer,
    BlocksReply,
    Certificates,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    Proposal,
    encode_message,
)
from heptad.consensus.objects import Vote
from heptad.model.batch import encode_batch
from heptad.model.ids import BatchDigest, BlockId, Epoch, Height, MemberIndex, Round

EVIL = 5
VICTIM = 3
FORGED = bytes(64)


@pytest.fixture
def alone(world):
    """A world in which no message arrives but those that a test hands over."""
    world.run()
    world.drop = lambda *_: True
    world.verifier.checked = 0
    return world


def core_of(world, index=VICTIM):
    return world.replicas[index].driver._core


def forged_timeout(world, nonce, round_=1):
    """A time-out whose certificate is the genesis block's and whose signature is rubbish."""
    return new_timeout(
        epoch=Epoch(1),
        round_=Round(round_),
        high_qc=world.genesis()[1],
        tc=None,
        fast_vote=b"",
        voter=MemberIndex(EVIL),
        signature=nonce.to_bytes(64, "big"),
    )


def forged_qc(world, nonce, round_=9):
    """Four good votes and a fifth that is rubbish: the most that a bad certificate can cost."""
    block_id = nonce.to_bytes(32, "big")
    votes = {MemberIndex(i): world.vote(i, round_, block_id).signature for i in range(5)}
    votes[MemberIndex(4)] = FORGED
    return new_qc(epoch=Epoch(1), round_=Round(round_), block_id=BlockId(block_id), votes=votes)


def forged_proposal(world, nonce):
    """A block of a round far ahead, entered by a forged certificate."""
    genesis, _, _ = world.genesis()
    block = new_block(
        epoch=Epoch(1),
        round_=Round(10),
        height=Height(9),
        proposer=MemberIndex(EVIL),
        time_ms=world.now_ms,
        justify=forged_qc(world, nonce),
        tc=None,
        batches=(),
        control=(),
        head=genesis.head,
        state_hash=genesis.state_hash,
    )
    return Proposal(block, FORGED)


# 27: votes of far future rounds.


def test_bug_27_votes_of_far_rounds_are_dropped_unverified_and_not_kept(alone):
    window = Limits().round_window
    for round_ in range(2 + window, 2_000):
        alone.inject(EVIL, VICTIM, alone.vote(EVIL, round_, b"b" * 32))
    assert alone.verifier.checked == 0
    assert len(core_of(alone)._parts.rounds.votes._rounds) == 0


def test_bug_27_votes_of_rounds_that_failed_long_ago_are_let_go_and_not_taken(alone):
    """However many rounds fail one after the other, and no certificate comes."""
    _, genesis_qc, _ = alone.genesis()
    window, failed = Limits().round_window, 100
    for round_ in range(1, failed):
        alone.inject(EVIL, VICTIM, alone.vote(EVIL, round_, b"b" * 32))
        tc = alone.tc(round_, dict.fromkeys((0, 1, 2, 4, 5), 0), genesis_qc)
        alone.inject(EVIL, VICTIM, Certificates(genesis_qc, tc))
    rounds = core_of(alone)._parts.rounds
    assert rounds.round == failed
    assert min(rounds.votes._rounds) > failed - window
    alone.inject(EVIL, VICTIM, alone.vote(EVIL, failed - window, b"b" * 32))
    assert len(rounds.votes._rounds) == window - 1


def test_bug_27_votes_within_the_window_are_bounded_by_voters_and_rounds(alone):
    """However many blocks one member votes for, two a round are kept, and one conflict checked."""
    window = Limits().round_window
    for round_ in range(1, 2 + window):
        for block in range(50):
            alone.inject(EVIL, VICTIM, alone.vote(EVIL, round_, block.to_bytes(32, "big")))
    rounds = core_of(alone)._parts.rounds.votes._rounds
    kept = [len(ballots) for ballots in rounds.values()]
    assert len(kept) == 1 + window
    assert max(kept) <= 2
    of_the_proof = 2
    assert alone.verifier.checked == 2 * (1 + window) + of_the_proof
    assert len(alone.replicas[VICTIM].named("evidence")) == 1


# 28: many proposals in one round.


def proposals_of(world, count, proposer=0):
    genesis, _, state = world.genesis()
    for number in range(count):
        block = world.block(genesis, state, 1, proposer=proposer, time_ms=world.now_ms + number)
        signature = world.vote(proposer, 1, block.block.id).signature
        yield Proposal(block.block, signature)


def test_bug_28_of_a_leaders_many_proposals_one_is_taken_and_one_reported(alone):
    made = list(proposals_of(alone, 200))
    alone.verifier.checked = 0
    for proposal in made:
        alone.inject(0, VICTIM, proposal)
    of_the_proof = 2
    assert alone.verifier.checked == 2 + of_the_proof
    assert len(alone.replicas[VICTIM].named("evidence")) == 1
    assert len(core_of(alone)._parts.chain.tree) == 2  # the genesis block and the first proposal
    assert len(core_of(alone)._voting._proposals) == 1


def test_bug_28_proposals_by_who_does_not_lead_cost_no_signature(alone):
    made = list(proposals_of(alone, 200, proposer=EVIL))
    alone.verifier.checked = 0
    for proposal in made:
        alone.inject(EVIL, VICTIM, proposal)
    assert alone.verifier.checked == 0
    assert len(core_of(alone)._parts.chain.tree) == 1
    assert len(core_of(alone)._voting._proposals) == 0


# 29: repeated bad signatures.


def messages_of_bad_signatures(world, count):
    """Each kind of message that carries a signature, with one that does not hold."""
    kinds = {
        "timeout": lambda n: forged_timeout(world, n),
        "timeout with a forged certificate": lambda n: new_timeout(
            epoch=Epoch(1),
            round_=Round(10),
            high_qc=forged_qc(world, n),
            tc=None,
            fast_vote=b"",
            voter=MemberIndex(EVIL),
            signature=FORGED,
        ),
        "certificates": lambda n: Certificates(forged_qc(world, n), None),
        "certificates with a forged TC": lambda n: Certificates(
            world.genesis()[1],
            world.tc(9, dict.fromkeys((0, 1, 2, 3, 4), 8), forged_qc(world, n, round_=8)),
        ),
        "proposal": lambda n: forged_proposal(world, n),
    }
    return {name: [make(n) for n in range(count)] for name, make in kinds.items()}


@pytest.mark.parametrize(
    "kind",
    [
        "timeout",
        "timeout with a forged certificate",
        "certificates",
        "certificates with a forged TC",
        "proposal",
    ],
)
def test_bug_29_repeated_bad_signatures_end_in_silence(alone, kind):
    """A thousand forgeries of one peer cost what eight do; then it is not heard."""
    made = messages_of_bad_signatures(alone, 1_000)[kind]
    alone.verifier.checked = 0
    for message in made:
        alone.inject(EVIL, VICTIM, message)
    assert alone.verifier.checked <= Limits().forgeries_max * 11
    (ignored,) = alone.replicas[VICTIM].named("peer_ignored")
    assert ignored == {"member": EVIL, "for_ms": Limits().ignored_ms_min}
    dropped = sum(fact["count"] for fact in alone.replicas[VICTIM].named("messages_dropped"))
    assert dropped == 1_000 - Limits().forgeries_max


def test_bug_29_a_bad_vote_is_checked_once_however_often_it_comes(alone):
    """Four honest votes wait for the fifth, and the evil one sends its bad one again and again."""
    block_id = BlockId(b"b" * 32)
    for voter in (0, 1, 2, 4):
        alone.inject(voter, VICTIM, alone.vote(voter, 1, block_id))
    for nonce in range(500):
        bad = replace(alone.vote(EVIL, 1, block_id), signature=nonce.to_bytes(64, "big"))
        alone.inject(EVIL, VICTIM, bad)
    assert alone.verifier.checked == 5
    alone.inject(6, VICTIM, alone.vote(6, 1, block_id))
    assert core_of(alone).status().high_qc_round == 1


def test_bug_29_bad_votes_of_many_rounds_end_in_silence(alone):
    """The member whose vote was bad is charged, not the one whose good vote had them counted."""
    for round_ in range(1, 12):
        block_id = BlockId(round_.to_bytes(32, "big"))
        alone.inject(EVIL, VICTIM, replace(alone.vote(EVIL, round_, block_id), signature=FORGED))
        for voter in (0, 1, 2, 4):
            alone.inject(voter, VICTIM, alone.vote(voter, round_, block_id))
        alone.inject(6, VICTIM, alone.vote(6, round_, block_id))
    (ignored,) = alone.replicas[VICTIM].named("peer_ignored")
    assert ignored["member"] == EVIL


def test_bug_29_two_votes_that_only_seem_to_conflict_are_charged(alone):
    for nonce in range(2, 100):
        vote = alone.vote(EVIL, 1 + nonce % 9, nonce.to_bytes(32, "big"))
        alone.inject(EVIL, VICTIM, replace(vote, signature=FORGED))
    (ignored,) = alone.replicas[VICTIM].named("peer_ignored")
    assert ignored["member"] == EVIL
    assert alone.replicas[VICTIM].named("evidence") == []
    assert alone.verifier.checked == Limits().forgeries_max


def test_bug_29_whoever_is_ignored_does_not_spoil_it_for_others(world):
    """The forger's victims go on committing, with it silent, and hear it again later."""
    world.run()
    for nonce in range(100):
        for victim in (index for index in range(7) if index != EVIL):
            world.inject(EVIL, victim, forged_timeout(world, nonce))
    world.submit(world.batch())
    world.run()
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)
    world.now_ms += Limits().ignored_ms_min
    before = len(world.replicas[VICTIM].named("message_refused"))
    round_ = core_of(world).status().round
    world.inject(EVIL, VICTIM, forged_timeout(world, 101, round_=round_))
    assert len(world.replicas[VICTIM].named("message_refused")) == before + 1


def test_bug_29_each_time_a_forger_is_ignored_for_longer(alone):
    """A forger that waits patiently each time costs less and less."""
    for _ in range(6):
        for nonce in range(Limits().forgeries_max):
            alone.inject(EVIL, VICTIM, forged_timeout(alone, nonce))
        alone.now_ms += Limits().ignored_ms_max
    for_ms = [fact["for_ms"] for fact in alone.replicas[VICTIM].named("peer_ignored")]
    assert for_ms == [10_000 * 2**n for n in range(6)]


def test_bug_29_replaying_what_honest_members_said_is_charged_to_the_replayer(world):
    """All that was ever said comes again, from the evil one; nobody else is the worse for it."""
    world.submit(world.batch())
    world.run()
    said = [message for _, _, _, message in world.sent]
    for message in said * 20:
        if not isinstance(message, BlocksReply | BatchesReply):
            world.inject(EVIL, VICTIM, message)
    peers = core_of(world)._parts.peers
    honest = [account for who, account in peers._accounts.items() if who != EVIL]
    assert all(account.forgeries == 0 for account in honest)
    assert {who for who, _ in peers.take_dropped()} <= {EVIL}
    assert world.replicas[VICTIM].named("peer_ignored") == []
    world.submit(world.batch(sequence=1))
    world.run()
    assert all(replica.log() == [(1, 1, 0), (1, 1, 1)] for replica in world.replicas)


def test_bug_29_work_that_is_valid_and_useless_is_bounded_too(world):
    """Time-outs with ever higher old certificates are all valid; one member gets only so far."""
    chain = world.chain(list(range(1, 40)))
    tip = chain[-1].block
    world.drop = lambda *_: True
    tc = world.tc(40, dict.fromkeys(range(5), 39), world.qc(39, tip.id))
    world.inject(4, VICTIM, Certificates(world.qc(39, tip.id), tc))
    assert core_of(world).status().round == 41
    world.verifier.checked = 0
    for verified in chain:
        block = verified.block
        high_qc = world.qc(block.round, block.id)
        signature = world.claim(EVIL, 41, block.round).signature
        timeout = new_timeout(
            epoch=Epoch(1),
            round_=Round(41),
            high_qc=high_qc,
            tc=tc,
            fast_vote=b"",
            voter=MemberIndex(EVIL),
            signature=signature,
        )
        world.inject(EVIL, VICTIM, timeout)
    assert world.verifier.checked <= 9 * 6


def test_bug_29_a_validators_bad_signatures_end_in_silence(alone):
    good = alone.batch(sequence=0)
    before = alone.verifier.checked
    for nonce in range(500):
        alone.submit(replace(good, signature=nonce.to_bytes(64, "big")), to=[VICTIM])
    assert alone.verifier.checked - before == Limits().forgeries_max
    assert alone.replicas[VICTIM].named("peer_ignored") == [
        {"validator": 1, "for_ms": Limits().ignored_ms_min}
    ]
    verdicts = [outcome.verdict.value for outcome in alone.replicas[VICTIM].outcomes]
    assert verdicts.count("batch_invalid") == Limits().forgeries_max
    assert verdicts.count("overloaded") == 500 - Limits().forgeries_max
    alone.submit(alone.batch(validator=2), to=[VICTIM])
    assert alone.replicas[VICTIM].outcomes[-1].verdict.value == "accepted"


def test_bug_29_a_flood_of_fetches_is_answered_in_part(world):
    """The largest answers, asked for by one member without end."""
    world.submit(world.batch())
    world.run()
    tip = world.replicas[VICTIM].commits[-1].block
    digest = world.replicas[VICTIM].commits[0].block.batches[0].digest
    sent = []
    world.replicas[VICTIM].driver._outbox.send = lambda targets, payload: sent.append(payload)
    fetches = [
        FetchBlocks(tip.id, Height(0)),
        FetchBatches((BatchDigest(digest),) * 1_000),
        FetchChain(Height(1), 0),
    ]
    for fetch in fetches * 400:
        world.inject(EVIL, VICTIM, fetch)
    assert 10 < len(sent) < 1_200
    assert world.replicas[VICTIM].named("messages_dropped")[-1]["why"] == "allowance"
    world.now_ms += Limits().work_burst_ms
    sent.clear()
    world.inject(EVIL, VICTIM, fetches[0])
    assert len(sent) == 1


def test_bug_29_an_answer_is_charged_to_who_asked_for_it(world):
    world.submit(world.batch(records=900))
    world.run()
    account = core_of(world)._parts.peers._accounts[EVIL]
    world.inject(EVIL, VICTIM, FetchBatches((BatchDigest(b"?" * 32),)))
    before_us = account.work_us
    world.inject(EVIL, VICTIM, FetchBatches((BatchDigest(b"?" * 32),)))
    in_vain_us, before_us = before_us - account.work_us, account.work_us
    digest = world.replicas[VICTIM].commits[0].block.batches[0].digest
    world.inject(EVIL, VICTIM, FetchBatches((digest,)))
    assert before_us - account.work_us >= in_vain_us + 100


def test_bug_29_one_wave_answers_only_so_many_fetches_of_one_member(world):
    world.submit(world.batch())
    world.run()
    sent = []
    world.replicas[VICTIM].driver._outbox.send = lambda targets, payload: sent.append(targets)
    fetch = encode_message(FetchChain(Height(1), 0))
    wave = [MessageReceived(MemberIndex(EVIL), fetch)] * 100 + [MessageReceived(4, fetch)]
    world.deliver(VICTIM, *wave)
    assert sent == [(EVIL,)] * Limits().fetches_per_wave_max + [(4,)]


def test_bug_29_offers_of_what_does_not_fit_are_looked_at_once(world):
    """To see that a full pool has no room is dear: one offer message pays for it once."""
    world.run()
    core = core_of(world)
    asked = []
    core._parts.chain._giving_way = lambda *_: asked.append(1)  # None: there is no room
    refs = [
        replace(
            world.chain([1], batches=[[world.batch()]])[0].block.batches[0],
            incarnation=number,
            digest=BatchDigest(number.to_bytes(32, "big")),
        )
        for number in range(2, 66)
    ]
    world.inject(EVIL, VICTIM, BatchOffer(tuple(refs)))
    assert len(asked) == 1
    world.inject(EVIL, VICTIM, BatchOffer(tuple(replace(r, size_bytes=1 << 31) for r in refs)))
    assert len(asked) == 1
    world.inject(EVIL, VICTIM, BatchOffer(tuple(refs) * 2))
    assert "128 offers" in world.replicas[VICTIM].named("message_refused")[-1]["reason"]


def test_bug_29_two_batches_under_one_number_are_reported_once(alone):
    for count in range(1, 100):
        alone.submit(alone.batch(records=count), to=[VICTIM])
    assert len(alone.replicas[VICTIM].named("evidence")) == 1
    of_the_proof = 2
    assert alone.verifier.checked == 2 + of_the_proof


# 31: blocks and batches in one key space (the store's half is in tests/unit/replica).


def test_bug_31_a_batch_is_no_answer_to_a_fetch_of_a_block_nor_the_other_way_round(world):
    """A block's id and a batch's digest are both SHA-256: neither is looked for among the other."""
    world.submit(world.batch())
    world.run()
    commit = world.replicas[VICTIM].commits[0]
    digest, block_id = commit.block.batches[0].digest, commit.block.id
    sent = len(world.sent)
    world.inject(EVIL, VICTIM, FetchBlocks(BlockId(digest), Height(0)))
    world.inject(EVIL, VICTIM, FetchBatches((BatchDigest(block_id),)))
    assert world.sent[sent:] == []
    world.inject(EVIL, VICTIM, FetchBlocks(block_id, Height(0)))
    world.inject(EVIL, VICTIM, FetchBatches((digest,)))
    kinds = [type(message) for _, _, _, message in world.sent[sent:]]
    assert kinds == [BlocksReply, BatchesReply]


def test_bug_31_a_batch_that_is_wanted_makes_no_block_wanted(world):
    world.run()
    batch = world.batch()
    ref = world.chain([1], batches=[[batch]])[0].block.batches[0]
    world.drop = lambda *_: True
    world.inject(EVIL, VICTIM, BatchOffer((ref,)))
    chain = core_of(world)._parts.chain
    assert ref.digest in chain.batches_wanted
    assert BlockId(ref.digest) not in chain.blocks_wanted
    world.inject(EVIL, VICTIM, BatchesReply((encode_batch(batch),)))
    assert ref.digest in chain.pool


# 32: assertions that can be reached from the network (see also test_fuzz.py).


def test_bug_32_votes_of_members_that_do_not_exist_are_refused(alone):
    for voter in (7, 63, 255):
        vote = Vote(Epoch(1), Round(1), BlockId(b"b" * 32), MemberIndex(voter), FORGED)
        alone.inject(EVIL, VICTIM, vote)
    assert len(alone.replicas[VICTIM].named("message_refused")) == 3


def test_bug_32_a_message_of_nobody_is_refused(alone):
    for sender in (VICTIM, 7, 255):
        alone.inject(sender, VICTIM, alone.vote(EVIL, 1, b"b" * 32))
    assert len(alone.replicas[VICTIM].named("message_refused")) == 3


def test_bug_32_the_greatest_numbers_break_nothing(alone):
    """Rounds, heights and sequences up to 2**64 - 1 are numbers like all others."""
    top = (1 << 64) - 1
    ref = replace(
        alone.chain([1], batches=[[alone.batch()]])[0].block.batches[0],
        incarnation=top,
        sequence=top,
        size_bytes=(1 << 32) - 1,
        count=(1 << 32) - 1,
    )
    for message in (
        alone.vote(EVIL, top, b"b" * 32),
        forged_timeout(alone, 1, round_=top),
        Certificates(forged_qc(alone, 1, round_=top), None),
        BatchOffer((ref,)),
        FetchBlocks(BlockId(b"b" * 32), Height(top)),
        FetchChain(Height(top), top),
        FetchChain(Height(0), 0),
        BlocksReply(()),
        BatchesReply(()),
        FetchBatches(()),
        BatchOffer(()),
    ):
        alone.inject(EVIL, VICTIM, message)
    alone.now_ms += 1_000
    alone.deliver(VICTIM)
