"""The tree of uncommitted blocks, and which heads are cosigned."""

from dataclasses import replace

import pytest

from heptad.consensus.chain import decode_committed, encode_committed
from heptad.consensus.tree import BlockTree, Node, cosignable


@pytest.fixture
def idle(make_world):
    return make_world()


@pytest.fixture
def tree(idle):
    block, _, state = idle.genesis()
    return BlockTree(Node(block, state, None), blocks_max=6)


def grow(tree, blocks):
    return [tree.insert(each, keep=blocks[-1].block.id) for each in blocks]


def test_a_path_runs_from_the_roots_child_to_the_block(idle, tree):
    nodes = grow(tree, idle.chain([1, 2, 3]))
    assert tree.path(nodes[2].block.id) == nodes
    assert tree.path(tree.root.block.id) == []
    assert tree.path(b"unknown") == []


def test_a_commit_returns_what_became_final_oldest_first_and_what_never_can(idle, tree):
    one, two, three = grow(tree, idle.chain([1, 2, 3]))
    genesis, _, state = idle.genesis()
    rival = tree.insert(idle.block(genesis, state, 1, time_ms=7), keep=one.block.id)
    on_rival = tree.insert(idle.block(rival.block, rival.state, 2), keep=one.block.id)

    final, abandoned = tree.commit(two.block.id)

    assert final == [one, two]
    assert abandoned == [rival, on_rival]
    assert tree.root is two
    assert tree.path(three.block.id) == [three]
    assert tree.get(one.block.id) is None


def test_a_block_is_not_committed_twice(idle, tree):
    one, two = grow(tree, idle.chain([1, 2]))
    tree.commit(two.block.id)
    for block_id in (one.block.id, two.block.id):
        with pytest.raises(AssertionError):
            tree.commit(block_id)


def test_a_chain_proves_its_batches_by_two_consecutive_rounds_and_not_before(idle, tree):
    """Whatever was committed: another certificate may have done that, which others do not know."""
    chain = idle.chain([1, 3, 5, 6, 8], batches=[[idle.batch()]])
    first = grow(tree, chain[:1])
    tree.commit(first[0].block.id)
    nodes = first + grow(tree, chain[1:])
    assert [node.is_unproven for node in nodes] == [True, True, True, False, False]


def test_a_block_with_batches_is_not_proven_by_itself(idle, tree):
    content = [[idle.batch(sequence=sequence)] for sequence in range(3)]
    nodes = grow(tree, idle.chain([1, 2, 3, 4], batches=content))
    assert [node.is_unproven for node in nodes] == [True, True, True, False]


def test_a_full_tree_lets_go_of_what_the_highest_certificate_does_not_stand_on(idle, tree):
    genesis, _, state = idle.genesis()
    one, two = grow(tree, idle.chain([1, 2]))
    rivals = [
        tree.insert(idle.block(genesis, state, 1, time_ms=time_ms), keep=two.block.id)
        for time_ms in range(3)
    ]
    assert len(tree) == 6
    (last,) = (each for each in idle.chain([1, 2, 3])[2:])

    tree.insert(last, keep=two.block.id)

    assert tree.path(last.block.id)[:2] == [one, two]
    assert all(tree.get(rival.block.id) is None for rival in rivals)


def test_a_full_tree_keeps_its_root_and_the_chain_that_the_new_block_is_on(idle, tree):
    one, two = grow(tree, idle.chain([1, 2]))
    genesis, _, state = idle.genesis()
    rival = tree.insert(idle.block(genesis, state, 1, time_ms=7), keep=two.block.id)
    on_rival = tree.insert(idle.block(rival.block, rival.state, 2), keep=two.block.id)
    tree.insert(idle.block(genesis, state, 1, time_ms=8), keep=two.block.id)

    last = tree.insert(idle.block(on_rival.block, on_rival.state, 3), keep=two.block.id)

    assert list(tree) == [tree.root, one, two, rival, on_rival, last]
    assert tree.path(last.block.id) == [rival, on_rival, last]
    assert tree.get(genesis.id) is tree.root


def test_to_go_on_from_another_root_gives_up_all_that_was_above_the_old_one(idle, tree):
    one, two, three = grow(tree, idle.chain([1, 2, 3]))
    elsewhere = Node(idle.chain([1, 2, 3, 5])[-1].block, three.state, None)

    assert tree.restart(elsewhere) == [one, two, three]

    assert list(tree) == [elsewhere]
    assert tree.root is elsewhere


def nodes_at(idle, *times, batches=()):
    genesis, _, state = idle.genesis()
    made, parent = [], genesis
    for place, time_ms in enumerate(times):
        content = [idle.batch(incarnation=place + 1)] if place in batches else []
        verified = idle.block(parent, state, place + 1, time_ms=time_ms, batches=content)
        made.append(Node(verified.block, verified.state, verified))
        parent, state = verified.block, verified.state
    return made


def test_the_first_head_of_each_tenth_of_a_second_is_cosigned(idle):
    nodes = nodes_at(idle, 1000, 1099, 1100, 1199, 1300, batches=range(5))
    chosen = cosignable(nodes, idle.genesis()[0], None)
    assert [node.block.time_ms for node in chosen] == [1000, 1100, 1300]


def test_a_head_behind_which_an_empty_block_flushes_is_cosigned(idle):
    full, flush = nodes_at(idle, 1000, 1010, batches=[0])
    before = nodes_at(idle, 1000)[0].block
    assert cosignable([full], before, flush.block) == [full]
    assert cosignable([full], before, full.block) == []
    assert cosignable([full, flush], before, None) == [full]
    with_a_proof = replace(flush.block, control=(b"proof",))
    assert cosignable([full], before, with_a_proof) == []


def test_which_heads_are_cosigned_does_not_depend_on_how_commits_come_in_waves(idle):
    nodes = nodes_at(idle, 1000, 1020, 1100, 1130, 1140, 1290, batches=[0, 2, 3])
    genesis = idle.genesis()[0]
    at_once = cosignable(nodes[:5], genesis, nodes[5].block)
    one_by_one = [
        node
        for place in range(5)
        for node in cosignable(
            [nodes[place]],
            nodes[place - 1].block if place else genesis,
            nodes[place + 1].block,
        )
    ]
    assert at_once == one_by_one


def test_a_restart_does_not_take_its_last_block_for_proven(idle):
    """What proved it may have been shown to this replica only: a block on top of it has to."""
    one, *_ = idle.chain([1, 2, 3])
    node = Node(one.block, one.state, one)
    assert decode_committed(encode_committed(node), idle.cell).is_unproven
    assert not decode_committed(None, idle.cell).is_unproven
