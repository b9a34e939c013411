"""The shape of the key tree, and one node as an encrypted blob.

    root      1,024 keys of middle nodes, and the key of the cell node
    middle    1,024 keys of leaf nodes
    leaf      128 subject keys
    cell      the cell's own keys (`heptad.vault.cell_keys`)

Three levels give 134 million slots, while erasing one rewrites only leaf, middle and root, 68 KiB.
A blob is `epoch u64be | nonce 24 | ciphertext`; its associated data name node and epoch, so no blob
can stand in for another. A key of 32 zero bytes is "none".
"""

from dataclasses import dataclass
from typing import Final

from heptad.crypto import aead

KEY_BYTES: Final = 32
NO_KEY: Final = bytes(KEY_BYTES)
FAN_OUT: Final = 1_024
LEAF_SLOTS: Final = 128
SLOTS_MAX: Final = FAN_OUT * FAN_OUT * LEAF_SLOTS

_DOMAIN: Final = b"heptad/v1/vault-node\0"
_NONCE_AT: Final = 8
_CIPHERTEXT_AT: Final = _NONCE_AT + aead.NONCE_BYTES


@dataclass(frozen=True, slots=True)
class NodeId:
    """A node: its level (0 root, 1 middle, 2 leaf, 3 cell) and its number in that level."""

    level: int
    number: int

    def to_bytes(self) -> bytes:
        """Level u8 and number u32be: the node's database key."""
        return self.level.to_bytes(1, "big") + self.number.to_bytes(4, "big")


ROOT: Final = NodeId(0, 0)
CELL: Final = NodeId(3, 0)

_NODE_BYTES: Final = {
    0: (FAN_OUT + 1) * KEY_BYTES,
    1: FAN_OUT * KEY_BYTES,
    2: LEAF_SLOTS * KEY_BYTES,
}


def empty_node(node: NodeId) -> bytes:
    """The plaintext of a node without any keys; the cell node begins as no bytes at all."""
    return bytes(_NODE_BYTES.get(node.level, 0))


def parent_of(node: NodeId) -> tuple[NodeId, int]:
    """The node that holds this node's key, and its position there."""
    match node.level:
        case 1:
            return ROOT, node.number
        case 2:
            return NodeId(1, node.number // FAN_OUT), node.number % FAN_OUT
        case 3:
            return ROOT, FAN_OUT
        case _:
            raise ValueError("the root's key is in no node")


def place_of(slot: int) -> tuple[NodeId, int]:
    """The leaf that holds a slot's key, and its position there."""
    return NodeId(2, slot // LEAF_SLOTS), slot % LEAF_SLOTS


def key_at(plaintext: bytes | bytearray, position: int) -> bytes:
    """The key at a position of a node; NO_KEY if there is none."""
    return bytes(plaintext[position * KEY_BYTES : (position + 1) * KEY_BYTES])


def put_key(plaintext: bytearray, position: int, key: bytes) -> None:
    """Write a key into a node."""
    plaintext[position * KEY_BYTES : (position + 1) * KEY_BYTES] = key


def seal_node(node: NodeId, plaintext: bytes, *, key: bytes, epoch: int, nonce: bytes) -> bytes:
    """A node as a blob; `nonce` has 24 random bytes."""
    ciphertext = aead.encrypt(
        key=key, nonce=nonce, plaintext=plaintext, associated=_associated(node, epoch)
    )
    return epoch.to_bytes(8, "big") + nonce + ciphertext


def open_node(node: NodeId, blob: bytes, *, key: bytes) -> bytes:
    """A blob's plaintext. Raises: SealBrokenError."""
    epoch = int.from_bytes(blob[:_NONCE_AT], "big")
    return aead.decrypt(
        key=key,
        nonce=blob[_NONCE_AT:_CIPHERTEXT_AT],
        ciphertext=blob[_CIPHERTEXT_AT:],
        associated=_associated(node, epoch),
    )


def _associated(node: NodeId, epoch: int) -> bytes:
    return _DOMAIN + node.to_bytes() + epoch.to_bytes(8, "big")
