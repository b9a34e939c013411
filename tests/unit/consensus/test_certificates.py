"""What a certificate must be before anything is done because of it."""

from dataclasses import replace
from hashlib import sha256
from struct import pack

import pytest

from heptad.consensus.codec import new_qc, new_tc, new_timeout, timeout_signing_bytes
from heptad.consensus.errors import RefusedError
from heptad.consensus.objects import CommitProof, TimeoutClaim
from heptad.model.ids import BlockId, Epoch, MemberIndex, Round

BLOCK = BlockId(b"b" * 32)


@pytest.fixture
def idle(make_world):
    return make_world()


@pytest.fixture
def verifier(idle):
    return idle.certificates()


def rebuilt(qc, **changes):
    values = {
        "epoch": qc.epoch,
        "round_": qc.round,
        "block_id": qc.block_id,
        "votes": dict(qc.votes),
    }
    return new_qc(**(values | changes))


def test_a_quorum_is_n_minus_f_for_every_n(make_world):
    quorums = {n: make_world(n=n).cell.committee.quorum for n in range(1, 11)}
    assert quorums == {1: 1, 2: 2, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5, 8: 6, 9: 7, 10: 7}


def test_a_qc_of_a_quorum_verifies(idle, verifier):
    qc = idle.qc(3, BLOCK)
    assert verifier.qc(qc).qc is qc


@pytest.mark.parametrize("count", [0, 1, 4, 6, 7])
def test_a_qc_of_fewer_or_more_than_a_quorum_is_refused(idle, verifier, count):
    with pytest.raises(RefusedError, match="5 make a quorum"):
        verifier.qc(idle.qc(3, BLOCK, voters=range(count)))


def test_a_qc_with_one_bad_signature_is_refused(idle, verifier):
    qc = idle.qc(3, BLOCK)
    votes = dict(qc.votes) | {MemberIndex(4): bytes(64)}
    with pytest.raises(RefusedError, match="signature of member 4"):
        verifier.qc(rebuilt(qc, votes=votes))


@pytest.mark.parametrize("stranger", [7, 40])
def test_a_qc_signed_by_someone_who_is_no_member_is_refused(idle, verifier, stranger):
    qc = idle.qc(3, BLOCK)
    votes = {**dict(qc.votes[:4]), MemberIndex(stranger): bytes(64)}
    with pytest.raises(RefusedError, match=f"member {stranger} of a group of 7"):
        verifier.qc(rebuilt(qc, votes=votes))


def test_the_genesis_has_exactly_one_certificate(idle, verifier):
    genesis, genesis_qc, _ = idle.genesis()
    assert verifier.qc(genesis_qc).qc.round == 0
    for forged in (
        rebuilt(genesis_qc, block_id=BLOCK),
        idle.qc(0, genesis.id),
        rebuilt(genesis_qc, votes={MemberIndex(0): bytes(64)}),
    ):
        with pytest.raises(RefusedError, match="not the genesis block's"):
            verifier.qc(forged)


def test_cells_that_differ_have_different_genesis_blocks(make_world):
    cell = make_world().cell
    blocks = {
        make_world(n=4).genesis()[0].id,
        make_world(validators=3).genesis()[0].id,
        make_world().genesis()[0].id,
    }
    assert len(blocks) == 3
    assert replace(cell, origin="x").membership_hash() != cell.membership_hash()
    assert replace(cell, epoch=Epoch(2)).membership_hash() != cell.membership_hash()


def test_the_membership_hash_covers_how_many_there_are_and_all_of_their_keys_in_order(make_world):
    """Byte for byte, for no group may ever come to another genesis block by a new version."""
    cell = make_world(n=4).cell
    members = [key for each in cell.committee.members for key in (each.vote_key, each.cosign_key)]
    text = cell.origin.encode()
    body = pack(">H", len(text)) + text + pack(">QB", cell.epoch, 4)
    body += b"".join(pack(">H", 32) + key for key in members) + pack(">H", 2)
    for validator in cell.validators:
        body += pack(">IH", validator.number, 32) + validator.batch_key
    assert cell.membership_hash() == sha256(body).digest()


def test_the_genesis_names_the_membership_as_its_parent(idle):
    """Keys are part of the membership, so no two groups share a block, even of one origin."""
    genesis, _, _ = idle.genesis()
    assert genesis.parent_id == idle.cell.membership_hash()


