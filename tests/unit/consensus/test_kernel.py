"""Each rule of the safety kernel, with the case on either side of its boundary."""

from dataclasses import replace
from hashlib import sha256

import pytest

from heptad.consensus.errors import RecordDamagedError, RefusedError
from heptad.consensus.kernel.record import decode_record, encode_record
from heptad.consensus.objects import LogHead
from heptad.consensus.verified import (
    SEAL,
    VerifiedBlock,
    VerifiedCommit,
    VerifiedEntry,
    VerifiedHead,
    VerifiedQC,
    VerifiedTC,
    VerifiedTimeout,
)
from heptad.model.ids import MemberIndex, Round

ORIGIN = "cell.example/log"


@pytest.fixture
def idle(make_world):
    """A world whose replicas do not run: only its keys and makers are used."""
    return make_world()


def head(size, fill=1):
    return VerifiedHead(LogHead(size, bytes([fill]) * 32), SEAL)


def test_a_round_is_voted_in_once(idle):
    genesis, _, state = idle.genesis()
    first = idle.block(genesis, state, 1)
    rival = idle.block(genesis, state, 1, time_ms=5)
    kernel = idle.kernel()

    kernel.vote(first)

    with pytest.raises(RefusedError, match="round 1 <= round_voted 1"):
        kernel.vote(rival)
    assert len(idle.vote_keys[0].signed) == 1


def test_the_same_block_again_gets_the_stored_vote_without_signing(idle):
    genesis, _, state = idle.genesis()
    block = idle.block(genesis, state, 1)
    kernel = idle.kernel()

    assert kernel.vote(block) is kernel.vote(block)
    assert len(idle.vote_keys[0].signed) == 1


def test_no_vote_goes_to_an_older_round_than_the_last(idle):
    one, two = idle.chain([1, 2])
    kernel = idle.kernel()
    kernel.vote(two)
    with pytest.raises(RefusedError, match="round 1 <= round_voted 2"):
        kernel.vote(one)


def test_no_vote_is_given_in_a_round_that_was_timed_out(idle):
    one, two = idle.chain([1, 2])
    kernel = idle.kernel()
    kernel.timeout(Round(1))
    with pytest.raises(RefusedError, match="round 1 <= round_timed_out 1"):
        kernel.vote(one)
    kernel.vote(two)


def test_a_block_of_another_epoch_gets_no_vote(idle):
    (one,) = idle.chain([1])
    record = replace(idle.kernel().record, epoch=2)
    with pytest.raises(RefusedError, match="block of epoch 1, this is epoch 2"):
        idle.kernel(record=record).vote(one)


def unchecked(verified, **changes):
    """A block that says it was verified although its certificates do not enter its round."""
    block = replace(verified.block, **changes)
    entry = VerifiedEntry(block.id, verified.entry.justify, verified.entry.tc, SEAL)
    return VerifiedBlock(block, entry, verified.state, SEAL)


def test_without_a_tc_the_justify_must_be_of_the_round_before(idle):
    """The kernel checks the rule itself: it does not rely on who verified the block."""
    (one,) = idle.chain([1])
    with pytest.raises(RefusedError, match="justify 0 does not enter round 2"):
        idle.kernel().vote(unchecked(one, round=Round(2)))


def test_with_a_tc_the_tc_must_be_of_the_round_before(idle):
    _one, four = idle.chain([1, 4])
    with pytest.raises(RefusedError, match="TC 3"):
        idle.kernel().vote(unchecked(four, round=Round(5)))
    idle.kernel().vote(four)


def test_with_a_tc_the_justify_must_be_no_lower_than_any_claim(idle):
    one, two, _three = idle.chain([1, 2, 3])
    high = idle.qc(2, two.block.id)
    tc = idle.tc(4, {0: 1, 1: 1, 2: 1, 3: 1, 4: 2}, high)
    verifier = idle.certificates()
    low = idle.block(one.block, one.state, 2)
    entry = VerifiedEntry(low.block.id, low.entry.justify, verifier.tc(tc), SEAL)
    block = replace(low.block, round=Round(5), tc=tc)

    with pytest.raises(RefusedError, match="a claim 2 and justify 1"):
        idle.kernel().vote(VerifiedBlock(block, entry, low.state, SEAL))

    exact = idle.block(two.block, two.state, 5, tc=tc)
    idle.kernel().vote(exact)


def test_a_timeout_of_an_older_round_than_the_last_vote_is_refused(idle):
    _one, two = idle.chain([1, 2])
    kernel = idle.kernel()
    kernel.vote(two)
    with pytest.raises(RefusedError, match="time-out of round 1 < round_voted 2"):
        kernel.timeout(Round(1))
    assert kernel.timeout(Round(2)).high_qc.round == 1


