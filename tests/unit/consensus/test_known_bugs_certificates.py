"""Known bugs of this family, 8 to 14: certificates that prove less than they seem to."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import heptad.consensus
from heptad.consensus.codec import (
    new_qc,
    new_tc,
    new_timeout,
    timeout_signing_bytes,
    vote_signing_bytes,
)
from heptad.consensus.errors import RefusedError
from heptad.consensus.messages import Certificates, Proposal, encode_message
from heptad.consensus.objects import QC, Vote
from heptad.model.canonical import MalformedError
from heptad.model.ids import BlockId, Epoch, MemberIndex, Round

BLOCK = BlockId(b"b" * 32)
ROOM = Path(heptad.consensus.__file__).parent


@pytest.fixture
def idle(make_world):
    return make_world()


@pytest.fixture
def verifier(idle):
    return idle.certificates()


def test_bug_08_one_member_cannot_stand_in_a_certificate_twice(idle, verifier):
    """Five votes, but only four members."""
    votes = [(MemberIndex(i), idle.vote(i, 3, BLOCK).signature) for i in (0, 1, 2, 3, 3)]
    qc = QC(Epoch(1), Round(3), BLOCK, tuple(votes), encoded=b"as an attacker packs it")
    with pytest.raises(RefusedError, match="4 distinct of 5 signers"):
        verifier.qc(qc)


def test_bug_08_two_valid_signatures_of_one_member_count_once(idle):
    """Ed25519 signatures are not unique to whoever holds the key: two valid ones are one vote."""

    class AnyVerifier:
        def verify(self, **_):
            """Both signatures of each member hold."""

    idle.verifier = AnyVerifier()
    votes = [
        (MemberIndex(voter), bytes([nonce]) * 64)
        for voter, nonce in ((0, 1), (0, 2), (1, 1), (1, 2), (2, 1))
    ]
    qc = QC(Epoch(1), Round(3), BLOCK, tuple(votes), encoded=b"as an attacker packs it")
    with pytest.raises(RefusedError, match="3 distinct of 5 signers"):
        idle.certificates().qc(qc)


def test_bug_08_duplicate_signers_cannot_even_be_sent(idle, world):
    votes = {MemberIndex(i): idle.vote(i, 3, BLOCK).signature for i in range(5)}
    encoded = new_qc(epoch=Epoch(1), round_=Round(3), block_id=BLOCK, votes=votes).encoded
    first = encoded[49:114]
    doubled = encoded[:49] + first + first + encoded[179:]
    payload = encode_message(Certificates(idle.qc(3, BLOCK), None)).replace(encoded, doubled)
    with pytest.raises(MalformedError, match="do not ascend"):
        heptad.consensus.messages.decode_message(payload)


def test_bug_08_a_member_that_votes_twice_is_counted_once(world):
    world.run()
    genesis, _, state = world.genesis()
    block = world.block(genesis, state, 1).block
    for _ in range(5):
        world.inject(4, 0, world.vote(4, 1, block.id))
    assert world.replicas[0].driver.status().high_qc_round == 0


def test_bug_09_a_bad_vote_does_not_block_the_certificate(world):
    """One member's vote is garbage and comes first: the certificate is made of the others."""
    world.run()
    spoilt = []

    def spoil(source, target, message):
        if isinstance(message, Vote) and source == 4:
            spoilt.append(message)
            bad = replace(message, signature=bytes(64))
            world.inject(4, target, bad)
            return True
        return False

    world.drop = spoil
    world.delay_ms = lambda source, target, m: 5 if isinstance(m, Vote) else 1
    world.submit(world.batch())
    world.run()
    assert spoilt
    assert all(replica.log() == [(1, 1, 0)] for replica in world.replicas)
    assert world.replicas[0].driver.status().timeouts == 0


def test_bug_09_a_quorum_with_a_bad_vote_waits_for_one_more_good_one(world):
    world.run()
    world.crash(6)
    world.drop = lambda source, target, m: isinstance(m, Vote)
    world.submit(world.batch())
    world.run(for_ms=3)
    votes = {source: m for _, source, _, m in world.sent if isinstance(m, Vote)}
    world.inject(1, 0, replace(votes[1], signature=bytes(64)))
    for voter in (2, 3, 4):
        world.inject(voter, 0, votes[voter])
    assert world.replicas[0].driver.status().high_qc_round == 0
    world.inject(5, 0, votes[5])
    assert world.replicas[0].driver.status().high_qc_round == 1


def test_bug_10_a_votes_signature_binds_its_round(idle, verifier):
    """Votes of round 3 re-labelled as votes of round 9 for the same block."""
    votes = {MemberIndex(i): idle.vote(i, 3, BLOCK).signature for i in range(5)}
    relabelled = new_qc(epoch=Epoch(1), round_=Round(9), block_id=BLOCK, votes=votes)
    with pytest.raises(RefusedError, match="signature of member 0"):
        verifier.qc(relabelled)