def test_a_certificate_is_verified_once_by_all_of_its_bytes(idle, verifier):
    qc = idle.qc(3, BLOCK)
    verifier.qc(qc)
    checked = idle.verifier.checked

    verifier.qc(qc)
    assert idle.verifier.checked == checked

    other_voters = idle.qc(3, BLOCK, voters=[1, 2, 3, 4, 5])
    verifier.qc(other_voters)
    assert idle.verifier.checked == checked + 5

    votes = dict(qc.votes) | {MemberIndex(0): bytes(64)}
    with pytest.raises(RefusedError):
        verifier.qc(rebuilt(qc, votes=votes))


def test_a_tc_is_verified_once(idle, verifier):
    tc = idle.tc(5, dict.fromkeys(range(5), 0), idle.genesis()[1])
    verifier.tc(tc)
    checked = idle.verifier.checked
    verifier.tc(tc)
    assert idle.verifier.checked == checked


def test_what_was_verified_as_a_qc_does_not_pass_as_a_tc(idle, verifier):
    """Whoever finds bytes that read as both must not have one checked as the other."""
    qc = idle.qc(3, BLOCK)
    verifier.qc(qc)
    tc = idle.tc(5, {0: 0, 1: 0}, idle.genesis()[1])
    with pytest.raises(RefusedError, match="2 distinct of 2 signers"):
        verifier.tc(replace(tc, encoded=qc.encoded))


def test_a_certificate_that_was_refused_is_refused_again(idle, verifier):
    few = idle.qc(3, BLOCK, voters=range(4))
    claims = idle.tc(5, {0: 0, 1: 0}, idle.genesis()[1])
    for _ in range(2):
        with pytest.raises(RefusedError, match="4 distinct of 4 signers"):
            verifier.qc(few)
        with pytest.raises(RefusedError, match="2 distinct of 2 signers"):
            verifier.tc(claims)


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(idle, verifier, monkeypatch):
    monkeypatch.setattr("heptad.consensus.certificates._REMEMBERED_MAX", 2)
    votes = [idle.vote(0, round_, BLOCK) for round_ in (1, 2, 3)]
    qcs = [idle.qc(round_, BLOCK) for round_ in (11, 12, 13)]
    for check, values, price in ((verifier.vote, votes, 1), (verifier.qc, qcs, 5)):
        for value in values:
            check(value)
        checked = idle.verifier.checked
        for value in values[1:]:
            check(value)
        assert idle.verifier.checked == checked
        check(values[0])
        assert idle.verifier.checked == checked + price


def test_the_highest_round_that_each_member_has_signed_is_remembered(idle, verifier):
    """Whether it was a vote, part of a QC, or a time-out, alone or in a TC."""
    high = idle.qc(3, BLOCK)
    assert verifier.last_signed(MemberIndex(0)) is None
    for check, value, signers, round_ in (
        (verifier.vote, idle.vote(0, 2, BLOCK), (0,), 2),
        (verifier.qc, high, range(5), 3),
        (verifier.timeout, timeout(idle, 4, high, voter=6), (6,), 4),
        (verifier.tc, idle.tc(5, dict.fromkeys(range(2, 7), 3), high), range(2, 7), 5),
    ):
        check(value)
        assert {verifier.last_signed(MemberIndex(signer)) for signer in signers} == {round_}
    verifier.vote(idle.vote(6, 1, BLOCK))
    assert [verifier.last_signed(MemberIndex(i)) for i in range(7)] == [3, 3, 5, 5, 5, 5, 5]


def test_a_vote_that_was_verified_before_costs_nothing_in_a_certificate(idle, verifier):
    known = idle.vote(2, 3, BLOCK)
    verifier.vote(known)
    checked = idle.verifier.checked
    verifier.qc(idle.qc(3, BLOCK))
    assert idle.verifier.checked == checked + 4


def test_a_verified_vote_vouches_for_nothing_but_itself(idle, verifier):
    """Not for another round, block or member under the same signature."""
    known = idle.vote(2, 3, BLOCK)
    verifier.vote(known)
    for changes in (
        {"round": Round(4)},
        {"block_id": BlockId(b"c" * 32)},
        {"voter": MemberIndex(1)},
        {"signature": bytes(64)},
    ):
        with pytest.raises(RefusedError, match="signature of member"):
            verifier.vote(replace(known, **changes))
    votes = {MemberIndex(i): idle.vote(i, 4, BLOCK).signature for i in range(5)}
    votes[MemberIndex(2)] = known.signature
    forged = new_qc(epoch=Epoch(1), round_=Round(4), block_id=BLOCK, votes=votes)
    with pytest.raises(RefusedError, match="signature of member 2"):
        verifier.qc(forged)