def test_a_timeout_of_an_older_round_than_the_last_timeout_is_refused(idle):
    kernel = idle.kernel()
    verifier = idle.certificates()
    kernel.timeout(Round(1))
    kernel.learn_tc(verifier.tc(idle.tc(1, dict.fromkeys(range(5), 0), idle.genesis()[1])))
    kernel.timeout(Round(2))
    with pytest.raises(RefusedError, match="round_timed_out 2"):
        kernel.timeout(Round(1))


def test_the_same_round_again_gets_the_stored_timeout(idle):
    kernel = idle.kernel()
    assert kernel.timeout(Round(1)) is kernel.timeout(Round(1))
    assert len(idle.vote_keys[0].signed) == 1


def test_the_same_round_gets_a_new_timeout_only_with_a_higher_qc(idle):
    """A QC that comes late, below a TC, raises high_qc without a new round."""
    (one,) = idle.chain([1])
    kernel, verifier = idle.kernel(), idle.certificates()
    kernel.learn_tc(verifier.tc(idle.tc(3, dict.fromkeys(range(5), 0), idle.genesis()[1])))
    before = kernel.timeout(Round(4))
    kernel.learn_qc(verifier.qc(idle.qc(1, one.block.id)))

    after = kernel.timeout(Round(4))

    assert (before.high_qc.round, after.high_qc.round) == (0, 1)


def test_a_timeout_of_a_round_that_nothing_enters_is_refused(idle):
    with pytest.raises(RefusedError, match="round 2 does not follow high_qc 0"):
        idle.kernel().timeout(Round(2))


@pytest.mark.parametrize("round_", [2, 3])
def test_a_round_that_a_certificate_has_ended_is_not_given_up_on(idle, round_):
    """Not even with the TC that once entered it: such a time-out could not be counted."""
    _one, _two, three = idle.chain([1, 2, 3])
    kernel, verifier = idle.kernel(), idle.certificates()
    entered_by = idle.tc(round_ - 1, dict.fromkeys(range(5), 0), idle.genesis()[1])
    kernel.learn_tc(verifier.tc(entered_by))
    kernel.learn_qc(verifier.qc(idle.qc(3, three.block.id)))
    with pytest.raises(RefusedError, match=f"round {round_} does not follow high_qc 3"):
        kernel.timeout(Round(round_))


@pytest.mark.parametrize("round_", [3, 5, 6])
def test_a_timeout_of_a_round_that_its_tc_does_not_enter_is_refused(idle, round_):
    kernel, verifier = idle.kernel(), idle.certificates()
    kernel.learn_tc(verifier.tc(idle.tc(3, dict.fromkeys(range(5), 0), idle.genesis()[1])))
    with pytest.raises(RefusedError, match=f"round {round_} follows neither high_qc 0 nor a TC"):
        kernel.timeout(Round(round_))
    assert kernel.timeout(Round(4)).tc.round == 3


def test_a_timeout_shows_the_tc_unless_its_qc_enters_the_round(idle):
    kernel, verifier = idle.kernel(), idle.certificates()
    assert kernel.timeout(Round(1)).tc is None
    kernel.learn_tc(verifier.tc(idle.tc(1, dict.fromkeys(range(5), 0), idle.genesis()[1])))
    assert kernel.timeout(Round(2)).tc.round == 1


def test_a_timeout_whose_qc_enters_its_round_shows_no_tc(idle):
    """A TC of an older round is not what entered this one."""
    _one, two = idle.chain([1, 2])
    kernel, verifier = idle.kernel(), idle.certificates()
    kernel.learn_tc(verifier.tc(idle.tc(1, dict.fromkeys(range(5), 0), idle.genesis()[1])))
    kernel.learn_qc(verifier.qc(idle.qc(2, two.block.id)))
    assert kernel.timeout(Round(3)).tc is None


def test_a_round_is_proposed_in_once(idle):
    genesis, _, state = idle.genesis()
    kernel = idle.kernel()
    kernel.propose(idle.block(genesis, state, 1))
    with pytest.raises(RefusedError, match="round 1 <= round_proposed 1"):
        kernel.propose(idle.block(genesis, state, 1, time_ms=5))


def test_a_proposal_is_a_vote_so_its_proposer_votes_for_nothing_else(idle):
    genesis, _, state = idle.genesis()
    kernel = idle.kernel()
    kernel.propose(idle.block(genesis, state, 1))
    with pytest.raises(RefusedError, match="round_voted 1"):
        kernel.vote(idle.block(genesis, state, 1, proposer=3))


def test_nobody_proposes_in_another_members_name(idle):
    genesis, _, state = idle.genesis()
    with pytest.raises(RefusedError, match="block by 3 proposed as member 0"):
        idle.kernel().propose(idle.block(genesis, state, 1, proposer=3))