def test_bug_10_a_timeouts_signature_binds_its_round_its_claim_and_its_fast_vote():
    signed = timeout_signing_bytes(
        origin="o", epoch=Epoch(1), round_=Round(3), high_qc_round=Round(2), fast_vote=b"fast"
    )
    assert signed == b"heptad/v1/timeout\0" + (
        b"\x00\x01o"
        + (1).to_bytes(8, "big")
        + (3).to_bytes(8, "big")
        + (2).to_bytes(8, "big")
        + b"\x00\x04fast"
    )


def test_bug_10_a_time_out_of_one_round_is_none_of_another(idle, verifier):
    """Claims of round 5 re-labelled: else old time-outs would end rounds that nobody gave up on."""
    old = idle.tc(5, dict.fromkeys(range(5), 0), idle.genesis()[1])
    relabelled = new_tc(
        epoch=Epoch(1), round_=Round(9), claims=list(old.claims), high_qc=old.high_qc
    )
    with pytest.raises(RefusedError, match="signature of member 0"):
        verifier.tc(relabelled)


def test_bug_10_a_qc_whose_round_is_not_its_blocks_round_certifies_no_commit(idle, verifier):
    one, _, four = idle.chain([1, 2, 4])
    lying = idle.qc(3, four.block.id)
    proof = heptad.consensus.objects.CommitProof(four.block, lying)
    with pytest.raises(RefusedError, match="is not of the child"):
        verifier.commit(proof)
    assert one.block.round == 1


def test_bug_10_a_justify_of_another_round_than_the_parents_is_refused(idle):
    """A quorum is made to sign the parent's id with a later round: the block is still invalid."""
    (one,) = idle.chain([1])
    lying = idle.qc(5, one.block.id)
    with pytest.raises(RefusedError, match="justify of round 5 is not of the parent, round 1"):
        idle.block(one.block, one.state, 6, justify=lying)


@pytest.mark.parametrize(
    "changes",
    [{"origin": "other.example/log"}, {"epoch": Epoch(2)}],
    ids=["cell", "epoch"],
)
def test_bug_11_a_vote_of_another_cell_or_epoch_does_not_count(idle, verifier, changes):
    foreign = idle.vote(2, 3, BLOCK, **changes)
    with pytest.raises(RefusedError, match="signature of member 2"):
        verifier.vote(foreign)
    verifier.vote(idle.vote(2, 3, BLOCK))


def test_bug_11_what_says_it_is_of_another_epoch_is_refused_before_its_signature(idle, verifier):
    qc = replace(idle.qc(3, BLOCK), epoch=Epoch(2))
    vote = replace(idle.vote(1, 3, BLOCK), epoch=Epoch(2))
    tc = idle.tc(3, dict.fromkeys(range(5), 0), idle.genesis()[1])
    timeout = new_timeout(
        epoch=Epoch(2),
        round_=Round(1),
        high_qc=idle.genesis()[1],
        tc=None,
        fast_vote=b"",
        voter=MemberIndex(0),
        signature=idle.claim(0, 1, 0).signature,
    )
    block = idle.chain([1])[0].block
    checked = idle.verifier.checked
    for check, value in (
        (verifier.qc, qc),
        (verifier.vote, vote),
        (verifier.tc, replace(tc, epoch=Epoch(2))),
        (verifier.timeout, timeout),
        (verifier.entry, replace(block, epoch=Epoch(2))),
    ):
        with pytest.raises(RefusedError, match="of epoch 2, this is epoch 1"):
            check(value)
    assert idle.verifier.checked == checked


def test_bug_11_a_vote_is_never_a_timeout_whatever_its_fields(idle):
    vote = vote_signing_bytes(origin="o", epoch=Epoch(1), round_=Round(3), block_id=BLOCK)
    timeout = timeout_signing_bytes(
        origin="o", epoch=Epoch(1), round_=Round(3), high_qc_round=Round(2), fast_vote=b""
    )
    assert vote.startswith(b"heptad/v1/vote\0")
    assert timeout.startswith(b"heptad/v1/timeout\0")
    for kind in (vote, timeout):
        assert kind.split(b"\0", 1)[1].startswith(b"\x00\x01o" + bytes(7) + b"\x01")


def test_bug_12_a_claim_without_the_qc_behind_it_makes_no_tc(idle, verifier):
    """TC poisoning: one liar claims a high round that nobody can show, and blocks all leaders."""
    tc = idle.tc(9, {0: 8, 1: 1, 2: 1, 3: 1, 4: 1}, idle.qc(1, BLOCK))
    with pytest.raises(RefusedError, match="its QC has round 1, the greatest claim is 8"):
        verifier.tc(tc)


