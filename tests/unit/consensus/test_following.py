"""A replica that has lost its safety record: it follows, it serves, and it signs nothing."""

from copy import deepcopy
from dataclasses import replace

import pytest

from heptad.consensus.codec import new_qc
from heptad.consensus.core import may_sign
from heptad.consensus.driver import Driver
from heptad.consensus.errors import RecordMissingError, RefusedError
from heptad.consensus.kernel.record import decode_record, encode_record, first_record
from heptad.consensus.kernel.rules import Kernel
from heptad.consensus.messages import Certificates, ChainReply, Proposal
from heptad.consensus.objects import LogHead, Timeout, Vote
from heptad.consensus.ports import Restored
from heptad.consensus.validity import committed_head
from heptad.consensus.verified import SEAL, VerifiedHead

ORIGIN = "cell.example/log"
LOST = 6


class Unused:
    """A key that must not be touched."""

    public = b"x" * 32

    def sign(self, message: bytes) -> bytes:
        raise AssertionError("a follower's key was used")


def load(world, start, stop, every_ms=40):
    for sequence in range(start, stop):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=every_ms)


def follow(world, index=LOST):
    """Start a member as its wiring does once its store is gone: without keys."""
    replica = world.replicas[index]
    replica.driver = Driver(
        cell=world.cell,
        me=replica.index,
        limits=world.limits,
        vote_signer=None,
        cosigner=None,
        verifier=world.verifier,
        store=replica.store,
        outbox=world.port(index),
        sink=replica,
        is_new=False,
    )
    replica.driver.start(world.now_ms)


def lose(world, index=LOST):
    """The member's disk is replaced by an empty one."""
    world.crash(index)
    replica = world.replicas[index]
    replica.store = type(replica.store)()
    replica.commits, replica.cosignatures = [], []


def said(world, start, index=LOST):
    return [m for _, source, _, m in world.sent[start:] if source == index]


@pytest.fixture
def following(world):
    """Six members, and one that follows after its disk was lost."""
    load(world, 0, 10)
    lose(world)
    load(world, 10, 14)
    follow(world)
    return world


def status(world, index=LOST):
    return world.replicas[index].driver.status()


def test_a_follower_commits_all_that_the_others_do_and_signs_nothing(following):
    start = len(following.sent)
    load(following, 14, 30)
    following.run()
    assert status(following).is_follower
    assert status(following).head == status(following, 0).head
    assert not any(isinstance(m, Vote | Timeout | Proposal) for m in said(following, start))
    assert following.replicas[LOST].cosignatures == []
    following.assert_agreement()


def test_a_follower_that_leads_lets_its_rounds_pass_and_the_group_goes_on(following):
    """With term after term each of the seven is due; the follower's turns time out."""
    following.limits = replace(following.limits, term_rounds=2)
    for index in range(LOST):
        following.crash(index)
        following.restart(index)
    lose(following)
    follow(following)
    load(following, 14, 40, every_ms=400)
    following.run(for_ms=10_000)
    assert status(following, 0).committed_height == status(following).committed_height
    assert following.replicas[0].log()[-1] == (1, 1, 39)


def test_a_follower_says_no_time_out_but_asks_and_is_answered(following):
    """It misses what commits the last block, and no later traffic brings it."""
    following.run()
    start = len(following.sent)
    following.drop = lambda source, target, m: target == LOST and isinstance(m, Certificates)
    following.submit(following.batch(sequence=14))
    following.run(for_ms=100)
    assert status(following).committed_height < status(following, 0).committed_height
    following.drop = lambda *_: False
    following.run()
    assert status(following).committed_height == status(following, 0).committed_height
    assert [m for m in said(following, start) if isinstance(m, Certificates)]


def test_a_follower_falls_silent_when_it_has_all(following):
    following.run()
    assert status(following).committed_height == status(following, 0).committed_height
    assert following.replicas[LOST].driver.timer_at_ms is None


def test_a_follower_serves_the_chain_to_others(following):
    following.run()
    following.crash(5)
    load(following, 14, 60)
    following.drop = lambda source, target, m: (
        source != LOST and isinstance(m, ChainReply) and target == 5
    )
    following.restart(5)
    following.run()
    assert status(following, 5).committed_height == status(following, 0).committed_height


def test_a_follower_stays_one_whatever_its_next_process_is_given(following):
    following.run()
    following.crash(LOST)
    with pytest.raises(RecordMissingError):
        following.restart(LOST)
    with pytest.raises(RecordMissingError):
        following.restart(LOST, is_new=True)
    follow(following)
    assert status(following).is_follower
    following.run()
    assert status(following).head == status(following, 0).head


