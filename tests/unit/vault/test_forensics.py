"""An attacker with every file, before and after, looks for an erased key.

He has copies of the database from before the erasure (T0) and after it (T1), and the root key files
of T1. He does not guess: he carves every possible node version out of the raw bytes, free pages
included, and opens all that any key within his reach opens, over and over until nothing new comes.
So that his failure means something, he must succeed where he should: for the neighbour, for the
same subject with the root key of T0, and against a store that merely deletes.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import lmdb
import pytest

from heptad.crypto.errors import SealBrokenError
from heptad.vault.nodes import KEY_BYTES, NO_KEY, NodeId, empty_node, open_node
from heptad.vault.root_files import FileRootKeyStore

BLOB_OVERHEAD = 8 + 24 + 16
EPOCHS_MAX = 8
LEAVES = 2


def raw_bytes(*folders: Path) -> bytes:
    return b"".join(path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.*")))


def node_sizes() -> Iterator[tuple[NodeId, int]]:
    yield from ((node, len(empty_node(node))) for node in (NodeId(0, 0), NodeId(1, 0)))
    yield from ((NodeId(2, n), len(empty_node(NodeId(2, n)))) for n in range(LEAVES))
    yield from ((NodeId(3, 0), 38 + count * 44) for count in range(1, 4))


def carve(raw: bytes) -> list[tuple[NodeId, bytes]]:
    """Every stretch of the raw bytes that could be a node's blob: it begins with a small epoch."""
    starts = re.finditer(rb"(?=\0{7}[\1-%c])" % EPOCHS_MAX, raw)
    found = {
        (node, raw[start.start() : start.start() + size + BLOB_OVERHEAD])
        for start in starts
        for node, size in node_sizes()
    }
    return [(node, blob) for node, blob in found if any(blob[8:32])]


def everything_within_reach(raw: bytes, root_keys: Iterable[bytes]) -> bytes:
    """All plaintext that opens from these keys, the keys that it holds, and so on."""
    closed = carve(raw)
    keys = set(root_keys)
    untried = list(keys)
    opened: list[bytes] = []
    while untried:
        key = untried.pop()
        still_closed = []
        for node, blob in closed:
            try:
                plaintext = open_node(node, blob, key=key)
            except SealBrokenError:
                still_closed.append((node, blob))
                continue
            opened.append(plaintext)
            if node.level < 2:
                fresh = set(_keys_in(plaintext)) - keys
                keys |= fresh
                untried.extend(fresh)
        closed = still_closed
    return b"".join(opened)


def _keys_in(plaintext: bytes) -> Iterator[bytes]:
    for at in range(0, len(plaintext), KEY_BYTES):
        if plaintext[at : at + KEY_BYTES] != NO_KEY:
            yield plaintext[at : at + KEY_BYTES]


class Scene:
    """What the attacker has: raw bytes of both times, and each time's root keys."""

    def __init__(self, vault) -> None:
        self.slots = {slot.slot: slot.key for slot in vault.tree.allocate(130)}
        self.routing_key = vault.tree.current_routing_key().key.key
        self.routing_key_kept = vault.tree.rotate_routing_key(now_ms=2).key.key
        vault.tree.allocate(2)
        self.raw_t0 = raw_bytes(vault.database)
        self.roots_t0 = [key.key for key in vault.roots.read()]
        vault.tree.erase([5], routing_key_ids=[1])
        vault.tree.allocate(2)
        self.raw_t1 = raw_bytes(vault.database, vault.root_folder)
        self.roots_t1 = [
            raw[16:48]
            for raw in (path.read_bytes() for path in vault.root_folder.iterdir())
            if raw.strip(b"\0")
        ]


@pytest.fixture
def scene(vault) -> Scene:
    return Scene(vault)


def test_an_erased_key_is_within_nobodys_reach(scene: Scene) -> None:
    loot = everything_within_reach(scene.raw_t0 + scene.raw_t1, scene.roots_t1)

    assert scene.slots[5] not in loot
    assert scene.routing_key not in loot


def test_the_attacker_finds_every_key_that_was_not_erased(scene: Scene) -> None:
    """Control: the carving works, on both leaves and the cell node."""
    loot = everything_within_reach(scene.raw_t0 + scene.raw_t1, scene.roots_t1)

    assert len(scene.roots_t1) == 1
    assert all(key in loot for slot, key in scene.slots.items() if slot != 5)
    assert scene.routing_key_kept in loot


def test_the_attacker_finds_the_key_while_the_old_root_lives(scene: Scene) -> None:
    """Control: with the root key of T0 the same files give the erased key away."""
    loot = everything_within_reach(scene.raw_t0 + scene.raw_t1, scene.roots_t0)

    assert scene.slots[5] in loot
    assert scene.routing_key in loot


def test_no_key_lies_in_the_open_in_any_file(scene: Scene) -> None:
    everywhere = scene.raw_t0 + scene.raw_t1

    assert not any(key in everywhere for key in scene.slots.values())
    assert scene.routing_key not in everywhere
    assert not any(root in everywhere for root in scene.roots_t0)


def test_the_old_page_is_still_there_for_who_could_open_it(scene: Scene) -> None:
    """Why all this is needed: T1 alone still holds the old leaf, in its free pages."""
    loot = everything_within_reach(scene.raw_t1, scene.roots_t0)

    assert scene.slots[5] in loot


def test_a_store_that_merely_deletes_keeps_the_key_in_its_file(tmp_path: Path) -> None:
    """Control: the search through raw bytes finds what a naive vault leaves behind."""
    key = bytes(range(100, 132))
    env = lmdb.open(str(tmp_path), map_size=1024 * 1024)
    for number in range(50):
        with env.begin(write=True) as txn:
            txn.put(b"slot %d" % number, key if number == 5 else bytes([number]) * 32)
    with env.begin(write=True) as txn:
        assert txn.delete(b"slot 5")
    env.close()

    assert key in raw_bytes(tmp_path)


def test_a_crash_before_effacing_leaves_nothing_once_the_vault_is_open_again(vault) -> None:
    (slot,) = vault.tree.allocate(1)
    raw_t0 = raw_bytes(vault.database)
    vault.crash_at("before efface")
    with pytest.raises(BaseException, match="before efface"):
        vault.tree.erase([1])

    in_between = [key.key for key in FileRootKeyStore(vault.root_folder).read()]
    assert slot.key in everything_within_reach(raw_t0, in_between)

    vault.reopen()

    live = [key.key for key in FileRootKeyStore(vault.root_folder).read()]
    loot = everything_within_reach(raw_t0 + raw_bytes(vault.database, vault.root_folder), live)
    assert slot.key not in loot