def test_a_proposal_needs_all_that_a_vote_needs(idle):
    """Its signature is a vote, so the rules of a vote hold for it too."""
    one, _two, three = idle.chain([1, 2, 3])
    kernel = idle.kernel()
    kernel.timeout(Round(1))
    with pytest.raises(RefusedError, match="round 1 <= round_timed_out 1"):
        kernel.propose(one)
    with pytest.raises(RefusedError, match="justify 2 does not enter round 4"):
        kernel.propose(unchecked(three, round=Round(4)))
    kernel = idle.kernel()
    kernel.vote(three)
    with pytest.raises(RefusedError, match="round 1 <= round_voted 3"):
        kernel.propose(one)


def test_the_highest_certificates_never_decrease(idle):
    one, two = idle.chain([1, 2])
    kernel, verifier = idle.kernel(), idle.certificates()
    high, low = (verifier.qc(idle.qc(each.block.round, each.block.id)) for each in (two, one))
    late = verifier.tc(idle.tc(5, dict.fromkeys(range(5), 2), high.qc))
    early = verifier.tc(idle.tc(3, dict.fromkeys(range(5), 2), high.qc))

    kernel.learn_tc(late)
    kernel.learn_tc(early)
    kernel.learn_qc(low)

    assert kernel.record.highest_tc.round == 5
    assert kernel.record.high_qc.round == 2


def test_a_higher_certificate_replaces_a_lower_one(idle):
    one, two = idle.chain([1, 2])
    kernel, verifier = idle.kernel(), idle.certificates()
    low, high = (idle.qc(each.block.round, each.block.id) for each in (one, two))

    kernel.learn_tc(verifier.tc(idle.tc(3, dict.fromkeys(range(5), 1), low)))
    assert (kernel.record.highest_tc.round, kernel.record.high_qc.round) == (3, 1)
    kernel.learn_tc(verifier.tc(idle.tc(5, dict.fromkeys(range(5), 2), high)))
    assert (kernel.record.highest_tc.round, kernel.record.high_qc.round) == (5, 2)


def test_a_vote_makes_the_certificates_it_depends_on_part_of_the_same_record(idle):
    _one, four = idle.chain([1, 4])
    kernel = idle.kernel()

    kernel.vote(four)

    record = decode_record(kernel.take_record(), origin=ORIGIN, member=MemberIndex(0))
    assert record.round_voted == 4
    assert record.high_qc.round == 1
    assert record.highest_tc.round == 3


def test_a_vote_makes_the_justify_it_depends_on_part_of_the_same_record(idle):
    _one, two = idle.chain([1, 2])
    kernel = idle.kernel()

    kernel.vote(two)

    record = decode_record(kernel.take_record(), origin=ORIGIN, member=MemberIndex(0))
    assert (record.round_voted, record.high_qc.round) == (2, 1)


@pytest.mark.parametrize("act", ["vote", "timeout", "propose", "cosign"])
def test_everything_that_is_signed_asks_for_a_write(idle, act):
    (one,) = idle.chain([1])
    kernel = idle.kernel()
    acts = {
        "vote": lambda: kernel.vote(one),
        "timeout": lambda: kernel.timeout(Round(1)),
        "propose": lambda: kernel.propose(one),
        "cosign": lambda: kernel.cosign(head(5), time_s=1),
    }
    acts[act]()
    assert decode_record(kernel.take_record(), origin=ORIGIN, member=MemberIndex(0)) == (
        kernel.record
    )


def test_learning_alone_asks_for_no_write(idle):
    (one,) = idle.chain([1])
    kernel = idle.kernel()
    kernel.learn_qc(idle.certificates().qc(idle.qc(1, one.block.id)))
    assert kernel.take_record() is None
    kernel.timeout(Round(2))
    assert kernel.take_record() is not None
    assert kernel.take_record() is None


def test_a_cosigned_head_never_shrinks(idle):
    kernel = idle.kernel()
    kernel.cosign(head(5), time_s=1)
    with pytest.raises(RefusedError, match="head of size 4 < size 5"):
        kernel.cosign(head(4), time_s=2)


def test_no_two_roots_are_cosigned_for_one_size(idle):
    kernel = idle.kernel()
    kernel.cosign(head(5, fill=1), time_s=1)
    with pytest.raises(RefusedError, match="two roots for size 5"):
        kernel.cosign(head(5, fill=2), time_s=2)
    assert kernel.cosign(head(5, fill=1), time_s=3).time_s == 3


