"""Consistency between two sizes of a log, for those who keep its right edge and no more.

Whoever holds the edge of the log at size m can check that the log of size n begins with it, given
the roots of the perfect subtrees that *cover* the leaves m..n, two for each doubling at most: they
are added to the edge from left to right as leaves would be, and what comes out must be the head at
n. That proves what a consistency proof of RFC 9162 proves, with no more hashes, and the empty log
needs no case of its own: the cover of 0..n is the edge at n.

Who can give a cover without keeping the log? Whoever has kept, with each block, the subtrees that
*became whole* with it: the cover of the block's own leaves, and the larger ones that its leaves
completed. Every subtree in a cover between two block boundaries is among them, and the block in
which it became whole is the one that holds its last leaf. So a row for each block is enough, about
two hashes for each doubling of its leaves, and a proof reads one row for each hash.
"""

from collections.abc import Sequence
from typing import NamedTuple

from heptad.transparency.errors import ProofInvalidError
from heptad.transparency.merkle import SIZE_MAX, CompactRange, grow, node_hash


class Subtree(NamedTuple):
    """A perfect subtree: `2**height` leaves; the one of this `number` among those of its height."""

    height: int
    number: int

    @property
    def start(self) -> int:
        """Its first leaf."""
        return self.number << self.height

    @property
    def end(self) -> int:
        """One behind its last leaf: the size of the log with which it became whole."""
        return (self.number + 1) << self.height


class Growth(NamedTuple):
    """The log grew from size `start` to `end`; `hashes` are those of `completed(start, end)`.

    Growths that follow each other without a gap are as good as one: the finer, the more sizes there
    are from which a cover can be given.
    """

    start: int
    end: int
    hashes: tuple[bytes, ...]

    def hash_of(self, subtree: Subtree) -> bytes | None:
        """The hash of a subtree that became whole here.

        None if it is not known, because blocks that this replica never had lie in between.
        """
        subtrees = completed(self.start, self.end)
        return self.hashes[subtrees.index(subtree)] if subtree in subtrees else None


def cover(start: int, end: int) -> list[Subtree]:
    """The fewest perfect subtrees that make up leaves `start` <= i < `end`, left to right."""
    subtrees = []
    while start < end:
        height = (end - start).bit_length() - 1
        if start:
            height = min(height, (start & -start).bit_length() - 1)
        subtrees.append(Subtree(height, start >> height))
        start += 1 << height
    return subtrees


def completed(start: int, end: int) -> list[Subtree]:
    """What became whole when the log grew from `start` to `end`, as far as a cover can name it.

    The cover of the new leaves, then, the smallest first, the subtrees that reach from before
    `start` into them; not those that begin at leaf 0, for they stand on the edge of the log itself.
    """
    reaching = []
    for height in range(1, end.bit_length()):
        subtree = Subtree(height, start >> height)
        if 0 < subtree.start < start and subtree.end <= end:
            reaching.append(subtree)
    return cover(start, end) + reaching


def grown_by_leaves(
    before: CompactRange, leaf_hashes: Sequence[bytes]
) -> tuple[CompactRange, Growth]:
    """Extend an edge by leaves; also return what became whole by that."""
    after, created = grow(before, leaf_hashes)
    hashes = tuple(
        created[height][number - (before.size >> height)]
        for height, number in completed(before.size, after.size)
    )
    return after, Growth(before.size, after.size, hashes)


def grown_by_cover(
    before: CompactRange, hashes: Sequence[bytes], *, size: int
) -> tuple[CompactRange, Growth]:
    """Extend an edge to `size` by the cover of the leaves between, 32 bytes each.

    Whether they are the right ones shows in the root that comes out. Returns what
    `grown_by_leaves` returns. Raises: ProofInvalidError if their number does not fit.
    """
    if not before.size <= size <= SIZE_MAX:
        raise ProofInvalidError(f"nothing leads from size {before.size} to size {size}")
    subtrees = cover(before.size, size)
    if len(subtrees) != len(hashes):
        raise ProofInvalidError(
            f"{len(hashes)} hashes from size {before.size} to {size}, where {len(subtrees)} lead"
        )
    edge = list(before.hashes)
    whole: dict[Subtree, bytes] = {}
    for subtree, value in zip(subtrees, hashes, strict=True):
        _put(edge, subtree, value, whole)
    grown = tuple(whole[subtree] for subtree in completed(before.size, size))
    return CompactRange(size, tuple(edge)), Growth(before.size, size, grown)


def _put(edge: list[bytes], subtree: Subtree, value: bytes, whole: dict[Subtree, bytes]) -> None:
    """Add a subtree on the right of an edge, and fold what that makes whole."""
    height, number = subtree
    whole[subtree] = value
    while number & 1:
        value = node_hash(edge.pop(), value)
        height, number = height + 1, number >> 1
        whole[Subtree(height, number)] = value
    edge.append(value)
