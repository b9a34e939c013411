"""A vault is looked at without being changed, and what contradicts itself is told."""

import lmdb
import pytest

from heptad.vault.errors import SlotErasedError, SlotUnknownError, VaultCorruptError
from heptad.vault.inspection import VaultInspector
from heptad.vault.root_keys import MemoryRootKeyStore
from heptad.vault.tree import KeyTree


@pytest.fixture
def vault(tmp_path):
    """Five slots, of which the third is erased; closed."""
    roots = MemoryRootKeyStore()
    tree = KeyTree.create(tmp_path / "vault", roots, now_ms=0, map_bytes=1 << 26)
    slots = [made.slot for made in tree.allocate(5)]
    tree.erase([slots[2]])
    tree.close()
    return tmp_path / "vault", roots, slots


def inspected(folder, roots):
    wrong = []
    inspector = VaultInspector(folder, roots)
    states = list(inspector.slots(wrong.append))
    inspector.close()
    return states, wrong


def alter(folder, table, key, change):
    with lmdb.open(str(folder), max_dbs=3, map_size=1 << 26) as env:
        handle = env.open_db(table, create=False)
        with env.begin(write=True, db=handle) as transaction:
            transaction.put(key, change(bytes(transaction.get(key))))


def test_every_slot_that_was_given_out_is_seen_and_erased_ones_have_no_key(vault):
    folder, roots, slots = vault
    states, wrong = inspected(folder, roots)
    assert [state.slot for state in states] == slots
    assert [state.key is None for state in states] == [False, False, True, False, False]
    assert wrong == []


def test_a_look_up_says_what_a_tree_says(vault):
    folder, roots, slots = vault
    inspector = VaultInspector(folder, roots)
    assert len(inspector.lookup(slots[0])) == 32
    with pytest.raises(SlotErasedError):
        inspector.lookup(slots[2])
    with pytest.raises(SlotUnknownError):
        inspector.lookup(slots[-1] + 1)
    inspector.close()


def test_a_key_on_a_slot_that_was_never_given_out_is_told(vault):
    folder, roots, slots = vault
    alter(folder, b"meta", b"state", lambda row: row[:8] + slots[-1].to_bytes(8, "big"))
    assert f"slot {slots[-1]} has a key and was never given out" in inspected(folder, roots)[1]


def test_a_changed_note_of_an_erasure_is_told_and_never_believed(vault):
    folder, roots, slots = vault
    key = slots[2].to_bytes(8, "big")
    alter(folder, b"erased", key, lambda row: row[:12] + bytes((row[12] ^ 1,)) + row[13:])
    assert f"what is kept of slot {slots[2]}'s erasure was altered" in inspected(folder, roots)[1]
    tree = KeyTree.open(folder, roots, map_bytes=1 << 26)
    with pytest.raises(VaultCorruptError):
        tree.erase([slots[2]])
    tree.close()