def test_a_cosignature_signs_what_witnesses_sign(idle):
    kernel = idle.kernel()
    kernel.cosign(head(5), time_s=77)
    assert idle.cosign_keys[0].signed == [
        b"cosignature/v1\ntime 77\ncell.example/log\n5\n"
        b"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
    ]
    assert idle.vote_keys[0].signed == []


def test_a_refusal_changes_nothing(idle):
    one, two = idle.chain([1, 2])
    kernel = idle.kernel()
    kernel.vote(two)
    kernel.take_record()
    before = kernel.record
    for refused in (lambda: kernel.vote(one), lambda: kernel.timeout(Round(1))):
        with pytest.raises(RefusedError):
            refused()
    assert kernel.record is before
    assert kernel.take_record() is None


def full_record(idle):
    one, four = idle.chain([1, 4])
    kernel = idle.kernel()
    kernel.propose(one)
    kernel.vote(four)
    kernel.timeout(Round(4))
    kernel.cosign(head(5), time_s=1)
    return kernel


def test_the_record_survives_its_encoding_with_every_field(idle):
    kernel = full_record(idle)
    encoded = encode_record(kernel.record, origin=ORIGIN, member=MemberIndex(0))
    assert decode_record(encoded, origin=ORIGIN, member=MemberIndex(0)) == kernel.record


def test_a_record_of_another_cell_or_member_is_refused(idle):
    encoded = encode_record(full_record(idle).record, origin=ORIGIN, member=MemberIndex(0))
    with pytest.raises(RecordDamagedError, match="this is member 1"):
        decode_record(encoded, origin=ORIGIN, member=MemberIndex(1))
    with pytest.raises(RecordDamagedError, match="of 'other'"):
        decode_record(encoded, origin="other", member=MemberIndex(0))


def test_a_damaged_record_is_refused_wherever_the_damage_is(idle):
    encoded = encode_record(full_record(idle).record, origin=ORIGIN, member=MemberIndex(0))
    for at in range(0, len(encoded), 7):
        broken = bytearray(encoded)
        broken[at] ^= 1
        with pytest.raises(RecordDamagedError):
            decode_record(bytes(broken), origin=ORIGIN, member=MemberIndex(0))
    for cut in (0, 10, len(encoded) - 1):
        with pytest.raises(RecordDamagedError):
            decode_record(encoded[:cut], origin=ORIGIN, member=MemberIndex(0))


@pytest.mark.parametrize("change", [lambda body: body + b"x", lambda body: body[:-1]])
def test_a_record_that_is_longer_or_shorter_than_its_fields_is_refused(idle, change):
    """Its checksum holds, so no disk has done this: another program wrote it."""
    encoded = encode_record(idle.kernel().record, origin=idle.cell.origin, member=0)
    body = change(encoded[:-32])
    with pytest.raises(RecordDamagedError, match="safety record"):
        decode_record(body + sha256(body).digest(), origin=idle.cell.origin, member=0)


def test_a_record_of_another_version_is_refused(idle):
    """Its checksum holds, and its fields may mean something else."""
    encoded = encode_record(full_record(idle).record, origin=ORIGIN, member=MemberIndex(0))
    body = bytes([encoded[0] + 2]) + encoded[1:-32]
    with pytest.raises(RecordDamagedError, match="of version 3"):
        decode_record(body + sha256(body).digest(), origin=ORIGIN, member=MemberIndex(0))


def test_verified_values_cannot_be_made_without_the_seal(idle):
    _, genesis_qc, _ = idle.genesis()
    block = idle.genesis()[0]
    qc = VerifiedQC(genesis_qc, SEAL)
    entry = VerifiedEntry(block.id, qc, None, SEAL)
    makers = (
        lambda seal: VerifiedQC(genesis_qc, seal),
        lambda seal: VerifiedTC(None, qc, seal),
        lambda seal: VerifiedTimeout(None, qc, None, seal),
        lambda seal: VerifiedEntry(block.id, qc, None, seal),
        lambda seal: VerifiedBlock(block, entry, None, seal),
        lambda seal: VerifiedCommit(None, qc, seal),
        lambda seal: VerifiedHead(block.head, seal),
    )
    for make in makers:
        make(SEAL)
        with pytest.raises(AssertionError):
            make(object())


def test_a_verified_block_cannot_borrow_the_certificates_of_another(idle):
    one, two = idle.chain([1, 2])
    with pytest.raises(AssertionError):
        VerifiedBlock(two.block, one.entry, two.state, SEAL)


def test_a_stored_vote_is_not_given_again_once_its_round_is_timed_out(idle):
    """It may never have left the process: released after the time-out it would break the rule."""
    (one,) = idle.chain([1])
    kernel = idle.kernel()
    kernel.vote(one)
    kernel.timeout(Round(1))
    with pytest.raises(RefusedError, match="round 1 <= round_voted 1"):
        kernel.vote(one)
