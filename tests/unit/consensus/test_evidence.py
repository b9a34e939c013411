"""Proofs of misbehaviour: one form for one fact, and nothing that an honest member did is one."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.consensus.errors import RefusedError
from heptad.consensus.evidence import (
    EVIDENCE_BYTES_MAX,
    Charge,
    Offence,
    decode_evidence,
    of_batches,
    of_cosignatures,
    of_votes,
)
from heptad.consensus.judging import Judge
from heptad.consensus.objects import Cosignature, LogHead
from heptad.model.batch import batch_signing_bytes, signed
from heptad.model.canonical import MalformedError
from heptad.model.ids import MemberIndex
from heptad.transparency.checkpoint import Checkpoint, cosigned_message
from heptad.transparency.merkle import CompactRange, leaf_hashes

A, B = b"a" * 32, b"b" * 32


@pytest.fixture(scope="module")
def idle(make_world):
    return make_world()


@pytest.fixture(scope="module")
def judge(idle):
    return Judge(idle.cell, idle.verifier)


def origin(idle):
    return idle.cell.origin


def cosignature(idle, member, size, root, *, time_s=7, of=None):
    body = Checkpoint(of or origin(idle), size, root).body()
    signature = idle.cosign_keys[member].sign(cosigned_message(body, time_s=time_s))
    return Cosignature(MemberIndex(member), LogHead(size, root), time_s, signature)


def root_of(entries):
    return CompactRange.empty().extended(leaf_hashes(entries)).root()


def consistency(entries, *, old_size):
    """RFC 9162, section 2.1.4.1, as it stands there: slow and obvious."""

    def mth(leaves):
        return root_of(leaves)

    def subproof(m, leaves, is_whole):
        n = len(leaves)
        if m == n:
            return [] if is_whole else [mth(leaves)]
        k = 1 << (n - 1).bit_length() - 1
        if m <= k:
            return [*subproof(m, leaves[:k], is_whole), mth(leaves[k:])]
        return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]

    return subproof(old_size, entries, True)


def two_votes(idle, member=4, round_=3):
    return of_votes(idle.vote(member, round_, B), idle.vote(member, round_, A), origin=origin(idle))


def two_roots(idle, member=2):
    return of_cosignatures(
        cosignature(idle, member, 9, B),
        cosignature(idle, member, 9, A, time_s=8),
        root_before=B,
        proof=(),
        origin=origin(idle),
    )


def two_histories(idle, member=2, sizes=(5, 11)):
    entries = [b"%d" % number for number in range(sizes[1])]
    return of_cosignatures(
        cosignature(idle, member, sizes[1], root_of(entries)),
        cosignature(idle, member, sizes[0], A),
        root_before=root_of(entries[: sizes[0]]),
        proof=consistency(entries, old_size=sizes[0]),
        origin=origin(idle),
    )


def two_batches(idle):
    return of_batches(idle.batch(records=1), idle.batch(records=2), origin=origin(idle))


PROOFS = [two_votes, two_roots, two_histories, two_batches]


@pytest.mark.parametrize("make", PROOFS)
def test_a_proof_holds_and_decodes_to_itself(idle, judge, make):
    evidence = make(idle)
    assert decode_evidence(evidence.encoded) == evidence
    assert judge.read(evidence.encoded) == evidence
    assert len(evidence.encoded) < 1_500 < EVIDENCE_BYTES_MAX


@pytest.mark.parametrize("sizes", [(m, n) for n in range(2, 18) for m in range(1, n)])
def test_a_smaller_head_of_another_history_is_proved_at_every_size(idle, judge, sizes):
    judge.require(two_histories(idle, sizes=sizes))


def test_two_observers_make_the_same_bytes_whichever_side_they_saw_first(idle):
    one, other = idle.vote(4, 3, A), idle.vote(4, 3, B)
    name = origin(idle)
    assert of_votes(one, other, origin=name) == of_votes(other, one, origin=name)
    first, second = idle.batch(records=1), idle.batch(records=2)
    assert of_batches(first, second, origin=name) == of_batches(second, first, origin=name)


def test_it_names_the_accused_as_the_cell_does(idle):
    assert two_votes(idle).charge == Charge(Offence.BLOCKS, 4)
    assert two_votes(idle).charge.name == "replica-5"
    assert two_batches(idle).charge == Charge(Offence.BATCHES, 1)
    assert two_batches(idle).charge.name == "validator-1"


@pytest.mark.parametrize("make", PROOFS)
def test_a_proof_with_any_bit_changed_does_not_hold(idle, judge, make):
    encoded = make(idle).encoded
    for at in range(len(encoded)):
        changed = encoded[:at] + bytes([encoded[at] ^ 1 << at % 8]) + encoded[at + 1 :]
        with pytest.raises(RefusedError):
            judge.read(changed)


@pytest.mark.parametrize("make", PROOFS)
def test_a_truncated_or_longer_proof_is_refused(idle, make):
    encoded = make(idle).encoded
    for size in range(len(encoded)):
        with pytest.raises(MalformedError):
            decode_evidence(encoded[:size])
    with pytest.raises(MalformedError):
        decode_evidence(encoded + b"\0")


@given(st.binary(max_size=900))
def test_garbage_is_refused_and_never_crashes(data):
    with pytest.raises(MalformedError):
        decode_evidence(data)


@given(offence=st.sampled_from([1, 2, 3]), rest=st.binary(max_size=700))
def test_garbage_behind_a_right_beginning_is_refused_and_never_crashes(idle, judge, offence, rest):
    name = origin(idle).encode()
    encoded = bytes([1, offence, 0, len(name)]) + name + bytes([0, 0, 0, 1]) + rest
    with pytest.raises(RefusedError):
        judge.read(encoded)


def swapped(evidence):
    """The same proof with its sides in the other order."""
    size = {Offence.BLOCKS: 96, Offence.HEADS: 112, Offence.BATCHES: 161}[evidence.charge.offence]
    at = len(evidence.encoded) - 2 * size
    if evidence.charge.offence is Offence.HEADS:
        at -= 33
    first, second = (evidence.encoded[at + n * size :][:size] for n in range(2))
    return evidence.encoded[:at] + second + first + evidence.encoded[at + 2 * size :]


@pytest.mark.parametrize("make", [two_votes, two_roots, two_batches])
def test_sides_in_the_other_order_are_refused(idle, make):
    with pytest.raises(MalformedError, match="do not ascend"):
        decode_evidence(swapped(make(idle)))


def refused(judge, evidence):
    with pytest.raises(RefusedError) as caught:
        judge.read(evidence.encoded)
    return str(caught.value)


def test_one_block_twice_is_no_proof(idle, judge):
    vote = idle.vote(4, 3, A)
    assert "do not ascend" in refused(judge, of_votes(vote, vote, origin=origin(idle)))


def test_votes_of_two_rounds_are_no_proof(idle, judge):
    other = replace(idle.vote(4, 4, B), round=3)
    evidence = of_votes(idle.vote(4, 3, A), other, origin=origin(idle))
    assert "second signature: not by replica-5" in refused(judge, evidence)


def test_the_vote_of_another_member_is_no_proof(idle, judge):
    other = replace(idle.vote(5, 3, B), voter=4)
    evidence = of_votes(idle.vote(4, 3, A), other, origin=origin(idle))
    assert "second signature: not by replica-5" in refused(judge, evidence)


def test_votes_of_another_epoch_or_cell_are_no_proof(idle, judge):
    name = origin(idle)
    later = [replace(idle.vote(4, 3, each, epoch=2), epoch=2) for each in (A, B)]
    assert "of epoch 2" in refused(judge, of_votes(*later, origin=name))
    elsewhere = [idle.vote(4, 3, each, origin="other.example/log") for each in (A, B)]
    assert "origin: of the cell" in refused(judge, of_votes(*elsewhere, origin="other.example/log"))
    assert "not by replica-5" in refused(judge, of_votes(*elsewhere, origin=name))


def test_a_stranger_is_not_accused(idle, judge):
    votes = [replace(idle.vote(4, 3, each), voter=7) for each in (A, B)]
    assert "replica-8 is not of this cell" in refused(judge, of_votes(*votes, origin=origin(idle)))
    batches = [idle.batch(records=1), idle.batch(records=2)]
    strange = [replace(b, header=replace(b.header, validator=9)) for b in batches]
    evidence = of_batches(*strange, origin=origin(idle))
    assert "validator-9 is not of this cell" in refused(judge, evidence)


def test_the_same_head_cosigned_again_later_is_no_proof(idle, judge):
    again = [cosignature(idle, 2, 9, A, time_s=time_s) for time_s in (7, 8)]
    evidence = of_cosignatures(*again, root_before=A, proof=(), origin=origin(idle))
    assert "do not ascend" in refused(judge, evidence)


@pytest.mark.parametrize("sizes", [(5, 11), (4, 8), (1, 2), (8, 9)])
def test_two_heads_of_one_history_are_no_proof_whatever_root_is_claimed(idle, judge, sizes):
    entries = [b"%d" % number for number in range(sizes[1])]
    honest = [
        cosignature(idle, 2, size, root_of(entries[:size])) for size in sizes
    ]  # fmt: skip
    right = root_of(entries[: sizes[0]])
    proof = consistency(entries, old_size=sizes[0])
    for root, hashes in ((right, proof), (A, proof), (A, [A, *proof[1:]]), (A, []), (A, [A] * 9)):
        evidence = of_cosignatures(
            *honest, root_before=root, proof=hashes, origin=origin(idle)
        )  # fmt: skip
        assert "conflict" in refused(judge, evidence)


def test_two_roots_of_one_size_need_no_proof_and_take_none(idle, judge):
    heads = [cosignature(idle, 2, 9, each) for each in (A, B)]
    for root, hashes in ((A, []), (sha256(b"").digest(), []), (B, [A])):
        evidence = of_cosignatures(*heads, root_before=root, proof=hashes, origin=origin(idle))
        assert "conflict" in refused(judge, evidence)


def test_a_head_that_no_log_can_have_is_refused_and_never_crashes(idle, judge):
    empty = Cosignature(MemberIndex(2), LogHead(0, A), 7, bytes(64))
    huge = Cosignature(MemberIndex(2), LogHead((1 << 64) - 1, B), 7, bytes(64))
    evidence = of_cosignatures(empty, huge, root_before=B, proof=(), origin=origin(idle))
    assert "conflict" in refused(judge, evidence)
    assert [finding.holds for finding in judge.examine(evidence)] == [True, True, *[False] * 3]


def test_batches_of_two_numbers_are_no_proof(idle, judge):
    evidence = of_batches(idle.batch(sequence=0), idle.batch(sequence=1), origin=origin(idle))
    assert "two numbers" in refused(judge, evidence)


def test_batches_in_another_validators_name_are_no_proof(idle, judge):
    """Validator 2 signs batches that say they are validator 1's: wrong, but not this offence."""
    key = idle.batch_keys[2]
    batches = [
        signed(each, key.sign(batch_signing_bytes(origin=origin(idle), digest=each.digest)))
        for each in (idle.batch(records=1), idle.batch(records=2))
    ]
    encoded = of_batches(*batches, origin=origin(idle)).encoded
    at = 4 + len(origin(idle).encode())
    assert encoded[at : at + 4] == bytes([0, 0, 0, 1])
    with pytest.raises(RefusedError, match="batches of validator 1, not of validator-2"):
        judge.read(encoded[:at] + bytes([0, 0, 0, 2]) + encoded[at + 4 :])


