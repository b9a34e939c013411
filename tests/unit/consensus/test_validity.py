"""A block against its parent and its batches."""

from dataclasses import replace

import pytest

from heptad.consensus.codec import new_block
from heptad.consensus.errors import RefusedError
from heptad.consensus.leader_record import Failure, LeaderRecord
from heptad.consensus.objects import CommitProof, LogHead
from heptad.consensus.pool import BatchReader
from heptad.consensus.state import ChainState, follows
from heptad.consensus.tree import Node
from heptad.consensus.validity import BLOCK_BATCH_BYTES_MAX, require_batches
from heptad.model.batch import encode_batch
from heptad.model.canonical import Reader
from heptad.model.ids import Height, Round
from heptad.transparency.merkle import CompactRange, leaf_hash

FAILED = LeaderRecord((Failure(3, 1, 9),))


@pytest.fixture
def idle(make_world):
    return make_world()


def pooled(idle, batch):
    return BatchReader(idle.cell, idle.verifier).trusted(batch, encode_batch(batch), now_ms=0)


def remade(block, **changes):
    values = {
        name: getattr(block, name)
        for name in (
            "epoch", "height", "proposer", "time_ms", "justify", "tc", "batches", "control",
            "head", "state_hash",
        )
    }  # fmt: skip
    return new_block(round_=block.round, **(values | changes))


def check(idle, block, parent, batches=()):
    entry = idle.certificates().entry(block)
    held = [pooled(idle, batch) for batch in batches]
    node = Node(parent.block, parent.state, parent)
    return idle.validity().check(block, entry, parent=node, batches=held)


@pytest.fixture
def pair(idle):
    """A block and its child, with one batch each."""
    batches = [idle.batch(sequence=0), idle.batch(sequence=1)]
    one, two = idle.chain([1, 2], batches=[[batches[0]], [batches[1]]])
    return one, two, batches[1]


def test_a_block_that_was_built_is_valid(idle, pair):
    one, two, batch = pair
    verified = check(idle, two.block, one, [batch])
    assert verified.state == two.state
    assert verified.block.head.size == 6


def test_the_head_is_the_merkle_root_of_all_entries_in_order(idle, pair):
    _one, two, batch = pair
    entries = [*idle.batch(sequence=0).entries(), *batch.entries()]
    expected = CompactRange.empty().extended([leaf_hash(entry) for entry in entries])
    assert two.block.head == LogHead(6, expected.root())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"head": LogHead(6, b"x" * 32)}, "recomputed 6"),
        ({"head": LogHead(7, b"x" * 32)}, "head 7"),
        ({"state_hash": b"x" * 32}, "state hash"),
        ({"height": Height(3)}, "height 3 on a parent of height 1"),
        ({"time_ms": 5}, "before the parent's"),
        ({"control": (b"entry",)}, "evidence: evidence version 101"),
        ({"control": (b"entry",) * 4}, "evidence: evidence version 101"),
        ({"control": (b"entry",) * 5}, "5 control entries, at most 4"),
    ],
)
def test_a_block_with_one_wrong_field_is_refused(idle, pair, changes, reason):
    one, two, batch = pair
    with pytest.raises(RefusedError, match=reason):
        check(idle, remade(two.block, **changes), one, [batch])


def test_a_block_on_another_parent_is_refused(idle, pair):
    _one, two, batch = pair
    sibling = idle.block(*(idle.genesis()[0], idle.genesis()[2]), 1)
    with pytest.raises(RefusedError, match="is not of the parent"):
        check(idle, two.block, sibling, [batch])


def test_a_reference_must_say_what_its_batch_says(idle, pair):
    one, two, batch = pair
    (ref,) = two.block.batches
    for changes in ({"count": 2}, {"size_bytes": 1}, {"sequence": 7}):
        block = remade(two.block, batches=(replace(ref, **changes),))
        with pytest.raises(RefusedError, match="reference"):
            check(idle, block, one, [batch])


def test_a_reference_names_its_batch_by_digest(idle, pair):
    """Two batches under one number are two: what is voted for is what is held."""
    _one, two, batch = pair
    (ref,) = two.block.batches
    with pytest.raises(RefusedError, match="reference"):
        require_batches([replace(ref, digest=bytes(32))], [pooled(idle, batch)])


def test_there_is_a_batch_for_each_reference(idle, pair):
    _one, two, batch = pair
    for batches in ([], [pooled(idle, batch)] * 2):
        with pytest.raises(ValueError, match="zip"):
            require_batches(two.block.batches, batches)


