"""Adopting certificates: what is news, what is told, and what they are compared with."""

from dataclasses import replace

import pytest

from heptad.consensus.core.adopting import (
    adopt_qc,
    adopt_tc,
    commit_by,
    commit_chunk,
    cosign_again,
    jump,
)
from heptad.consensus.objects import CommitProof, LogHead
from heptad.consensus.sync import Chunk
from heptad.consensus.verified import SEAL, VerifiedSnapshot
from heptad.model.ids import BlockId, Height, MemberIndex

ME = 3
BLOCK, OTHER = BlockId(b"b" * 32), BlockId(b"c" * 32)


@pytest.fixture
def parts(world):
    """A replica that hears nothing but what a test has it adopt."""
    world.run()
    world.drop = lambda *_: True
    made = world.replicas[ME].driver._core._parts
    made.now_ms = world.now_ms
    return made


def qc(world, round_, block_id=BLOCK):
    return world.certificates().qc(world.qc(round_, block_id))


def tc(world, round_):
    high_qc = world.genesis()[1]
    return world.certificates().tc(world.tc(round_, dict.fromkeys(range(5), 0), high_qc))


def told(parts, name="round_entered"):
    return [dict(fact.fields) for fact in parts.results.facts if fact.name == name]


def test_a_certificate_is_news_once_and_tells_the_round_that_it_enters(world, parts):
    assert adopt_qc(parts, qc(world, 2)) is True
    assert told(parts) == [{"round": 3, "by": "qc"}]
    assert adopt_qc(parts, qc(world, 2)) is False
    assert adopt_qc(parts, qc(world, 1)) is False
    assert told(parts) == [{"round": 3, "by": "qc"}]


def test_a_time_out_certificate_is_news_once_and_tells_the_round_that_it_enters(world, parts):
    assert adopt_tc(parts, tc(world, 5)) is True
    assert told(parts) == [{"round": 6, "by": "tc"}]
    assert adopt_tc(parts, tc(world, 5)) is False
    assert told(parts) == [{"round": 6, "by": "tc"}]


def test_a_higher_certificate_of_a_round_that_is_over_is_news_and_enters_nothing(world, parts):
    adopt_tc(parts, tc(world, 5))
    assert adopt_qc(parts, qc(world, 3)) is True
    assert told(parts) == [{"round": 6, "by": "tc"}]


def test_a_vote_against_a_certificate_that_its_voter_is_part_of_is_looked_at(world, parts):
    """It proves its voter guilty, if it holds; that one does not is told."""
    parts.rounds.votes.add(world.vote(0, 2, OTHER))
    parts.rounds.votes.add(replace(world.vote(1, 2, OTHER), signature=bytes(64)))
    adopt_qc(parts, parts.certificates.qc(world.qc(2, BLOCK)))
    ((first, second),) = parts.certificates.witness.take()
    assert (first.voter, first.block_id, second.block_id) == (0, BLOCK, OTHER)
    assert [fact["sender"] for fact in told(parts, "message_refused")] == [1]


@pytest.mark.parametrize(("voters", "is_lost"), [(range(5), True), ((0, 1, 2, 4, 5), False)])
def test_whoever_has_signed_nothing_and_is_in_a_certificate_signs_no_more(
    world, parts, voters, is_lost
):
    """Nobody else holds its key: so it had signed, and has lost the record of it."""
    adopt_qc(parts, parts.certificates.qc(world.qc(2, BLOCK, voters=voters)))
    assert parts.kernel.record.is_follower is is_lost
    assert told(parts, "record_lost") == [{"round": 2, "round_known": 0}] * is_lost


@pytest.mark.parametrize(("ahead_ms", "is_told"), [(0, False), (250, False), (251, True)])
def test_a_certified_block_well_ahead_in_time_tells_that_this_clock_is_behind(
    world, parts, ahead_ms, is_told
):
    """A quorum has voted for it, so it is not ahead of theirs."""
    verified = world.chain([1])[0]
    parts.chain.insert_own(verified, keep=verified.block.parent_id)
    parts.now_ms = verified.block.time_ms - ahead_ms
    adopt_qc(parts, parts.certificates.qc(world.qc(1, verified.block.id)))
    expected = {"time_ms": verified.block.time_ms, "ahead_ms": ahead_ms}
    assert told(parts, "clock_behind") == [expected] * is_told


def grown(world, parts, count, *, every_ms=100, spare=0):
    """A chain of one batch a block, in `parts` but for the last `spare` of them."""
    batches = [world.batch(sequence=sequence) for sequence in range(count)]
    for batch in batches:
        world.submit(batch, to=[ME])
    parent, _, state = world.genesis()
    made = []
    for place, batch in enumerate(batches):
        time_ms = world.now_ms + place * every_ms
        verified = world.block(parent, state, place + 1, time_ms=time_ms, batches=[batch])
        made.append(verified)
        parent, state = verified.block, verified.state
    for verified in made[: count - spare]:
        parts.chain.insert_own(verified, keep=verified.block.id)
    parts.results.facts.clear()
    return made


