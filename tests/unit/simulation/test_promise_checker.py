"""The promise checker finds what it is there for, in histories made by hand."""

import pytest

from heptad.consensus.codec import new_tc, new_timeout
from heptad.consensus.messages import Certificates
from heptad.consensus.objects import LogHead, TimeoutClaim
from heptad.consensus.ready import Persist
from heptad.model.ids import Epoch, MemberIndex, Round
from heptad.simulation.violations import Broken, ViolationError


def timeout_of(round_, high_qc, *, voter=0, signature=b"t" * 64):
    return new_timeout(
        epoch=Epoch(1), round_=Round(round_), high_qc=high_qc, tc=None, fast_vote=b"",
        voter=MemberIndex(voter), signature=signature,
    )  # fmt: skip


def give_up(scene, replica, timeout):
    """A time-out that is durable before it is released."""
    scene.write(replica, Persist(record=b"record " + timeout.signature))
    scene.checkers.released(replica, timeout)
    scene.checkers.settled(replica, is_whole=True)


def broken_by(act, *arguments):
    with pytest.raises(ViolationError) as raised:
        act(*arguments)
    return raised.value.broken


def rival_blocks(scene, round_=1):
    one = scene.forge.block(scene.forge.genesis, round_=round_)
    return one, scene.forge.block(scene.forge.genesis, round_=round_, time_ms=2_000)


def test_votes_in_rising_rounds_are_accepted(scene):
    first = scene.forge.block(scene.forge.genesis)

    scene.vote(scene.replicas[1], first)
    scene.vote(scene.replicas[1], scene.forge.block(first))

    assert scene.checkers.promises.round_max == 2


def test_the_same_vote_may_be_sent_again(scene):
    block = scene.forge.block(scene.forge.genesis)
    scene.vote(scene.replicas[1], block)

    scene.checkers.released(scene.replicas[1], scene.forge.vote(block, 1))


def test_a_second_vote_of_one_round_is_found(scene):
    one, other = rival_blocks(scene)
    scene.vote(scene.replicas[1], one)

    assert broken_by(scene.vote, scene.replicas[1], other) is Broken.TWO_VOTES


def test_a_proposal_is_its_leaders_vote(scene):
    one, other = rival_blocks(scene)
    scene.vote(scene.replicas[0], one)

    assert (
        broken_by(scene.checkers.released, scene.replicas[0], scene.forge.proposal(other))
        is Broken.TWO_VOTES
    )


def test_a_second_vote_that_only_a_certificate_shows_is_found(scene):
    one, other = rival_blocks(scene)
    scene.vote(scene.replicas[1], one)

    assert (
        broken_by(
            scene.checkers.released, scene.replicas[0], Certificates(scene.forge.qc(other), None)
        )
        is Broken.TWO_VOTES
    )


def test_two_certified_blocks_of_one_round_are_found(make_scene):
    scene = make_scene()
    one, other = rival_blocks(scene)
    scene.checkers.released(scene.replicas[0], Certificates(scene.forge.qc(one), None))

    assert (
        broken_by(
            scene.checkers.released,
            scene.replicas[0],
            Certificates(scene.forge.qc(other), None),
        )
        is Broken.TWO_CERTIFICATES
    )


def test_with_too_many_faulty_members_only_the_fork_itself_counts(make_scene):
    scene = make_scene(faulty=[1, 2])
    one, other = rival_blocks(scene)

    scene.checkers.released(scene.replicas[0], Certificates(scene.forge.qc(one), None))
    scene.checkers.released(scene.replicas[0], Certificates(scene.forge.qc(other), None))

    assert not scene.checkers.is_tolerable


def test_a_vote_in_a_lower_round_is_found(scene):
    late, _ = rival_blocks(scene)
    first = scene.forge.block(scene.forge.genesis, time_ms=3_000)
    scene.vote(scene.replicas[1], scene.forge.block(first))

    assert broken_by(scene.vote, scene.replicas[1], late) is Broken.VOTE_RULE


def test_a_vote_after_giving_up_on_the_round_is_found(scene):
    block = scene.forge.block(scene.forge.genesis)
    give_up(scene, scene.replicas[1], timeout_of(1, scene.forge.genesis_qc, voter=1))

    assert broken_by(scene.vote, scene.replicas[1], block) is Broken.VOTE_RULE


def test_giving_up_on_a_round_below_a_vote_is_found(scene):
    first = scene.forge.block(scene.forge.genesis)
    scene.vote(scene.replicas[1], scene.forge.block(first))

    assert (
        broken_by(give_up, scene, scene.replicas[1], timeout_of(1, scene.forge.qc(first)))
        is Broken.VOTE_RULE
    )


def test_giving_up_on_a_round_below_one_given_up_before_is_found(scene):
    give_up(scene, scene.replicas[1], timeout_of(5, scene.forge.genesis_qc))

    assert (
        broken_by(give_up, scene, scene.replicas[1], timeout_of(4, scene.forge.genesis_qc))
        is Broken.VOTE_RULE
    )