def test_bug_12_a_timeout_that_claims_a_round_must_bring_its_qc(world):
    world.run()
    claim = world.claim(5, 1, 0)
    forged_qc = new_qc(
        epoch=Epoch(1),
        round_=Round(8),
        block_id=BLOCK,
        votes={MemberIndex(i): bytes(64) for i in range(5)},
    )
    liar = new_timeout(
        epoch=Epoch(1),
        round_=Round(9),
        high_qc=forged_qc,
        tc=None,
        fast_vote=b"",
        voter=MemberIndex(5),
        signature=claim.signature,
    )
    world.inject(5, 0, liar)
    assert world.replicas[0].driver.status().high_qc_round == 0
    assert "signature of member 0" in world.replicas[0].named("message_refused")[0]["reason"]


def test_bug_12_a_qc_higher_than_every_claim_is_refused_too(idle, verifier):
    """Otherwise the certificate could be changed on its way without breaking a signature."""
    tc = idle.tc(9, dict.fromkeys(range(5), 1), idle.qc(1, BLOCK))
    changed = new_tc(
        epoch=Epoch(1), round_=Round(9), claims=list(tc.claims), high_qc=idle.qc(2, BLOCK)
    )
    with pytest.raises(RefusedError, match="its QC has round 2"):
        verifier.tc(changed)


def imports_of(path):
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_bug_13_nothing_but_the_kernel_signs():
    """No other file of the room calls a signer, and only the core knows the kernel."""
    for path in ROOM.rglob("*.py"):
        inner = path.relative_to(ROOM).as_posix()
        if not inner.startswith("kernel/"):
            assert ".sign(" not in path.read_text(), inner
        if not inner.startswith(("kernel/", "core/")):
            names = imports_of(path)
            assert not [name for name in names if "consensus.kernel" in name], inner


def test_bug_13_the_kernel_is_small_enough_to_be_read_in_one_sitting():
    lines = sum(len(path.read_text().splitlines()) for path in (ROOM / "kernel").glob("*.py"))
    assert lines <= 300


def test_bug_13_only_two_modules_can_say_that_something_was_verified():
    holders = {
        path.relative_to(ROOM).as_posix()
        for path in ROOM.rglob("*.py")
        if "heptad.consensus.verified.SEAL" in imports_of(path)
    }
    assert holders == {"certificates.py", "validity.py"}


def test_bug_14_a_qc_is_verified_before_it_is_acted_on(world):
    """A forged QC comes in every message that may carry one: nobody moves."""
    world.run()
    one, two = world.chain([1, 2])
    forged = new_qc(
        epoch=Epoch(1),
        round_=Round(1),
        block_id=one.block.id,
        votes={MemberIndex(i): bytes(64) for i in range(5)},
    )
    block = heptad.consensus.codec.new_block(
        epoch=Epoch(1),
        round_=Round(2),
        height=two.block.height,
        proposer=MemberIndex(0),
        time_ms=two.block.time_ms,
        justify=forged,
        tc=None,
        batches=(),
        control=(),
        head=two.block.head,
        state_hash=two.block.state_hash,
    )
    world.sent.clear()
    world.inject(0, 3, Proposal(block, world.vote(0, 2, block.id).signature))
    world.inject(0, 3, Certificates(forged, None))
    status = world.replicas[3].driver.status()
    assert (status.round, status.high_qc_round) == (1, 0)
    assert world.sent == []
    assert len(world.replicas[3].named("message_refused")) == 2


def test_bug_14_a_tc_is_verified_before_it_is_acted_on(world):
    world.run()
    _genesis, genesis_qc, _state = world.genesis()
    good = world.tc(1, dict.fromkeys(range(5), 0), genesis_qc)
    claims = [replace(claim, signature=bytes(64)) for claim in good.claims]
    forged = new_tc(epoch=Epoch(1), round_=Round(1), claims=claims, high_qc=genesis_qc)
    world.inject(2, 3, Certificates(genesis_qc, forged))
    assert world.replicas[3].driver.status().round == 1
    world.inject(2, 3, Certificates(genesis_qc, good))
    assert world.replicas[3].driver.status().round == 2


def test_bug_14_a_cached_verdict_covers_every_byte(idle, verifier):
    """A cache keyed by (round, block) would let the second, forged certificate pass."""
    good = idle.qc(3, BLOCK)
    verifier.qc(good)
    votes = dict(good.votes) | {MemberIndex(0): bytes(64)}
    forged = new_qc(epoch=Epoch(1), round_=Round(3), block_id=BLOCK, votes=votes)
    with pytest.raises(RefusedError):
        verifier.qc(forged)
