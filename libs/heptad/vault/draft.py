"""Changes to nodes on their way into one commit, sealed from the leaves upwards.

With `rekey`, every node that a draft touches gets a fresh key, and so does all that is above it, up
to the root: that is what erasing means. Without, only nodes that are new get a key.
"""

from collections import deque
from collections.abc import Callable

from heptad.crypto import aead
from heptad.vault.nodes import (
    KEY_BYTES,
    NO_KEY,
    ROOT,
    NodeId,
    empty_node,
    key_at,
    parent_of,
    put_key,
    seal_node,
)
from heptad.vault.open_nodes import OpenNodes
from heptad.vault.root_keys import RootKey


class Draft:
    """Changed nodes on their way into one commit."""

    def __init__(self, nodes: OpenNodes, *, rekey: bool, entropy: Callable[[int], bytes]) -> None:
        self._open_nodes = nodes
        self._rekey = rekey
        self._entropy = entropy
        self._changed: dict[NodeId, bytearray] = {}

    def node(self, node: NodeId) -> bytearray:
        """The node's plaintext, to be changed in place; a node that never was begins empty."""
        if node not in self._changed:
            plaintext = self._open_nodes.plaintext(node)
            self._changed[node] = bytearray(empty_node(node) if plaintext is None else plaintext)
        return self._changed[node]

    def seal(self, root_key: RootKey) -> dict[NodeId, bytes]:
        """The blobs of all changed nodes, the root last, under keys that their parents now hold.

        With `rekey` nothing of the old path opens any of them.
        """
        below_root = (node for node in self._changed if node != ROOT)
        waiting = deque(sorted(below_root, key=lambda node: -node.level))
        blobs: dict[NodeId, bytes] = {}
        while waiting:
            node = waiting.popleft()
            blobs[node] = self._seal_one(node, self._key_for(node, waiting), root_key.epoch)
        if ROOT in self._changed:
            blobs[ROOT] = self._seal_one(ROOT, root_key.key, root_key.epoch)
        return blobs

    def remember_in(self, nodes: OpenNodes) -> None:
        """After the commit: keep the changed nodes open there."""
        for node, plaintext in self._changed.items():
            nodes.remember(node, bytes(plaintext))

    def _key_for(self, node: NodeId, waiting: deque[NodeId]) -> bytes:
        """The node's key, made anew where it must be; its parent then waits for sealing too."""
        parent, position = parent_of(node)
        above = self._open_nodes.plaintext(parent)
        key = NO_KEY if above is None else key_at(above, position)
        if key != NO_KEY and not self._rekey:
            return key
        if parent not in self._changed and parent != ROOT:
            waiting.append(parent)
        fresh = self._entropy(KEY_BYTES)
        put_key(self.node(parent), position, fresh)
        return fresh

    def _seal_one(self, node: NodeId, key: bytes, epoch: int) -> bytes:
        return seal_node(
            node,
            bytes(self._changed[node]),
            key=key,
            epoch=epoch,
            nonce=self._entropy(aead.NONCE_BYTES),
        )
