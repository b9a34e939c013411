"""The uncommitted blocks above the last committed one, each with the state that stands after it.

The root is the last committed block. A block comes in only when its parent is here, so every node's
state is derived along its own ancestor chain. Committing moves the root up and lets go of every
branch that does not grow from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from heptad.consensus.objects import Block
from heptad.consensus.state import ChainState
from heptad.consensus.verified import VerifiedBlock
from heptad.model.ids import BlockId


@dataclass(slots=True, eq=False)
class Node:
    """One block in the tree.

    `verified` is None for the root a replica starts with. `is_durable`: header and batches are on
    disk, or go there in this same step.

    `is_unproven`: the chain up to this block, if the block is certified, carries entries that it
    does not itself commit, by two certified blocks of consecutive rounds. Then it needs a child:
    whoever has nothing but this chain cannot commit them, though others may have, by a certificate
    that only they were shown. All who know the chain agree on it, whatever they have committed.
    """

    block: Block
    state: ChainState
    verified: VerifiedBlock | None
    is_durable: bool = False
    is_unproven: bool = False


class BlockTree:
    """Blocks by id above the root."""

    def __init__(self, root: Node, *, blocks_max: int) -> None:
        self._nodes: dict[BlockId, Node] = {root.block.id: root}
        self._root = root
        self._blocks_max = blocks_max

    @property
    def root(self) -> Node:
        """The last committed block."""
        return self._root

    def __len__(self) -> int:
        """How many blocks are here, the root among them."""
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        """All nodes, parents before children."""
        return iter(self._nodes.values())

    def get(self, block_id: BlockId) -> Node | None:
        """The node of this block."""
        return self._nodes.get(block_id)

    def insert(self, verified: VerifiedBlock, *, keep: BlockId) -> Node:
        """Add a block whose parent is here; return its node.

        A full tree first lets go of what lies on no path to `keep`, the highest certified block.
        """
        block = verified.block
        parent = self._nodes[block.parent_id]
        if len(self._nodes) >= self._blocks_max:
            path = {node.block.id for node in self.path(keep)}
            path |= {self._root.block.id, block.parent_id}
            path |= {node.block.id for node in self.path(block.parent_id)}
            self._nodes = {each: node for each, node in self._nodes.items() if each in path}
        proves_parent = block.round == parent.block.round + 1
        is_unproven = not block.is_empty or (parent.is_unproven and not proves_parent)
        node = Node(block, verified.state, verified, is_unproven=is_unproven)
        self._nodes[block.id] = node
        return node

    def path(self, block_id: BlockId) -> list[Node]:
        """The uncommitted blocks from the root's child up to this block; empty if it is not here.

        Found by walking justify hashes down to the root, so it is the block's own chain.
        """
        nodes: list[Node] = []
        node = self._nodes.get(block_id)
        while node is not None and node is not self._root:
            nodes.append(node)
            node = self._nodes.get(node.block.parent_id)
        nodes.reverse()
        return nodes

    def restart(self, root: Node) -> list[Node]:
        """Go on from `root`, whose ancestors are not here; return what can never be final now."""
        abandoned = [node for node in self._nodes.values() if node is not self._root]
        self._nodes, self._root = {root.block.id: root}, root
        return abandoned

    def commit(self, block_id: BlockId) -> tuple[list[Node], list[Node]]:
        """Make this block the root.

        Returns the blocks that became final, oldest first, and those that never can any more.
        """
        final = self.path(block_id)
        assert final, "only a block above the root is committed"
        self._root = final[-1]
        kept: dict[BlockId, Node] = {block_id: self._root}
        for each, node in self._nodes.items():
            if node.block.parent_id in kept:
                kept[each] = node
        gone = {node.block.id for node in final} | kept.keys()
        before = final[0].block.parent_id
        abandoned = [
            node for each, node in self._nodes.items() if each not in gone and each != before
        ]
        self._nodes = kept
        return final, abandoned


def cosignable(final: list[Node], before: Block, child: Block | None) -> list[Node]:
    """Which of the blocks in a commit wave have their heads cosigned: a function of the chain.

    `before` is the parent of the first, `child` the block that committed the last (None if that is
    not known). A block's head is cosigned iff it is the first of its tenth of a second, or its
    child is an empty flush block: so all replicas cosign the same heads.
    """
    blocks = [before, *(node.block for node in final)]
    children: list[Block | None] = [*(node.block for node in final[1:]), child]
    return [
        node
        for node, parent, after in zip(final, blocks, children, strict=False)
        if node.block.time_ms // 100 > parent.time_ms // 100
        or (after is not None and after.is_empty)
    ]