def test_a_time_out_that_forgets_a_certificate_is_found(scene):
    first = scene.forge.block(scene.forge.genesis)
    scene.vote(scene.replicas[1], scene.forge.block(first))

    assert (
        broken_by(give_up, scene, scene.replicas[1], timeout_of(2, scene.forge.genesis_qc))
        is Broken.VOTE_RULE
    )


def test_a_vote_for_a_round_that_nothing_enters_is_found(scene):
    block = scene.forge.block(scene.forge.genesis, round_=3)

    assert broken_by(scene.vote, scene.replicas[1], block) is Broken.VOTE_RULE


@pytest.mark.parametrize(("claim", "is_right"), [(0, True), (1, False)])
def test_a_justify_below_the_greatest_claim_is_found(scene, claim, is_right):
    claims = [
        TimeoutClaim(MemberIndex(i), Round(claim if i == 2 else 0), b"", bytes(64))
        for i in range(3)
    ]
    tc = new_tc(epoch=Epoch(1), round_=Round(2), claims=claims, high_qc=scene.forge.genesis_qc)
    block = scene.forge.block(scene.forge.genesis, round_=3, tc=tc)

    if is_right:
        scene.vote(scene.replicas[1], block)
    else:
        assert broken_by(scene.vote, scene.replicas[1], block) is Broken.VOTE_RULE


def test_a_vote_for_a_block_that_is_not_stored_is_found(scene):
    vote = scene.forge.vote(scene.forge.block(scene.forge.genesis), 1)

    assert broken_by(scene.checkers.released, scene.replicas[1], vote) is Broken.NOT_DURABLE


def test_a_vote_for_a_block_whose_batch_is_not_stored_is_found(scene):
    block = scene.forge.block(scene.forge.genesis, scene.forge.batch(0, b"a"))
    scene.store(scene.replicas[1], block)

    assert (
        broken_by(scene.checkers.released, scene.replicas[1], scene.forge.vote(block, 1))
        is Broken.NOT_DURABLE
    )


def test_a_vote_that_is_not_in_the_record_is_found(scene):
    block = scene.forge.block(scene.forge.genesis)
    scene.store(scene.replicas[1], block)
    scene.checkers.released(scene.replicas[1], scene.forge.vote(block, 1))

    with pytest.raises(ViolationError) as raised:
        scene.checkers.settled(scene.replicas[1], is_whole=True)
    assert raised.value.broken is Broken.NOT_DURABLE


def test_nothing_is_said_of_the_record_of_a_wave_that_was_cut_off(scene):
    block = scene.forge.block(scene.forge.genesis)
    scene.store(scene.replicas[1], block)
    scene.checkers.released(scene.replicas[1], scene.forge.vote(block, 1))

    scene.checkers.settled(scene.replicas[1], is_whole=False)
    scene.checkers.settled(scene.replicas[1], is_whole=True)


def test_a_time_out_that_is_not_in_the_record_is_found(scene):
    scene.checkers.released(scene.replicas[1], timeout_of(1, scene.forge.genesis_qc))

    with pytest.raises(ViolationError) as raised:
        scene.checkers.settled(scene.replicas[1], is_whole=True)
    assert raised.value.broken is Broken.NOT_DURABLE


def cosign(scene, head, *, record=None):
    replica = scene.replicas[0]
    scene.write(replica, Persist(record=b"record " + head.root if record is None else record))
    scene.checkers.cosigned(replica, [scene.forge.cosignature(head)])
    scene.checkers.settled(replica, is_whole=True)


def committed_heads(scene):
    batches = [scene.forge.batch(0, b"a"), scene.forge.batch(1, b"b")]
    scene.submit(*batches)
    parent, heads = scene.forge.genesis, []
    for batch in batches:
        parent = scene.forge.block(parent, batch)
        scene.store_everywhere(parent)
        scene.commit(scene.replicas[0], scene.forge.commit(parent))
        heads.append(parent.head)
    return heads


def test_growing_committed_heads_may_be_cosigned_again_and_again(scene):
    first, second = committed_heads(scene)

    for head in (first, first, second):
        cosign(scene, head)


def test_a_cosigned_head_that_shrinks_is_found(scene):
    first, second = committed_heads(scene)
    cosign(scene, second)

    assert broken_by(cosign, scene, first) is Broken.COSIGNATURE


def test_a_cosigned_head_that_was_never_committed_is_found(scene):
    first, _ = committed_heads(scene)

    assert broken_by(cosign, scene, LogHead(first.size, bytes(32))) is Broken.COSIGNATURE


def test_a_cosignature_that_is_not_in_the_record_is_found(scene):
    first, _ = committed_heads(scene)

    with pytest.raises(ViolationError) as raised:
        cosign(scene, first, record=b"empty")
    assert raised.value.broken is Broken.NOT_DURABLE


@pytest.mark.parametrize("whose", [{"signer": 1}, {"member": 1}])
def test_a_cosignature_by_another_key_or_in_another_name_is_found(scene, whose):
    first, _ = committed_heads(scene)
    cosignature = scene.forge.cosignature(first, **whose)

    assert (
        broken_by(scene.checkers.cosigned, scene.replicas[0], [cosignature]) is Broken.COSIGNATURE
    )