def test_a_member_with_a_record_that_starts_without_its_keys_follows_and_says_nothing_of_old(world):
    """Its record holds a cosigned head, a vote and a time-out of the round that it is in."""
    load(world, 0, 5)
    world.crash(0, 1, 2)
    world.submit(world.batch(sequence=5))
    record = world.replicas[LOST].driver._core._parts.kernel
    world.run(until=lambda: record.record.timeout is not None)
    assert record.record.cosigned == status(world).head
    world.crash(LOST)
    start = len(world.sent)
    follow(world)
    world.run(for_ms=3_000)
    assert status(world).is_follower
    assert not any(isinstance(m, Vote | Timeout | Proposal) for m in said(world, start))


def test_a_store_with_blocks_and_no_record_is_never_new(world):
    """Out of a backup come blocks and state, and no record: backups leave that out."""
    load(world, 0, 5)
    world.crash(LOST)
    world.replicas[LOST].store.record = None
    with pytest.raises(RecordMissingError):
        world.restart(LOST, is_new=True)
    height = world.replicas[LOST].store.height
    follow(world)
    assert status(world).committed_height == height
    load(world, 5, 9)
    world.run()
    assert status(world).head == status(world, 0).head


@pytest.mark.parametrize(
    ("restored", "is_new", "expected"),
    [
        (None, True, True),
        (None, False, False),
        (Restored(None, b"state", (), ()), True, False),
        (Restored(b"\x01 a member's", None, (), ()), False, True),
        (Restored(b"\x02 a follower's", None, (), ()), False, False),
        (Restored(b"\x02 a follower's", None, (), ()), True, False),
    ],
)
def test_keys_are_used_only_with_a_continuous_record_or_for_the_first_time(
    restored, is_new, expected
):
    assert may_sign(restored, is_new=is_new) is expected


# Said to be new, wrongly.


def test_a_member_that_is_new_and_finds_its_own_vote_in_a_certificate_signs_no_more(world):
    """Disk and marker are gone, and its operator says that it is new: the chain knows better."""
    load(world, 0, 10)
    world.crash(0, 1)
    load(world, 10, 14, every_ms=3_000)
    lose(world)
    start = len(world.sent)
    world.restart(LOST, is_new=True)
    world.restart(0)
    world.restart(1)
    load(world, 14, 20)
    world.run()
    (fact,) = world.replicas[LOST].named("record_lost")
    assert fact["round"] > 0
    assert status(world).is_follower
    assert not any(isinstance(m, Vote | Timeout | Proposal) for m in said(world, start))
    record = decode_record(world.replicas[LOST].store.record, origin=ORIGIN, member=LOST)
    assert record.is_follower
    assert status(world).head == status(world, 0).head


def test_a_time_out_of_its_own_in_a_certificate_shows_it_too(make_world):
    world = make_world().start(LOST)
    _, genesis_qc, _ = world.genesis()
    tc = world.tc(1, dict.fromkeys((0, 1, 2, 3, LOST), 0), genesis_qc)
    world.inject(0, LOST, Certificates(genesis_qc, tc))
    assert world.replicas[LOST].named("record_lost") == [{"round": 1, "round_known": 0}]
    assert status(world).is_follower


def test_a_certificate_that_was_verified_and_not_adopted_shows_it_too(make_world):
    """A block that was fetched names it among the voters of its parent; nothing comes of it."""
    world = make_world().start(LOST)
    core = world.replicas[LOST].driver._core
    (one,) = world.chain([1])
    justify = world.qc(1, one.block.id, voters=(1, 2, 3, 4, LOST))
    core._parts.certificates.qc(justify)
    world.submit(world.batch(), to=[LOST])
    assert status(world).is_follower
    assert status(world).high_qc_round == 0


def test_a_certificate_that_was_not_verified_retires_nobody(make_world):
    world = make_world().start(LOST)
    one = world.chain([1])[0]
    votes = world.qc(1, one.block.id, voters=(1, 2, 3, 4, LOST))
    forged = replace_votes(votes)
    world.inject(0, LOST, Certificates(forged, None))
    world.submit(world.batch(), to=[LOST])
    assert not status(world).is_follower


def replace_votes(qc):
    """The same certificate with a last signature that does not hold."""
    votes = dict(qc.votes)
    votes[LOST] = bytes(64)
    return new_qc(epoch=qc.epoch, round_=qc.round, block_id=qc.block_id, votes=votes)


