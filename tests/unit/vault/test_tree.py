"""The key tree: what is given out is durable, what is erased is gone, the rest stays."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heptad.crypto.errors import SealBrokenError
from heptad.vault import cell_keys, open_nodes
from heptad.vault import tree as tree_module
from heptad.vault.errors import (
    RootKeyLostError,
    RoutingKeyGoneError,
    SlotErasedError,
    SlotUnknownError,
    VaultCorruptError,
    VaultFullError,
    VaultMissingError,
)
from heptad.vault.nodes import NodeId, open_node, seal_node
from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.root_keys import MemoryRootKeyStore, RootKey
from heptad.vault.tree import ALLOCATION_MAX, KeyTree

MAP_BYTES = 64 * 1024 * 1024


def test_slots_count_from_one_and_have_keys_of_their_own(vault) -> None:
    slots = vault.tree.allocate(300)

    assert [slot.slot for slot in slots] == list(range(1, 301))
    assert len({slot.key for slot in slots}) == 300
    assert all(vault.tree.lookup(slot.slot) == slot.key for slot in slots)


def test_what_was_given_out_survives_the_process(vault) -> None:
    slots = [*vault.tree.allocate(200), *vault.tree.allocate(1)]

    tree = vault.reopen()

    assert all(tree.lookup(slot.slot) == slot.key for slot in slots)
    assert tree.allocate(1)[0].slot == 202


def test_slots_are_durable_before_they_are_given_out(vault, monkeypatch) -> None:
    def fails(*_args: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(vault.tree._store, "commit", fails)
    with pytest.raises(OSError, match="no"):
        vault.tree.allocate(5)
    monkeypatch.undo()

    assert vault.tree.slot_next == 1
    assert vault.tree.allocate(1)[0].slot == 1


def test_a_slot_that_was_never_given_out_is_unknown(vault) -> None:
    vault.tree.allocate(3)

    for slot in (-1, 0, 4, 2**40, 2**63):
        with pytest.raises(SlotUnknownError):
            vault.tree.lookup(slot)


@pytest.mark.parametrize("count", [-1, 0, ALLOCATION_MAX + 1])
def test_one_allocation_is_bounded(vault, count: int) -> None:
    with pytest.raises(ValueError, match="at once"):
        vault.tree.allocate(count)


def test_a_full_tree_says_so(vault, monkeypatch) -> None:
    monkeypatch.setattr(tree_module, "SLOTS_MAX", 10)
    vault.tree.allocate(9)

    with pytest.raises(VaultFullError, match="0 slots are left"):
        vault.tree.allocate(1)


# --- erasing ---


def test_an_erased_key_is_gone_and_its_neighbours_stay(vault) -> None:
    slots = vault.tree.allocate(300)

    erased = vault.tree.erase([5])

    assert erased[5].epoch == vault.tree.epoch == 2
    for tree in vault.now_and_after_a_restart():
        with pytest.raises(SlotErasedError):
            tree.lookup(5)
        assert all(tree.lookup(slot.slot) == slot.key for slot in slots if slot.slot != 5)


def test_an_erased_slot_is_never_given_out_again(vault) -> None:
    vault.tree.allocate(3)
    vault.tree.erase([3])

    assert vault.reopen().allocate(1)[0].slot == 4


def test_many_slots_are_erased_in_one_epoch(vault) -> None:
    vault.tree.allocate(400)

    erased = vault.tree.erase(range(100, 350))

    assert erased.keys() == set(range(100, 350))
    assert {row.epoch for row in erased.values()} == {2}
    assert vault.root_epochs() == [2]


def test_every_node_of_the_path_is_rekeyed_and_no_other(vault) -> None:
    """A leaf that kept its key could be opened by an old copy of its parent."""
    vault.tree.allocate(300)
    names = (NodeId(0, 0), NodeId(1, 0), NodeId(2, 0), NodeId(2, 1), NodeId(3, 0))
    before = {name: vault.tree._nodes._key_of(name) for name in names}

    vault.tree.erase([5])

    after = {name: vault.tree._nodes._key_of(name) for name in names}
    changed = {name for name in names if before[name] != after[name]}
    assert changed == {NodeId(0, 0), NodeId(1, 0), NodeId(2, 0)}


def test_the_old_root_key_is_gone_when_erase_returns(vault) -> None:
    vault.tree.allocate(1)
    (old,) = vault.roots.read()

    vault.tree.erase([1])

    (new,) = vault.roots.read()
    assert new.epoch == old.epoch + 1
    assert new.key != old.key


def test_erasing_twice_gives_the_same_answer_and_no_new_epoch(vault) -> None:
    vault.tree.allocate(2)
    first = vault.tree.erase([1])

    assert vault.tree.erase([1]) == first
    assert vault.reopen().erase([1, 1]) == first
    assert vault.tree.epoch == 2


def test_old_and_new_erasures_are_answered_together(vault) -> None:
    vault.tree.allocate(3)
    vault.tree.erase([1])

    answers = vault.tree.erase([1, 2])

    assert {slot: row.epoch for slot, row in answers.items()} == {1: 2, 2: 3}


def test_the_answer_names_the_root_node_as_it_was_written(vault) -> None:
    vault.tree.allocate(1)

    erased = vault.tree.erase([1])

    blob = vault.tree._store.blob(NodeId(0, 0))
    assert erased[1].root_hash == hashlib.sha256(blob).digest()


def test_an_unknown_slot_stops_the_whole_erasure(vault) -> None:
    vault.tree.allocate(2)

    with pytest.raises(SlotUnknownError):
        vault.tree.erase([1, 3])

    assert vault.tree.epoch == 1
    vault.tree.lookup(1)


def test_erasing_nothing_changes_nothing(vault) -> None:
    assert vault.tree.erase([]) == {}
    assert vault.tree.epoch == 1


# --- the cell's own keys ---


def test_the_cell_has_its_keys_from_the_start(vault) -> None:
    index_key, current = vault.tree.index_key(), vault.tree.current_routing_key()

    tree = vault.reopen()

    assert len(index_key) == len(current.key.key) == 32
    assert current.key.key_id == 1
    assert (tree.index_key(), tree.current_routing_key()) == (index_key, current)


def test_a_rotated_routing_key_is_durable_and_the_old_one_stays_readable(vault) -> None:
    old = vault.tree.current_routing_key()
    new = vault.tree.rotate_routing_key(now_ms=5)

    tree = vault.reopen()

    assert (new.key.key_id, new.created_ms) == (2, 5)
    assert tree.current_routing_key() == new
    assert tree.routing_key(1) == old.key
    assert tree.routing_keys() == (old, new)
    assert tree.epoch == 1


def test_a_destroyed_routing_key_is_gone_and_its_number_is_not_used_again(vault) -> None:
    vault.tree.rotate_routing_key(now_ms=5)

    vault.tree.erase(routing_key_ids=[1])

    for tree in vault.now_and_after_a_restart():
        with pytest.raises(RoutingKeyGoneError):
            tree.routing_key(1)
    assert vault.tree.epoch == 2
    assert vault.tree.rotate_routing_key(now_ms=6).key.key_id == 3


def test_destroying_a_routing_key_twice_begins_no_new_epoch(vault) -> None:
    vault.tree.rotate_routing_key(now_ms=5)
    vault.tree.erase(routing_key_ids=[1])

    vault.tree.erase(routing_key_ids=[1, 99])

    assert vault.tree.epoch == 2


def test_the_current_routing_key_is_not_destroyed(vault) -> None:
    with pytest.raises(ValueError, match="in use"):
        vault.tree.erase(routing_key_ids=[1])

    assert vault.tree.epoch == 1


def test_slots_and_routing_keys_go_in_one_epoch(vault) -> None:
    vault.tree.allocate(2)
    index_key = vault.tree.index_key()
    vault.tree.rotate_routing_key(now_ms=5)

    vault.tree.erase([1], routing_key_ids=[1])

    assert vault.tree.epoch == 2
    assert vault.reopen().index_key() == index_key
    with pytest.raises(RoutingKeyGoneError):
        vault.tree.routing_key(1)


def test_routing_keys_are_bounded(vault, monkeypatch) -> None:
    monkeypatch.setattr(cell_keys, "ROUTING_KEYS_MAX", 2)
    vault.tree.rotate_routing_key(now_ms=5)

    with pytest.raises(VaultFullError):
        vault.tree.rotate_routing_key(now_ms=6)


# --- opening ---


def test_there_is_no_vault_where_none_was_made(tmp_path: Path) -> None:
    with pytest.raises(VaultMissingError):
        KeyTree.open(tmp_path / "db", MemoryRootKeyStore(), map_bytes=MAP_BYTES)


def test_creating_again_opens_what_is_there(vault) -> None:
    (slot,) = vault.tree.allocate(1)
    vault.tree.erase([])
    vault.tree.close()

    vault.tree = KeyTree.create(vault.database, vault.roots, now_ms=9, map_bytes=MAP_BYTES)

    assert vault.tree.lookup(1) == slot.key


def test_a_lost_database_is_not_replaced_by_an_empty_one(vault, tmp_path: Path) -> None:
    """The root key may still open a backup: it must not be destroyed, nor used for another tree."""
    vault.tree.allocate(1)
    vault.tree.erase([1])
    vault.tree.close()

    with pytest.raises(RootKeyLostError, match=r"\[2\]"):
        KeyTree.create(tmp_path / "empty", vault.roots, now_ms=9, map_bytes=MAP_BYTES)

    assert vault.root_epochs() == [2]
    with pytest.raises(VaultMissingError):
        KeyTree.open(tmp_path / "empty", vault.roots, map_bytes=MAP_BYTES)
    vault.reopen()


def test_creating_beside_a_first_root_key_uses_it(vault, tmp_path: Path) -> None:
    (key,) = vault.roots.read()
    vault.tree.close()

    KeyTree.create(tmp_path / "empty", vault.roots, now_ms=9, map_bytes=MAP_BYTES).close()

    assert list(vault.roots.read()) == [key]
    vault.reopen()


def test_without_its_root_key_a_vault_does_not_open(vault) -> None:
    vault.tree.close()

    with pytest.raises(RootKeyLostError, match=r"epoch 1.*\[\]"):
        KeyTree.open(vault.database, MemoryRootKeyStore(), map_bytes=MAP_BYTES)
    vault.reopen()


def test_a_root_key_that_does_not_open_the_root_destroys_nothing(vault) -> None:
    vault.tree.close()
    roots = MemoryRootKeyStore()
    roots.stage(RootKey(1, bytes(32)))
    roots.stage(RootKey(2, bytes(32)))

    with pytest.raises(VaultCorruptError):
        KeyTree.open(vault.database, roots, map_bytes=MAP_BYTES)

    assert [key.epoch for key in roots.read()] == [1, 2]
    vault.reopen()


def test_a_database_older_than_its_root_key_does_not_open_and_destroys_nothing(
    vault, tmp_path: Path
) -> None:
    """A restored backup from before an erasure: its root key is gone, as it must be."""
    vault.tree.allocate(1)
    vault.tree.close()
    shutil.copytree(vault.database, tmp_path / "backup")
    vault.reopen().erase([1])

    with pytest.raises(RootKeyLostError, match=r"epoch 1.*\[2\]"):
        KeyTree.open(tmp_path / "backup", FileRootKeyStore(vault.root_folder), map_bytes=MAP_BYTES)

    assert vault.root_epochs() == [2]


def test_a_blob_in_another_nodes_place_does_not_open(vault) -> None:
    blob = seal_node(NodeId(2, 1), b"keys", key=bytes(32), epoch=3, nonce=bytes(24))

    assert open_node(NodeId(2, 1), blob, key=bytes(32)) == b"keys"
    other_epoch = bytes(7) + b"\x04" + blob[8:]
    cut_off = [(NodeId(2, 1), blob[:length]) for length in (0, 7, 20, 40, len(blob) - 1)]
    for node, changed in ((NodeId(2, 2), blob), (NodeId(2, 1), other_epoch), *cut_off):
        with pytest.raises(SealBrokenError):
            open_node(node, changed, key=bytes(32))


def test_the_database_is_never_opened_without_synchronous_commits(vault) -> None:
    flags = vault.tree._store._env.flags()

    assert flags["sync"]
    assert flags["metasync"]
    assert not flags["writemap"]
    assert not flags["map_async"]


def test_open_nodes_are_bounded(vault, monkeypatch) -> None:
    monkeypatch.setattr(open_nodes, "LEAVES_CACHED_MAX", 2)
    slots = vault.tree.allocate(128 * 5)

    assert all(vault.tree.lookup(slot.slot) == slot.key for slot in slots)
    assert len(vault.tree._nodes._leaves) == 2


class AnyHistory(RuleBasedStateMachine):
    """The tree against a dict, through any history of calls and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.roots = MemoryRootKeyStore()
        self.tree = KeyTree.create(Path(self.home.name), self.roots, now_ms=1, map_bytes=MAP_BYTES)
        self.keys: dict[int, bytes | None] = {}
        self.routing = {1: self.tree.routing_key(1)}

    @rule(count=st.integers(1, 200))
    def allocate(self, count: int) -> None:
        for slot in self.tree.allocate(count):
            assert slot.slot not in self.keys
            self.keys[slot.slot] = slot.key

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        slots = data.draw(st.sets(st.sampled_from(sorted(self.keys)), max_size=5))
        erased = self.tree.erase(slots)
        assert erased.keys() == slots
        self.keys.update(dict.fromkeys(slots))

    @rule(now_ms=st.integers(0, 2**40))
    def rotate(self, now_ms: int) -> None:
        dated = self.tree.rotate_routing_key(now_ms=now_ms)
        assert dated.key.key_id not in self.routing
        self.routing[dated.key.key_id] = dated.key

    @precondition(lambda self: len(self.routing) > 1)
    @rule()
    def destroy_oldest_routing_key(self) -> None:
        oldest = min(self.routing)
        self.tree.erase(routing_key_ids=[oldest])
        del self.routing[oldest]

    @rule()
    def restart(self) -> None:
        self.tree.close()
        self.tree = KeyTree.open(Path(self.home.name), self.roots, map_bytes=MAP_BYTES)

    @invariant()
    def keys_are_what_they_should_be(self) -> None:
        for slot, key in list(self.keys.items())[-150:]:
            if key is None:
                with pytest.raises(SlotErasedError):
                    self.tree.lookup(slot)
            else:
                assert self.tree.lookup(slot) == key

    @invariant()
    def one_root_key_is_held(self) -> None:
        assert [key.epoch for key in self.roots.read()] == [self.tree.epoch]
        assert {dated.key.key_id for dated in self.tree.routing_keys()} == self.routing.keys()

    def teardown(self) -> None:
        self.tree.close()
        self.home.cleanup()


AnyHistory.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestAnyHistory = AnyHistory.TestCase