def test_a_batch_and_its_pruned_form_are_one(idle, judge):
    batch = idle.batch()
    evidence = of_batches(batch, batch.pruned(), origin=origin(idle))
    assert "do not ascend" in refused(judge, evidence)


def test_examining_names_every_step(idle, judge):
    findings = judge.examine(two_votes(idle))
    assert [each.subject for each in findings] == [
        "origin", "accused", "conflict", "first signature", "second signature",
    ]  # fmt: skip
    assert all(each.holds for each in findings)
    assert "by the vote key of replica-5" in findings[-1].detail


def test_what_held_once_costs_no_signature_again(idle):
    judge = Judge(idle.cell, idle.verifier)
    encoded = two_votes(idle).encoded
    judge.read(encoded)
    checked = idle.verifier.checked
    judge.read(encoded)
    assert idle.verifier.checked == checked


def test_a_proof_that_was_refused_is_refused_again(idle):
    judge = Judge(idle.cell, idle.verifier)
    other = replace(idle.vote(5, 3, B), voter=4)
    evidence = of_votes(idle.vote(4, 3, A), other, origin=origin(idle))
    for _ in range(2):
        assert "second signature: not by replica-5" in refused(judge, evidence)


def test_the_layout_is_the_one_that_is_documented(idle):
    evidence = two_votes(idle)
    name = origin(idle).encode()
    votes = [idle.vote(4, 3, each) for each in (A, B)]
    assert evidence.encoded == (
        bytes([1, 1, 0, len(name)]) + name + bytes([0, 0, 0, 4])
        + (1).to_bytes(8, "big") + (3).to_bytes(8, "big")
        + A + votes[0].signature + B + votes[1].signature
    )  # fmt: skip
