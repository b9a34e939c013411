"""Covers, what became whole with a block, and the consistency between any two block boundaries."""

from hashlib import sha256
from itertools import pairwise
from random import Random

import pytest

from heptad.transparency.errors import ProofInvalidError
from heptad.transparency.merkle import CompactRange
from heptad.transparency.subtrees import (
    Subtree,
    completed,
    cover,
    grown_by_cover,
    grown_by_leaves,
)

SIZE = 70
LEAVES = [sha256(b"%d" % number).digest() for number in range(5_000)]


def edge_at(size: int) -> CompactRange:
    return CompactRange.empty().extended(LEAVES[:size])


def root_of(subtree: Subtree) -> bytes:
    return CompactRange.empty().extended(LEAVES[subtree.start : subtree.end]).root()


@pytest.fixture(scope="module")
def edges():
    return [edge_at(size) for size in range(SIZE + 1)]


def test_a_cover_is_what_it_covers_without_gap_or_overlap():
    for start in range(SIZE):
        for end in range(start, SIZE):
            subtrees = cover(start, end)
            leaves = [leaf for each in subtrees for leaf in range(each.start, each.end)]
            assert leaves == list(range(start, end))
            assert len(subtrees) <= 2 * max(1, (end - start).bit_length())


def test_the_cover_from_the_empty_log_is_the_edge(edges):
    for size, edge in enumerate(edges):
        assert tuple(map(root_of, cover(0, size))) == edge.hashes


def test_an_edge_grows_by_a_cover_as_it_does_by_leaves(edges):
    for start in range(SIZE):
        for end in range(start, SIZE + 1):
            hashes = [root_of(subtree) for subtree in cover(start, end)]
            by_cover = grown_by_cover(edges[start], hashes, size=end)
            assert by_cover == grown_by_leaves(edges[start], LEAVES[start:end])
            assert by_cover[0] == edges[end]


def test_what_became_whole_are_the_roots_of_these_subtrees(edges):
    for start in range(SIZE):
        for end in range(start, SIZE):
            _, growth = grown_by_leaves(edges[start], LEAVES[start:end])
            assert growth.hashes == tuple(map(root_of, completed(start, end)))


def test_one_wrong_hash_leads_to_another_root(edges):
    hashes = [root_of(subtree) for subtree in cover(37, 64)]
    for place in range(len(hashes)):
        wrong = [*hashes[:place], bytes(32), *hashes[place + 1 :]]
        edge, _ = grown_by_cover(edges[37], wrong, size=64)
        assert edge.root() != edges[64].root()


def test_a_cover_of_another_edge_leads_to_another_root(edges):
    """A log that begins differently: no cover of the true one leads from it to a true head."""
    other = CompactRange.empty().extended([bytes(32), *LEAVES[1:37]])
    hashes = [root_of(subtree) for subtree in cover(37, 64)]
    edge, _ = grown_by_cover(other, hashes, size=64)
    assert edge.root() != edges[64].root()


@pytest.mark.parametrize(("count", "size"), [(0, 64), (9, 64), (0, 36), (1, 2**63)])
def test_a_cover_that_does_not_fit_is_refused(edges, count, size):
    with pytest.raises(ProofInvalidError):
        grown_by_cover(edges[37], [bytes(32)] * count, size=size)


@pytest.mark.parametrize("seed", range(6))
def test_rows_kept_with_blocks_give_the_cover_between_any_two_boundaries(seed):
    rng = Random(seed)
    boundaries = [0]
    while boundaries[-1] < 3_000:
        boundaries.append(boundaries[-1] + rng.choice((1, 1, 2, 7, 64, 500)))
    rows = []
    for start, end in pairwise(boundaries):
        rows.append(grown_by_leaves(edge_at(start), LEAVES[start:end])[1])
    for _ in range(60):
        size_from, size_to = sorted(rng.sample(boundaries[1:], 2))
        given = [
            next(row for row in rows if row.end >= subtree.end).hash_of(subtree)
            for subtree in cover(size_from, size_to)
        ]
        assert None not in given
        edge, _ = grown_by_cover(edge_at(size_from), given, size=size_to)
        assert edge == edge_at(size_to)


def test_a_row_that_spans_blocks_never_seen_does_not_invent_what_lies_between():
    _, growth = grown_by_leaves(edge_at(100), LEAVES[100:400])
    assert growth.hash_of(cover(137, 400)[0]) is None
