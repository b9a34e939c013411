"""All keys within reach: from some root keys down through every version of every node.

A key opens only blobs of the node that its place names, since node and epoch are bound into the
seal; so each is tried on every blob that was found, as that node, whatever the epoch. Versions
mix: within an epoch a node is written again and again under one key, and older blobs of it open,
too, which is why a leftover page may hold what the live tree does not.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from heptad.crypto import aead
from heptad.crypto.errors import SealBrokenError
from heptad.trials.forensics.carving import Blob
from heptad.vault.cell_keys import CellKeys, DatedRoutingKey
from heptad.vault.errors import VaultCorruptError
from heptad.vault.nodes import (
    CELL,
    FAN_OUT,
    KEY_BYTES,
    LEAF_SLOTS,
    NO_KEY,
    ROOT,
    NodeId,
    empty_node,
    open_node,
)

ROUTING_KEYS_TRIED_MAX: Final = 64
BLOB_BYTES_MAX: Final = (FAN_OUT + 1) * KEY_BYTES + aead.TAG_BYTES

_CELL_HEAD_BYTES: Final = KEY_BYTES + 6
_CELL_ROW_BYTES: Final = 44
_LEAF_LEVEL: Final = 2


@dataclass(slots=True)
class Keys:
    """What was reached: slots' keys by their 32 bytes, and the cell's own."""

    slots: dict[bytes, int] = field(default_factory=dict)
    routing: dict[int, set[bytes]] = field(default_factory=dict)
    index_keys: set[bytes] = field(default_factory=set)
    nodes_opened: int = 0

    def of_slot(self, slot: int) -> set[bytes]:
        """Every key that a slot had in some version within reach."""
        return {key for key, number in self.slots.items() if number == slot}

    def __repr__(self) -> str:
        return f"Keys({len(self.slots)} of slots, {self.nodes_opened} nodes)"


class Walk:
    """Goes down from root keys through blobs."""

    def __init__(self, blobs: Iterable[Blob]) -> None:
        # Not by their heads alone: what is left of a row that was moved has the head of the whole.
        self._closed = list(set(blobs))
        self._tried: set[tuple[NodeId, bytes]] = set()

    def keys_from(self, roots: Iterable[bytes]) -> Keys:
        """All that these root keys lead to."""
        keys = Keys()
        waiting = [(ROOT, root) for root in set(roots)]
        while waiting:
            node, key = waiting.pop()
            if (node, key) in self._tried:
                continue
            self._tried.add((node, key))
            for plaintext in self._opened(node, key):
                keys.nodes_opened += 1
                waiting += _taken_from(node, plaintext, keys)
        return keys

    def _opened(self, node: NodeId, key: bytes) -> list[bytes]:
        """What opens as that node; such a blob is no other node's, and not tried again."""
        opened, closed = [], []
        for blob in self._closed:
            plaintext = _plaintext(blob, node, key)
            if plaintext is None:
                closed.append(blob)
            else:
                opened.append(plaintext)
        self._closed = closed
        return opened


def _plaintext(blob: Blob, node: NodeId, key: bytes) -> bytes | None:
    if node != CELL and not blob.is_even:
        # Too large for a row: it has pages of its own, and stands behind their head of 16 bytes.
        return None
    for length in _lengths(node):
        if len(blob.rest) < length + aead.TAG_BYTES:
            return None
        try:
            return open_node(node, blob.head + blob.rest[: length + aead.TAG_BYTES], key=key)
        except SealBrokenError:
            continue
    return None


def _lengths(node: NodeId) -> Sequence[int]:
    if node == CELL:
        counts = range(1, ROUTING_KEYS_TRIED_MAX + 1)
        return [_CELL_HEAD_BYTES + count * _CELL_ROW_BYTES for count in counts]
    return [len(empty_node(node))]


def _taken_from(node: NodeId, plaintext: bytes, keys: Keys) -> Iterator[tuple[NodeId, bytes]]:
    """Take the keys of a node; those of nodes below it come back."""
    if node == CELL:
        _take_cell(plaintext, keys)
        return
    for position in range(len(plaintext) // KEY_BYTES):
        key = plaintext[position * KEY_BYTES : (position + 1) * KEY_BYTES]
        if key == NO_KEY:
            continue
        if node.level == _LEAF_LEVEL:
            keys.slots[key] = node.number * LEAF_SLOTS + position
        else:
            yield _child(node, position), key


def _child(node: NodeId, position: int) -> NodeId:
    if node == ROOT:
        return CELL if position == FAN_OUT else NodeId(1, position)
    return NodeId(_LEAF_LEVEL, node.number * FAN_OUT + position)


def _take_cell(plaintext: bytes, keys: Keys) -> None:
    try:
        held = CellKeys.from_bytes(plaintext)
    except VaultCorruptError:
        return
    keys.index_keys.add(held.index_key)
    for dated in held.routing:
        _add_routing(keys, dated)


def _add_routing(keys: Keys, dated: DatedRoutingKey) -> None:
    keys.routing.setdefault(dated.key.key_id, set()).add(dated.key.key)