def test_a_tc_verifies_if_its_qc_has_the_round_of_the_greatest_claim(idle, verifier):
    high = idle.qc(2, BLOCK)
    tc = idle.tc(5, {0: 0, 1: 1, 2: 2, 3: 1, 6: 2}, high)
    verified = verifier.tc(tc)
    assert verified.tc.high_qc_round == 2
    assert verified.high_qc.qc is high


@pytest.mark.parametrize("high_round", [1, 3])
def test_a_tc_whose_qc_has_another_round_than_the_greatest_claim_is_refused(
    idle, verifier, high_round
):
    tc = idle.tc(5, {0: 0, 1: 1, 2: 2, 3: 1, 6: 2}, idle.qc(high_round, BLOCK))
    with pytest.raises(RefusedError, match="the greatest claim is 2"):
        verifier.tc(tc)


def test_a_tc_with_a_claim_that_is_not_below_its_round_is_refused(idle, verifier):
    tc = idle.tc(5, {0: 5, 1: 1, 2: 2, 3: 1, 6: 2}, idle.qc(5, BLOCK))
    with pytest.raises(RefusedError, match="claim 5 by 0"):
        verifier.tc(tc)


def test_a_tc_of_fewer_than_a_quorum_is_refused(idle, verifier):
    tc = idle.tc(5, {0: 0, 1: 0, 2: 0, 3: 0}, idle.genesis()[1])
    with pytest.raises(RefusedError, match="4 distinct of 4 signers"):
        verifier.tc(tc)


def test_a_tc_with_a_changed_claim_is_refused(idle, verifier):
    high = idle.qc(2, BLOCK)
    tc = idle.tc(5, {0: 2, 1: 1, 2: 1, 3: 1, 4: 1}, high)
    claims = [replace(tc.claims[0]), *tc.claims[1:4], replace(tc.claims[4], high_qc_round=Round(0))]
    changed = new_tc(epoch=Epoch(1), round_=Round(5), claims=claims, high_qc=high)
    with pytest.raises(RefusedError, match="signature of member 4"):
        verifier.tc(changed)


def test_a_tc_counts_only_if_its_qc_verifies(idle, verifier):
    forged = rebuilt(idle.qc(2, BLOCK), votes={MemberIndex(i): bytes(64) for i in range(5)})
    tc = idle.tc(5, dict.fromkeys(range(5), 2), forged)
    with pytest.raises(RefusedError, match="signature of member 0"):
        verifier.tc(tc)


def test_fast_votes_are_reserved_and_empty(idle, verifier):
    high = idle.genesis()[1]
    tc = idle.tc(5, dict.fromkeys(range(5), 0), high)
    claims = [TimeoutClaim(tc.claims[0].voter, Round(0), b"x", bytes(64)), *tc.claims[1:]]
    with pytest.raises(RefusedError, match="fast_vote"):
        verifier.tc(new_tc(epoch=Epoch(1), round_=Round(5), claims=claims, high_qc=high))


def test_a_timeout_with_a_fast_vote_is_refused_although_it_is_signed(idle, verifier):
    message = timeout_signing_bytes(
        origin=idle.cell.origin,
        epoch=Epoch(1),
        round_=Round(1),
        high_qc_round=Round(0),
        fast_vote=b"x",
    )
    made = new_timeout(
        epoch=Epoch(1),
        round_=Round(1),
        high_qc=idle.genesis()[1],
        tc=None,
        fast_vote=b"x",
        voter=MemberIndex(0),
        signature=idle.vote_keys[0].sign(message),
    )
    with pytest.raises(RefusedError, match="1 bytes of fast_vote, which is reserved"):
        verifier.timeout(made)


def timeout(idle, round_, high_qc, tc=None, voter=0):
    claim = idle.claim(voter, round_, high_qc.round)
    return new_timeout(
        epoch=Epoch(1),
        round_=Round(round_),
        high_qc=high_qc,
        tc=tc,
        fast_vote=b"",
        voter=MemberIndex(voter),
        signature=claim.signature,
    )