def test_a_member_that_was_never_there_is_not_mistaken_for_one_that_lost_its_record(make_world):
    world = make_world().start(*range(6))
    load(world, 0, 10)
    world.restart(LOST, is_new=True)
    load(world, 10, 14)
    assert not status(world).is_follower
    assert not world.replicas[LOST].named("record_lost")


# An older copy of its disk.


def test_a_member_whose_disk_is_an_older_copy_signs_no_more(world):
    """Its record is whole, and says nothing of what it has signed since the copy was made."""
    load(world, 0, 5)
    copy = deepcopy(world.replicas[LOST].store)
    known = decode_record(copy.record, origin=ORIGIN, member=LOST)
    world.crash(0, 1)
    load(world, 5, 9, every_ms=3_000)
    lose(world)
    world.replicas[LOST].store = copy
    start = len(world.sent)
    world.restart(LOST)
    world.restart(0)
    world.restart(1)
    load(world, 9, 14)
    world.run()
    (fact,) = world.replicas[LOST].named("record_lost")
    assert fact["round"] > fact["round_known"] == max(known.round_voted, known.round_timed_out)
    assert status(world).is_follower
    signed = [each for each in said(world, start) if isinstance(each, Vote | Timeout | Proposal)]
    rounds = [each.block.round if isinstance(each, Proposal) else each.round for each in signed]
    assert all(round_ <= fact["round_known"] for round_ in rounds)
    assert decode_record(copy.record, origin=ORIGIN, member=LOST).is_follower
    assert status(world).head == status(world, 0).head


def test_a_member_that_restarts_from_its_own_disk_goes_on_to_vote(world):
    """The highest round of its key, in whatever certificate, is one that its record knows."""
    for sequence in range(5):
        load(world, sequence, sequence + 1)
        world.crash(LOST)
        world.restart(LOST)
    start = len(world.sent)
    load(world, 5, 8)
    assert not world.replicas[LOST].named("record_lost")
    assert any(isinstance(message, Vote) for message in said(world, start))


def test_a_copy_in_a_simulation_may_be_told_not_to_look_for_its_past(make_world):
    world = make_world().start(LOST)
    core = world.replicas[LOST].driver._core
    core._parts.heeds_own_past = False
    _, genesis_qc, _ = world.genesis()
    tc = world.tc(1, dict.fromkeys((0, 1, 2, 3, LOST), 0), genesis_qc)
    world.inject(0, LOST, Certificates(genesis_qc, tc))
    assert not status(world).is_follower


# The kernel.


@pytest.fixture
def idle(make_world):
    return make_world()


def kernels(world):
    """A kernel without signers, and one whose record says that it follows."""
    _, genesis_qc, _ = world.genesis()
    record = first_record(world.cell.epoch, genesis_qc)
    shared = {"cell": world.cell, "me": 0}
    return [
        Kernel(**shared, vote_signer=None, cosigner=None, record=record),
        Kernel(
            **shared,
            vote_signer=Unused(),
            cosigner=Unused(),
            record=replace(record, is_follower=True),
        ),
    ]


@pytest.mark.parametrize("which", [0, 1], ids=["without signers", "by its record"])
def test_a_followers_kernel_signs_neither_votes_nor_proposals_nor_time_outs_nor_heads(idle, which):
    kernel = kernels(idle)[which]
    (block,) = idle.chain([1])
    before = kernel.record
    head = VerifiedHead(LogHead(3, bytes(32)), SEAL)
    for sign in (
        lambda: kernel.vote(block),
        lambda: kernel.propose(block),
        lambda: kernel.timeout(1),
        lambda: kernel.cosign(head, time_s=1),
    ):
        with pytest.raises(RefusedError):
            sign()
    assert kernel.record == before
    assert kernel.take_record() is None


def test_a_kernel_that_has_retired_signs_no_more_and_says_so_in_its_record(idle):
    kernel = idle.kernel(0)
    one, two = idle.chain([1, 2])
    kernel.vote(one)
    kernel.retire()
    with pytest.raises(RefusedError):
        kernel.vote(two)
    encoded = kernel.take_record()
    assert decode_record(encoded, origin=ORIGIN, member=0).is_follower


def test_a_followers_record_is_one_to_its_own_and_to_later_processes(idle):
    _, genesis_qc, _ = idle.genesis()
    for is_follower in (False, True):
        record = first_record(idle.cell.epoch, genesis_qc, is_follower=is_follower)
        encoded = encode_record(record, origin=ORIGIN, member=3)
        assert decode_record(encoded, origin=ORIGIN, member=3) == record


def test_committed_heads_are_still_read_off_the_chain(following):
    following.run()
    root = following.replicas[LOST].driver._core._parts.chain.tree.root
    assert committed_head(root).head == status(following, 0).head
