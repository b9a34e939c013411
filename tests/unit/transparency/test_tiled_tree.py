"""Tiles against the definition: what an append writes, what a proof reads, and what comes out."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.transparency import tiled_tree
from heptad.transparency.errors import ProofInvalidError, TileUnreadableError
from heptad.transparency.merkle import EMPTY_ROOT, CompactRange, verify_consistency
from heptad.transparency.tiled_tree import (
    Tile,
    TiledTree,
    append_leaves,
    consistency_proof,
    inclusion_proof,
)

ODD_SIZES = [*range(1, 20), 255, 256, 257, 300, 511, 512, 513, 700]


@pytest.fixture(scope="module")
def large(hashes, new_tiles):
    """70,000 leaves, appended in waves of many widths."""
    tiles = new_tiles()
    rng = random.Random(7)
    while tiles.edge.size < 70_000:
        tiles.append(hashes[tiles.edge.size : tiles.edge.size + rng.choice((1, 2, 255, 256, 3000))])
    return tiles


def test_every_proof_of_a_small_tree_is_that_of_the_definition(hashes, definition, large):
    for size in range(1, 40):
        tree = TiledTree(size=size, tiles=large)
        leaves = hashes[:size]
        assert tree.root() == definition.root(leaves)
        for index in range(size):
            assert tree.inclusion_proof(index) == definition.inclusion(index, leaves)
        for old_size in range(1, size + 1):
            assert tree.consistency_proof(old_size) == definition.consistency(old_size, leaves)


@pytest.mark.parametrize("size", [*ODD_SIZES, 65_535, 65_536, 65_537, 70_000])
def test_proofs_across_tiles_are_those_of_the_definition(size, hashes, definition, large):
    tree = TiledTree(size=size, tiles=large)
    leaves = hashes[:size]
    assert tree.root() == definition.root(leaves)
    for index in {0, size // 3, size // 2, size - 1}:
        assert tree.inclusion_proof(index) == definition.inclusion(index, leaves)
    for old_size in {1, max(1, size // 2), max(1, size - 1), size}:
        assert tree.consistency_proof(old_size) == definition.consistency(old_size, leaves)


@given(first=st.integers(0, 800), more=st.integers(0, 800))
def test_an_append_changes_what_it_says_and_nothing_else(first, more, hashes, new_tiles):
    one_by_one, in_waves = new_tiles(), new_tiles()
    one_by_one.append(hashes[: first + more])
    in_waves.append(hashes[:first])

    in_waves.append(hashes[first : first + more])

    assert in_waves.tiles == one_by_one.tiles
    assert in_waves.edge == one_by_one.edge == CompactRange.empty().extended(hashes[: first + more])


def test_an_append_returns_each_touched_tile_once_and_reads_only_partial_ones(hashes, new_tiles):
    tiles = new_tiles()
    tiles.append(hashes[:300])
    tiles.reads.clear()

    appended = append_leaves(before=tiles.edge, leaf_hashes=hashes[300:1000], tiles=tiles)

    assert [(tile.level, tile.index, tile.width) for tile in appended.tiles] == [
        (0, 1, 256),
        (0, 2, 256),
        (0, 3, 232),
        (1, 0, 3),
    ]
    assert tiles.reads == [(0, 1, 44), (1, 0, 1)]


def test_an_append_to_full_tiles_reads_nothing(hashes, new_tiles):
    tiles = new_tiles()
    tiles.append(hashes[:256])
    tiles.reads.clear()

    appended = append_leaves(before=tiles.edge, leaf_hashes=hashes[256:258], tiles=tiles)

    assert appended.tiles == (Tile(level=0, index=1, hashes=b"".join(hashes[256:258])),)
    assert tiles.reads == []


def test_an_append_of_nothing_is_nothing(new_tiles):
    tiles = new_tiles()

    appended = append_leaves(before=tiles.edge, leaf_hashes=[], tiles=tiles)

    assert appended.after == tiles.edge
    assert appended.tiles == ()


def test_the_specifications_example_has_the_tiles_that_it_names(large):
    widths = {}
    for (level, _), content in large.tiles.items():
        widths.setdefault(level, []).append(len(content) // 32)

    assert sorted(widths) == [0, 1, 2]
    assert (widths[0].count(256), widths[0].count(112), len(widths[0])) == (273, 1, 274)
    assert sorted(widths[1]) == [17, 256]
    assert widths[2] == [1]


def test_the_edge_can_be_read_back_at_any_size(hashes, large):
    for size in (0, *ODD_SIZES, 69_999, 70_000):
        tree = TiledTree(size=size, tiles=large)

        assert tree.edge() == CompactRange.empty().extended(hashes[:size])
        assert tree.root() == tree.edge().root()


def test_the_empty_tree_has_the_empty_root_and_no_proofs(new_tiles):
    tree = TiledTree(size=0, tiles=new_tiles())

    assert tree.root() == EMPTY_ROOT
    with pytest.raises(ProofInvalidError, match="not below the tree size 0"):
        tree.inclusion_proof(0)
    with pytest.raises(ProofInvalidError, match="from size 0 to 0"):
        tree.consistency_proof(0)


@pytest.mark.parametrize("index", [-1, 300])
def test_there_is_no_proof_for_a_leaf_outside_of_the_tree(index, large):
    with pytest.raises(ProofInvalidError, match="not below the tree size 300"):
        inclusion_proof(leaf_index=index, tree_size=300, tiles=large)


@pytest.mark.parametrize("old_size", [-1, 0, 301])
def test_there_is_no_proof_from_a_size_outside_of_the_tree(old_size, large):
    with pytest.raises(ProofInvalidError, match="to 300"):
        consistency_proof(old_size=old_size, new_size=300, tiles=large)


def test_a_proof_reads_at_most_two_tiles_a_level(large):
    rng = random.Random(3)
    for _ in range(200):
        size = rng.randrange(2, 70_001)
        large.reads.clear()

        inclusion_proof(leaf_index=rng.randrange(size), tree_size=size, tiles=large)

        assert len(large.reads) == len(set(large.reads)) <= 6


def test_proofs_against_one_size_read_a_tile_once(large):
    tree = TiledTree(size=70_000, tiles=large)
    large.reads.clear()
    for index in range(512):
        tree.inclusion_proof(index)

    assert len(large.reads) == len(set(large.reads)) == 5


def test_a_tree_remembers_only_so_many_tiles(large, hashes, definition, monkeypatch):
    monkeypatch.setattr(tiled_tree, "UNFOLDED_TILES_MAX", 1)
    tree = TiledTree(size=600, tiles=large)
    proofs = [tree.inclusion_proof(5) for _ in range(2)]
    large.reads.clear()

    proofs.append(tree.inclusion_proof(5))

    assert proofs == [definition.inclusion(5, hashes[:600])] * 3
    assert large.reads


def test_a_proof_for_an_old_size_asks_for_no_more_of_a_tile_than_existed_then(large):
    large.reads.clear()

    inclusion_proof(leaf_index=290, tree_size=300, tiles=large)

    assert (0, 1, 44) in large.reads
    assert all(width <= 256 for _, _, width in large.reads)


def test_a_tile_that_the_store_lost_is_named(hashes, new_tiles):
    tiles = new_tiles()
    tiles.append(hashes[:600])
    tiles.tiles[0, 1] = tiles.tiles[0, 1][:-32]

    with pytest.raises(TileUnreadableError, match="level 0 index 1: 8160 bytes instead of 256"):
        inclusion_proof(leaf_index=300, tree_size=600, tiles=tiles)
    del tiles.tiles[0, 2]
    with pytest.raises(TileUnreadableError, match="level 0 index 2"):
        tiles.append(hashes[600:601])


def test_a_flipped_bit_in_a_tile_breaks_the_proofs_that_use_it(hashes, definition, new_tiles):
    tiles = new_tiles()
    tiles.append(hashes[:600])
    roots = {
        "old_root": definition.root(hashes[:300]),
        "new_root": definition.root(hashes[:600]),
    }
    good = tiles.tiles[0, 1]
    tiles.tiles[0, 1] = bytes([good[0] ^ 1]) + good[1:]

    proof = consistency_proof(old_size=300, new_size=600, tiles=tiles)

    with pytest.raises(ProofInvalidError, match="old root"):
        verify_consistency(old_size=300, new_size=600, proof=proof, **roots)