def test_a_timeout_whose_qc_enters_its_round_needs_no_tc(idle, verifier):
    assert verifier.timeout(timeout(idle, 4, idle.qc(3, BLOCK))).tc is None


def test_a_tc_that_a_timeout_need_not_show_is_not_looked_at(idle, verifier):
    """Whatever it says: else it would cost signatures, and a member could send any number."""
    forged = idle.tc(3, dict.fromkeys(range(4), 1), idle.qc(1, BLOCK))
    assert verifier.timeout(timeout(idle, 4, idle.qc(3, BLOCK), forged)).tc is None


def test_any_other_timeout_shows_the_tc_that_enters_its_round(idle, verifier):
    high = idle.qc(1, BLOCK)
    tc = idle.tc(3, dict.fromkeys(range(5), 1), high)
    assert verifier.timeout(timeout(idle, 4, high, tc)).tc.tc is tc
    for shown in (None, idle.tc(2, dict.fromkeys(range(5), 1), high)):
        with pytest.raises(RefusedError, match="does not show what entered it"):
            verifier.timeout(timeout(idle, 4, high, shown))


@pytest.mark.parametrize("tc_round", [4, 5])
def test_a_timeout_does_not_show_a_tc_of_its_own_round_or_a_later_one(idle, verifier, tc_round):
    high = idle.qc(1, BLOCK)
    late = idle.tc(tc_round, dict.fromkeys(range(5), 1), high)
    with pytest.raises(RefusedError, match="does not show what entered it"):
        verifier.timeout(timeout(idle, 4, high, late))


def test_a_timeout_counts_only_if_its_tc_verifies(idle, verifier):
    high = idle.qc(1, BLOCK)
    few = idle.tc(3, dict.fromkeys(range(4), 1), high)
    with pytest.raises(RefusedError, match="4 distinct of 4 signers"):
        verifier.timeout(timeout(idle, 4, high, few))


def test_a_timeout_with_a_qc_of_its_own_round_is_refused(idle, verifier):
    with pytest.raises(RefusedError, match="time-out of round 4 with a QC of round 4"):
        verifier.timeout(timeout(idle, 4, idle.qc(4, BLOCK)))


def test_a_timeout_counts_only_if_its_own_qc_verifies(idle, verifier):
    forged = rebuilt(idle.qc(3, BLOCK), votes={MemberIndex(i): bytes(64) for i in range(5)})
    with pytest.raises(RefusedError, match="signature of member 0"):
        verifier.timeout(timeout(idle, 4, forged))


def test_a_timeout_signed_by_nobody_or_for_another_qc_is_refused(idle, verifier):
    """What is signed is the round of the very QC that it brings."""
    good = timeout(idle, 4, idle.qc(3, BLOCK))
    assert verifier.timeout(good).timeout is good
    other = idle.claim(0, 4, 2).signature
    for signature in (bytes(64), other):
        with pytest.raises(RefusedError, match="signature of member 0"):
            verifier.timeout(replace(good, signature=signature))


def test_a_block_enters_its_round_by_the_qc_of_the_round_before(idle, verifier):
    _one, two = idle.chain([1, 2])
    assert verifier.entry(two.block).tc is None
    for round_ in (1, 3):
        with pytest.raises(RefusedError):
            verifier.entry(replace(two.block, round=Round(round_)))


def test_a_block_enters_its_round_by_the_tc_of_the_round_before(idle, verifier):
    _one, four = idle.chain([1, 4])
    assert verifier.entry(four.block).tc.tc.round == 3
    for round_ in (3, 5):
        with pytest.raises(RefusedError):
            verifier.entry(replace(four.block, round=Round(round_)))


def test_a_block_with_a_tc_must_extend_the_greatest_claim(idle, verifier):
    _one, two = idle.chain([1, 2])
    tc = idle.tc(4, {0: 2, 1: 1, 2: 1, 3: 1, 4: 1}, idle.qc(2, two.block.id))
    low = replace(two.block, round=Round(5), tc=tc)
    with pytest.raises(RefusedError, match="justify of round 1 < 2 claimed"):
        verifier.entry(low)


@pytest.mark.parametrize("round_", [5, 6])
def test_the_justify_of_a_block_is_of_an_earlier_round(idle, verifier, round_):
    """A TC of the round before does not excuse a justify of this round or a later one."""
    one, *_ = idle.chain([1])
    tc = idle.tc(4, dict.fromkeys(range(5), 0), idle.genesis()[1])
    late = replace(one.block, round=Round(5), justify=idle.qc(round_, BLOCK), tc=tc)
    with pytest.raises(RefusedError, match=f"justify of round {round_} >= round 5"):
        verifier.entry(late)