def proved(world, parts, block, child):
    """The commit of a block, by its child and the certificate of that."""
    assert child.justify.block_id == block.id
    return parts.certificates.commit(CommitProof(child, world.qc(child.round, child.id)))


def shown(world, parts, verified, child):
    """Peers have proved this block to be committed, and nobody gives the ones before it."""
    commit = proved(world, parts, verified.block, child.block)
    snapshot = VerifiedSnapshot(verified.block, verified.state, commit, SEAL)
    parts.sync.snapshot = lambda _: snapshot


def impatient(parts):
    """Rounds have failed, and the committed chain is being fetched."""
    parts.sync._target = Height(2)
    for _ in range(3):
        parts.rounds.pacemaker.enter(by_tc=True, now_ms=parts.now_ms)


def is_settled(world, parts):
    first_ms = world.limits.timeout_ms_first
    return not parts.sync.is_active and parts.rounds.pacemaker.timeout_ms() == first_ms


def committed(parts):
    return [(each.block.round, each.is_jump) for each in parts.results.commits]


@pytest.mark.parametrize("is_flushed", [True, False])
def test_a_jump_commits_cosigns_what_the_child_says_and_learns_its_certificate(
    world, parts, is_flushed
):
    """Whether the parent says so too nobody knows here: it was never seen."""
    one, two, three = grown(world, parts, 3, spare=3)
    if is_flushed:
        three = world.block(two.block, two.state, 3)
    shown(world, parts, two, three)
    impatient(parts)
    assert jump(parts) is True
    assert committed(parts) == [(2, True)]
    assert parts.results.commits[0].first_index == one.block.head.size
    assert parts.chain.tree.root.is_unproven, "its parent's certificate is not here"
    assert is_settled(world, parts)
    assert parts.rounds.high_qc.qc.round == 3
    cosigned = [(each.head, each.time_s) for each in parts.results.cosignatures]
    assert cosigned == [(two.block.head, parts.now_ms // 1000)] * is_flushed
    (told_of,) = told(parts, "jumped")
    assert told_of == {"height": 0, "to_height": 2, "size": 0, "to_size": two.block.head.size}
    assert parts.chain.tree.get(one.block.id) is None


def test_nobody_jumps_to_a_block_that_is_here_it_is_committed(world, parts):
    _, two, three = grown(world, parts, 3, spare=1)
    shown(world, parts, two, three)
    impatient(parts)
    assert jump(parts) is True
    assert committed(parts) == [(1, False), (2, False)]
    assert is_settled(world, parts)
    assert told(parts, "jumped") == []
    assert parts.rounds.high_qc.qc.round == 3


def test_without_a_snapshot_nobody_jumps(world, parts):
    assert jump(parts) is False
    assert committed(parts) == []


def test_a_chunk_is_committed_once_its_last_block_is_here(world, parts):
    one, two, three = grown(world, parts, 3, spare=2)
    assert commit_chunk(parts) is False
    commit = proved(world, parts, two.block, three.block)
    parts.sync._chunk = Chunk((one.block, two.block), commit, MemberIndex(1))
    assert commit_chunk(parts) is False
    parts.chain.insert_own(two, keep=two.block.id)
    impatient(parts)
    assert commit_chunk(parts) is True
    assert committed(parts) == [(1, False), (2, False)]
    assert is_settled(world, parts)
    assert commit_chunk(parts) is False


@pytest.mark.parametrize("is_catching_up", [False, True])
def test_of_a_wave_every_head_that_the_chain_names_is_cosigned_but_the_last_while_catching_up(
    world, parts, is_catching_up
):
    made = grown(world, parts, 4)
    parts.sync._target = Height(1_000) if is_catching_up else None
    commit_by(parts, parts.certificates.qc(world.qc(4, made[3].block.id)))
    heads = [verified.block.head for verified in made[:3]]
    heads = heads[-1:] if is_catching_up else heads
    assert [each.head for each in parts.results.cosignatures] == heads
    assert {each.time_s for each in parts.results.cosignatures} == {parts.now_ms // 1000}


def test_a_head_that_contradicts_the_last_cosigned_is_told_and_holds_up_no_commit(world, parts):
    one, two, three = grown(world, parts, 3)
    parts.kernel._record = replace(parts.kernel.record, cosigned=LogHead(99, bytes(32)))
    commit_by(parts, parts.certificates.qc(world.qc(3, three.block.id)))
    assert committed(parts) == [(1, False), (2, False)]
    assert parts.results.cosignatures == []
    refused = told(parts, "cosign_refused")
    assert [each["size"] for each in refused] == [one.block.head.size, two.block.head.size]


@pytest.mark.parametrize(("size", "is_follower"), [(0, False), (1, False), (0, True)])
def test_the_last_cosignature_is_made_anew_by_whoever_has_made_it(world, parts, size, is_follower):
    root = parts.chain.tree.root.block.head
    cosigned = replace(root, size=size)
    parts.kernel._record = replace(parts.kernel.record, cosigned=cosigned, is_follower=is_follower)
    cosign_again(parts)
    made = [(each.head, each.time_s) for each in parts.results.cosignatures]
    assert made == [(root, parts.now_ms // 1000)] * (size == 0 and not is_follower)
