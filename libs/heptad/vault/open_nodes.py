"""The tree's nodes in plaintext: opened from the root downwards, a bounded number kept open.

Open nodes belong to one epoch. An erasure begins a new one with nothing open, so no plaintext of
the old path stays within reach.
"""

from collections import OrderedDict
from typing import Final

from heptad.crypto.errors import SealBrokenError
from heptad.vault.errors import VaultCorruptError
from heptad.vault.node_store import NodeStore
from heptad.vault.nodes import (
    NO_KEY,
    ROOT,
    NodeId,
    key_at,
    open_node,
    parent_of,
)
from heptad.vault.root_keys import RootKey

INNER_NODES_CACHED_MAX: Final = 64
"""Root, cell and middle nodes kept open: 2 MiB."""

LEAVES_CACHED_MAX: Final = 1_024
"""Leaves kept open: 4 MiB."""

_LEAF_LEVEL: Final = 2


class OpenNodes:
    """The nodes of one epoch, opened on demand; made anew when the epoch changes."""

    def __init__(self, store: NodeStore, root_key: RootKey) -> None:
        self._store = store
        self._root_key = root_key
        self._inner: OrderedDict[NodeId, bytes] = OrderedDict()
        self._leaves: OrderedDict[NodeId, bytes] = OrderedDict()

    @property
    def root_key(self) -> RootKey:
        """The root key of this epoch."""
        return self._root_key

    def plaintext(self, node: NodeId) -> bytes | None:
        """A node's plaintext, or None if it has never been written.

        Raises: VaultCorruptError if a blob is missing or does not open.
        """
        cache = self._leaves if node.level == _LEAF_LEVEL else self._inner
        cached = cache.get(node)
        if cached is not None:
            cache.move_to_end(node)
            return cached
        key = self._key_of(node)
        if key is None:
            return None
        opened = self._open(node, key)
        self.remember(node, opened)
        return opened

    def remember(self, node: NodeId, plaintext: bytes) -> None:
        """Keep a node open; the one used longest ago makes room."""
        is_leaf = node.level == _LEAF_LEVEL
        cache = self._leaves if is_leaf else self._inner
        cache[node] = plaintext
        cache.move_to_end(node)
        if len(cache) > (LEAVES_CACHED_MAX if is_leaf else INNER_NODES_CACHED_MAX):
            cache.popitem(last=False)

    def _key_of(self, node: NodeId) -> bytes | None:
        if node == ROOT:
            return self._root_key.key
        parent, position = parent_of(node)
        above = self.plaintext(parent)
        if above is None:
            return None
        key = key_at(above, position)
        return None if key == NO_KEY else key

    def _open(self, node: NodeId, key: bytes) -> bytes:
        blob = self._store.blob(node)
        if blob is None:
            raise VaultCorruptError(f"level {node.level}, node {node.number} is missing")
        try:
            return open_node(node, blob, key=key)
        except SealBrokenError:
            raise VaultCorruptError(
                f"level {node.level}, node {node.number} does not open"
            ) from None