def test_a_block_counts_only_if_its_certificates_verify(idle, verifier):
    """Where both are there, both are checked: neither vouches for the other."""
    one, four = idle.chain([1, 4])
    forged = rebuilt(four.block.justify, votes={MemberIndex(i): bytes(64) for i in range(5)})
    few = idle.tc(3, dict.fromkeys(range(4), 1), idle.qc(1, one.block.id))
    with pytest.raises(RefusedError, match="signature of member 0"):
        verifier.entry(replace(four.block, justify=forged))
    with pytest.raises(RefusedError, match="4 distinct of 4 signers"):
        verifier.entry(replace(four.block, tc=few))


def test_a_commit_proof_is_two_certified_blocks_in_consecutive_rounds(idle, verifier):
    one, two, four = idle.chain([1, 2, 4])
    proof = CommitProof(two.block, idle.qc(2, two.block.id))
    assert verifier.commit(proof).proof.block_id == one.block.id

    with pytest.raises(RefusedError, match="does not directly follow"):
        verifier.commit(CommitProof(four.block, idle.qc(4, four.block.id)))
    with pytest.raises(RefusedError, match="is not of the child"):
        verifier.commit(CommitProof(two.block, idle.qc(2, BLOCK)))
    with pytest.raises(RefusedError, match="is not of the child"):
        verifier.commit(CommitProof(two.block, idle.qc(3, two.block.id)))
    with pytest.raises(RefusedError, match="quorum"):
        verifier.commit(CommitProof(two.block, idle.qc(2, two.block.id, voters=range(4))))


def test_a_commit_proof_needs_the_certificate_of_the_block_it_commits(idle, verifier):
    """A quorum may certify a child whose justify nobody ever signed: that proves nothing."""
    _one, two = idle.chain([1, 2])
    forged = rebuilt(two.block.justify, votes={MemberIndex(i): bytes(64) for i in range(5)})
    child = replace(two.block, justify=forged)
    with pytest.raises(RefusedError, match="signature of member 0"):
        verifier.commit(CommitProof(child, idle.qc(2, child.id)))


def test_no_certificate_is_made_of_less_or_more_than_a_quorum(idle, verifier):
    high = idle.qc(3, BLOCK)
    for count in (4, 6):
        votes = {MemberIndex(i): idle.vote(i, 3, BLOCK).signature for i in range(count)}
        with pytest.raises(AssertionError):
            verifier.qc_of_votes(round_=Round(3), block_id=BLOCK, votes=votes)
        timeouts = [verifier.timeout(timeout(idle, 4, high, voter=i)) for i in range(count)]
        with pytest.raises(AssertionError):
            verifier.tc_of_timeouts(timeouts)


def test_certificates_made_from_verified_parts_are_not_verified_again(idle, verifier):
    votes = {MemberIndex(i): idle.vote(i, 3, BLOCK).signature for i in range(5)}
    made = verifier.qc_of_votes(round_=Round(3), block_id=BLOCK, votes=votes)
    timeouts = [verifier.timeout(timeout(idle, 4, made.qc, voter=i)) for i in (6, 1, 2, 3, 4)]
    made_tc = verifier.tc_of_timeouts(timeouts)
    checked = idle.verifier.checked

    verifier.qc(made.qc)
    verifier.tc(made_tc.tc)

    assert idle.verifier.checked == checked
    fresh = idle.certificates()
    assert fresh.tc(made_tc.tc).tc.high_qc_round == 3


def test_a_certificate_made_here_is_remembered_longer_than_the_votes_in_it(
    idle, verifier, monkeypatch
):
    monkeypatch.setattr("heptad.consensus.certificates._REMEMBERED_MAX", 5)
    votes = [idle.vote(voter, 3, BLOCK) for voter in range(5)]
    for vote in votes:
        verifier.vote(vote)
    signatures = {vote.voter: vote.signature for vote in votes}
    made = verifier.qc_of_votes(round_=Round(3), block_id=BLOCK, votes=signatures)
    for voter in range(5):
        verifier.vote(idle.vote(voter, 4, BLOCK))
    checked = idle.verifier.checked
    verifier.qc(made.qc)
    assert idle.verifier.checked == checked
