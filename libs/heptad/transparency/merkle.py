"""The Merkle tree of RFC 6962 / RFC 9162: hashes, the right edge, and the checking of proofs.

Why a compact range: replicas must recompute the log's head for every block without keeping the
log. The roots of the perfect subtrees along the right edge are enough for that, at most 64 hashes
whatever the size, and a block's leaves are folded into them height by height, so that the inner
loop is one list comprehension over SHA-256 and nothing else.

Proofs are *made* in `tiled_tree`, which reads tiles; they are *checked* here, which reads nothing:
what an auditor has to trust is this file and `hashlib`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from heptad.transparency.errors import FormatError, ProofInvalidError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
SIZE_MAX = 2**63 - 1


def leaf_hash(entry: bytes) -> bytes:
    """Hash one entry as a leaf: `SHA-256(0x00 ‖ entry)`, 32 bytes.

    Source: RFC 9162, section 2.1.1.
    """
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Hash many entries as leaves, in order, without a call for each: the hot path."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent: `SHA-256(0x01 ‖ left ‖ right)`, 32 bytes.

    Source: RFC 9162, section 2.1.1.
    """
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The right edge of a tree: all that is needed to extend it and to know its root.

    `size` counts leaves. `hashes` are the roots of the perfect subtrees that make up the tree,
    left to right, so the largest first: one of 32 bytes for each bit set in `size`.
    """

    size: int
    hashes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Refuse a range whose number of hashes does not fit its size.

        Raises: FormatError.
        """
        if not 0 <= self.size <= SIZE_MAX:
            raise FormatError(f"tree size {self.size} is not in 0..{SIZE_MAX}")
        if len(self.hashes) != self.size.bit_count():
            raise FormatError(
                f"{len(self.hashes)} hashes for a tree of size {self.size}, "
                f"which has {self.size.bit_count()} on its edge"
            )

    @classmethod
    def empty(cls) -> Self:
        """Return the edge of the tree without leaves."""
        return cls(size=0, hashes=())

    def extended(self, leaf_hashes: Sequence[bytes]) -> "CompactRange":
        """Return the edge after these leaves have been added, in order, on the right.

        Each leaf hash is 32 bytes. Costs one SHA-256 for each leaf, about.
        """
        return grow(self, leaf_hashes)[0]

    def root(self) -> bytes:
        """Return the tree's root, 32 bytes; `EMPTY_ROOT` for the empty tree."""
        return fold_edge(self.hashes) if self.hashes else EMPTY_ROOT

    def encode(self) -> bytes:
        """Return u64be size, then the hashes left to right: at most 2,024 bytes."""
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` wrote.

        Raises: FormatError, if the length is not exactly what the size asks for.
        """
        if len(data) < 8 or (len(data) - 8) % HASH_BYTES:
            raise FormatError(f"a compact range of {len(data)} bytes is cut off")
        return cls(size=int.from_bytes(data[:8], "big"), hashes=tuple(split_hashes(data[8:])))


def grow(
    before: CompactRange, leaf_hashes: Sequence[bytes]
) -> tuple[CompactRange, list[Sequence[bytes]]]:
    """Extend a range; also return the perfect nodes that came into being, by height.

    The second value's item `h` holds the new nodes of height `h` (over 2**h leaves), left to
    right; item 0 is `leaf_hashes`. Heights at which nothing came into being are left off.
    """
    old_edge = list(before.hashes)
    new_edge: list[bytes] = []
    created: list[Sequence[bytes]] = []
    nodes = leaf_hashes
    while nodes:
        created.append(nodes)
        if before.size >> (len(created) - 1) & 1:
            nodes = [old_edge.pop(), *nodes]
        if len(nodes) & 1:
            new_edge.append(nodes[-1])
        pairs = zip(nodes[::2], nodes[1::2], strict=False)
        nodes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    hashes = (*old_edge, *reversed(new_edge))
    return CompactRange(size=before.size + len(leaf_hashes), hashes=hashes), created


def fold_edge(hashes: Sequence[bytes]) -> bytes:
    """Fold perfect subtrees, the largest first, into the one root above them all."""
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def split_hashes(data: bytes) -> list[bytes]:
    """Cut a run of 32-byte hashes apart; the length must be a multiple of 32."""
    assert len(data) % HASH_BYTES == 0, len(data)
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class FoldStep:
    """One step of an inclusion proof: a sibling is hashed in, and this is what comes out."""

    sibling: bytes
    sibling_is_left: bool
    result: bytes


def inclusion_steps(
    *, leaf_index: int, tree_size: int, leaf_hash: bytes, proof: Sequence[bytes]
) -> list[FoldStep]:
    """Fold a proof from the leaf upwards and return each step; the last result is the root.

    A tree of one leaf has no steps: its root is the leaf's hash.
    Raises: ProofInvalidError, if the proof's shape does not fit index and size.
    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= leaf_index < tree_size:
        raise ProofInvalidError(f"leaf index {leaf_index} is not below the tree size {tree_size}")
    _require_hashes((leaf_hash,), "the leaf")
    _require_hashes(proof, "the inclusion proof")
    steps: list[FoldStep] = []
    current, node, last = leaf_hash, leaf_index, tree_size - 1
    for count, sibling in enumerate(proof):
        if last == 0:
            raise ProofInvalidError(
                f"inclusion proof has {len(proof)} hashes, but is at the root after {count}"
            )
        while node == last and not node & 1:
            # The rightmost node has no sibling at this height: it rises as it is.
            node, last = node >> 1, last >> 1
        is_left = bool(node & 1)
        current = node_hash(sibling, current) if is_left else node_hash(current, sibling)
        steps.append(FoldStep(sibling=sibling, sibling_is_left=is_left, result=current))
        node, last = node >> 1, last >> 1
    if last:
        raise ProofInvalidError(
            f"inclusion proof of {len(proof)} hashes ends below the root "
            f"for leaf index {leaf_index} in tree size {tree_size}"
        )
    return steps


def verify_inclusion(
    *, leaf_index: int, tree_size: int, leaf_hash: bytes, proof: Sequence[bytes], root_hash: bytes
) -> None:
    """Prove that a leaf is in the tree, or raise.

    `leaf_index` counts from 0 and is below `tree_size`, which counts leaves.
    Hashes are 32 bytes; `proof` runs from the leaf upwards.
    Raises: ProofInvalidError, naming the step at which the hashes part.
    Source: RFC 9162, section 2.1.3.2.
    """
    steps = inclusion_steps(
        leaf_index=leaf_index, tree_size=tree_size, leaf_hash=leaf_hash, proof=proof
    )
    computed = steps[-1].result if steps else leaf_hash
    if computed != root_hash:
        raise ProofInvalidError(
            f"inclusion of leaf {leaf_index} in tree size {tree_size}: after step {len(steps)} "
            f"the root is {computed.hex()}, expected {root_hash.hex()}"
        )


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Prove that the old tree is a prefix of the new one, or raise.

    Sizes count leaves, 0 < `old_size` <= `new_size`: nothing is proved about an empty tree, which
    every tree extends. Equal sizes take an empty proof and equal roots. Hashes are 32 bytes.
    Raises: ProofInvalidError, naming the step at which the hashes part.
    Source: RFC 9162, section 2.1.4.2.
    """
    if not 0 < old_size <= new_size:
        raise ProofInvalidError(f"no consistency proof goes from size {old_size} to {new_size}")
    if old_size == new_size:
        _verify_same_tree(size=old_size, old_root=old_root, new_root=new_root, proof=proof)
        return
    _require_hashes((old_root, new_root), "the roots")
    _require_hashes(proof, "the consistency proof")
    computed_old, computed_new = _fold_consistency(
        old_size=old_size, new_size=new_size, old_root=old_root, proof=proof
    )
    for name, size, computed, expected in (
        ("old", old_size, computed_old, old_root),
        ("new", new_size, computed_new, new_root),
    ):
        if computed != expected:
            raise ProofInvalidError(
                f"consistency from size {old_size} to {new_size}: after step {len(proof)} the "
                f"{name} root (size {size}) is {computed.hex()}, expected {expected.hex()}"
            )


def _verify_same_tree(
    *, size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    if proof:
        raise ProofInvalidError(f"{len(proof)} hashes prove nothing between equal sizes {size}")
    if old_root != new_root:
        raise ProofInvalidError(
            f"two roots for one size {size}: {old_root.hex()} and {new_root.hex()}"
        )


def _fold_consistency(
    *, old_size: int, new_size: int, old_root: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """Fold a proof between different sizes into the old and the new root that it leads to."""
    if not proof:
        raise ProofInvalidError(f"empty consistency proof from size {old_size} to {new_size}")
    # An old tree that is one perfect subtree is its own starting point: the proof leaves it out.
    perfect = old_size & (old_size - 1) == 0
    seed, rest = (old_root, proof) if perfect else (proof[0], proof[1:])
    rise = (old_size & -old_size).bit_length() - 1
    node, last = (old_size - 1) >> rise, (new_size - 1) >> rise
    old = new = seed
    for count, sibling in enumerate(rest):
        if last == 0:
            raise ProofInvalidError(
                f"consistency proof has {len(rest)} steps, but is at the root after {count}"
            )
        while node == last and not node & 1:
            node, last = node >> 1, last >> 1
        if node & 1:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofInvalidError(
            f"consistency proof of {len(proof)} hashes ends below the root "
            f"from size {old_size} to {new_size}"
        )
    return old, new


def _require_hashes(hashes: Sequence[bytes], whose: str) -> None:
    for count, value in enumerate(hashes):
        if len(value) != HASH_BYTES:
            raise ProofInvalidError(f"hash {count} of {whose} has {len(value)} bytes, not 32")