@pytest.fixture
def shown(idle):
    """A committed block from afar, as whoever has nothing is shown it."""
    one, two, three = idle.chain([1, 2, 3], batches=[[idle.batch()], [idle.batch(sequence=1)]])
    genesis, _, empty = idle.genesis()
    proofs = [
        CommitProof(each.block, idle.qc(each.block.round, each.block.id)) for each in (two, three)
    ]
    of_one, of_two = [idle.certificates().commit(each) for each in proofs]
    good = {
        "block": two.block,
        "state": two.state,
        "commit": of_two,
        "root": Node(genesis, empty, None),
        "hashes": two.state.edge.hashes,
    }
    lies = {
        "proof of another block": {"commit": of_one},
        "height 2 behind 2": {"root": Node(two.block, two.state, None)},
        "recomputed 3": {"state": one.state},
        "1 hashes from size 0 to 6": {"hashes": two.state.edge.hashes[:1]},
        "does not begin with the log of size 0": {"hashes": (bytes(32), bytes(32))},
    }
    return good, lies


def test_a_snapshot_that_is_proved_is_taken_with_all_that_the_log_grew_by(idle, shown):
    good, _ = shown
    verified = idle.validity().snapshot(
        good["block"], good["state"], good["commit"], root=good["root"], hashes=good["hashes"]
    )
    assert (verified.block, verified.state) == (good["block"], good["state"])
    assert [(growth.start, growth.end) for growth in verified.state.grown] == [(0, 6)]


@pytest.mark.parametrize(
    "reason",
    [
        "proof of another block",
        "height 2 behind 2",
        "recomputed 3",
        "1 hashes from size 0 to 6",
        "does not begin with the log of size 0",
    ],
)
def test_a_snapshot_that_is_wrong_in_one_thing_is_refused(idle, shown, reason):
    good, lies = shown
    told = good | lies[reason]
    with pytest.raises(RefusedError, match=reason):
        idle.validity().snapshot(
            told["block"], told["state"], told["commit"], root=told["root"], hashes=told["hashes"]
        )


def test_a_batch_that_was_pruned_on_the_way_serves_by_its_digest(idle, pair):
    one, two, batch = pair
    assert check(idle, two.block, one, [batch.pruned()]).state == two.state


def test_batches_refer_to_no_more_than_the_limit_that_all_replicas_share(idle, pair):
    one, two, batch = pair
    (ref,) = two.block.batches
    for size_bytes, reason in (
        (BLOCK_BATCH_BYTES_MAX + 1, "at most"),
        (BLOCK_BATCH_BYTES_MAX, "reference to"),
    ):
        block = remade(two.block, batches=(replace(ref, size_bytes=size_bytes),))
        with pytest.raises(RefusedError, match=reason):
            check(idle, block, one, [batch])


@pytest.mark.parametrize(
    ("position", "incarnation", "sequence", "expected"),
    [
        (None, 1, 0, True),
        (None, 9, 0, True),
        (None, 1, 1, False),
        ((1, 3), 1, 4, True),
        ((1, 3), 1, 3, False),
        ((1, 3), 1, 5, False),
        ((1, 3), 2, 0, True),
        ((1, 3), 7, 0, True),
        ((1, 3), 2, 4, False),
        ((2, 3), 1, 0, False),
        ((2, 3), 1, 4, False),
    ],
)
def test_a_batch_goes_on_where_its_validator_stopped(position, incarnation, sequence, expected):
    assert follows(position, incarnation, sequence) is expected


def test_a_batch_is_refused_that_leaves_one_out_or_comes_twice(idle, pair):
    one, _, _ = pair
    for sequence in (0, 2):
        batch = idle.batch(sequence=sequence)
        with pytest.raises(RefusedError, match="does not follow"):
            idle.block(one.block, one.state, 2, batches=[batch])


def test_a_block_leaves_the_state_of_its_parent_as_it_was(idle):
    """Two blocks on one parent must not see each other's batches."""
    parent, _, state = idle.genesis()
    for _ in range(2):
        idle.block(parent, state, 1, batches=[idle.batch()])
        assert state == ChainState.genesis()


def test_the_state_hash_binds_positions_members_and_epoch_and_the_head_binds_the_log(idle, pair):
    one, two, _ = pair
    hashes = {
        one.state.hash(epoch=1, membership_hash=b"m" * 32),
        two.state.hash(epoch=1, membership_hash=b"m" * 32),
        one.state.hash(epoch=2, membership_hash=b"m" * 32),
        one.state.hash(epoch=1, membership_hash=b"n" * 32),
        replace(one.state, leader_record=FAILED).hash(epoch=1, membership_hash=b"m" * 32),
    }
    assert len(hashes) == 5


def test_the_state_survives_the_store(pair):
    _, two, _ = pair
    assert ChainState.decode(Reader(two.state.encode())) == two.state
    assert ChainState.decode(Reader(ChainState.genesis().encode())) == ChainState.genesis()
    failed = replace(two.state, leader_record=FAILED)
    assert ChainState.decode(Reader(failed.encode())) == failed


def test_a_leaders_clock_behind_its_parents_does_not_make_an_invalid_block(idle):
    (one,) = idle.chain([1])
    two = idle.block(one.block, one.state, Round(2), time_ms=5)
    assert two.block.time_ms == one.block.time_ms
