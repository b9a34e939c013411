"""A crash at each numbered step of an erasure: nothing is lost, nothing erased comes back.

The steps are those of `heptad.vault.tree`: 2 stage the next root key, 3 commit, 4 efface the old.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import lmdb
import pytest

from heptad.vault import node_store
from heptad.vault.errors import (
    RootKeyStoreError,
    SlotErasedError,
    VaultStorageError,
)
from heptad.vault.root_files import BLOCK_BYTES, FileRootKeyStore
from heptad.vault.tree import KeyTree

MAP_BYTES = 64 * 1024 * 1024

# Where the crash hits, and whether the erasure has happened by then.
POINTS = [
    ("before stage", False),
    ("after stage", False),
    ("before efface", True),
    ("after efface", True),
]


@pytest.mark.parametrize(("point", "erased"), POINTS)
def test_after_a_crash_the_database_decides(vault, point: str, erased: bool) -> None:
    slots = vault.tree.allocate(200)
    vault.crash_at(point)

    with pytest.raises(BaseException, match=point):
        vault.tree.erase([7])
    tree = vault.reopen()

    assert tree.epoch == (2 if erased else 1)
    assert vault.root_epochs() == [tree.epoch]
    assert all(tree.lookup(slot.slot) == slot.key for slot in slots if slot.slot != 7)
    if erased:
        with pytest.raises(SlotErasedError):
            tree.lookup(7)
    else:
        assert tree.lookup(7) == slots[6].key


@pytest.mark.parametrize(("point", "erased"), POINTS)
def test_the_same_call_again_completes_the_erasure(vault, point: str, erased: bool) -> None:
    vault.tree.allocate(200)
    vault.crash_at(point)
    with pytest.raises(BaseException, match=point):
        vault.tree.erase([7])

    answer = vault.reopen().erase([7])

    assert answer[7].epoch == vault.tree.epoch == 2
    assert vault.root_epochs() == [2]
    with pytest.raises(SlotErasedError):
        vault.tree.lookup(7)


@pytest.mark.parametrize("length", range(0, 81, 10))
def test_a_root_key_torn_while_staged_is_destroyed(vault, length: int) -> None:
    (slot,) = vault.tree.allocate(1)
    vault.crash_at("after stage")
    with pytest.raises(BaseException, match="after stage"):
        vault.tree.erase([1])
    path = vault.root_folder / "root-0.key"
    whole = path.read_bytes()
    path.write_bytes(whole[:length] + bytes(BLOCK_BYTES - length))

    tree = vault.reopen()

    assert path.read_bytes() == bytes(BLOCK_BYTES)
    assert tree.lookup(1) == slot.key
    assert tree.erase([1])[1].epoch == 2


@pytest.mark.parametrize("length", range(0, 80, 10))
def test_a_root_key_torn_while_effaced_is_effaced_for_good(vault, length: int) -> None:
    vault.tree.allocate(2)
    vault.crash_at("before efface")
    with pytest.raises(BaseException, match="before efface"):
        vault.tree.erase([1])
    path = vault.root_folder / "root-1.key"
    whole = path.read_bytes()
    path.write_bytes(bytes(length) + whole[length:])

    vault.reopen()

    assert path.read_bytes() == bytes(BLOCK_BYTES)
    assert vault.root_epochs() == [2]


def test_a_root_key_that_cannot_be_effaced_stops_the_answer_until_it_can(vault) -> None:
    vault.tree.allocate(2)
    real = vault.roots

    class Stubborn(FileRootKeyStore):
        willing = False

        def efface_all_but(self, epoch: int) -> None:
            if not self.willing:
                raise RootKeyStoreError("the drive refuses")
            super().efface_all_but(epoch)

    vault.tree._roots = stubborn = Stubborn(vault.root_folder)

    for _ in range(2):
        with pytest.raises(RootKeyStoreError, match="refuses"):
            vault.tree.erase([1])
        assert [key.epoch for key in real.read()] == [1, 2]
        with pytest.raises(SlotErasedError):
            vault.tree.lookup(1)

    stubborn.willing = True
    assert vault.tree.erase([1])[1].epoch == 2
    assert [key.epoch for key in real.read()] == [2]


def test_no_open_node_outlives_its_epoch_even_if_effacing_fails(vault) -> None:
    (slot,) = vault.tree.allocate(1)
    vault.tree.lookup(1)
    vault.crash_at("before efface")
    vault.tree.lookup(1)

    with pytest.raises(BaseException, match="before efface"):
        vault.tree.erase([1])

    nodes = vault.tree._nodes
    assert not any(slot.key in plain for plain in [*nodes._leaves.values()])


class _Commit:
    """LMDB whose next commit ends in an error, with or without having happened."""

    def __init__(self, *, really_commits: bool) -> None:
        self.really_commits = really_commits
        self.armed = False

    def open(self, *args: object, **options: object) -> object:
        env = lmdb.open(*args, **options)
        outer = self

        class Txn:
            def __init__(self, inner: lmdb.Transaction) -> None:
                self._inner = inner
                self.put, self.abort = inner.put, inner.abort

            def commit(self) -> None:
                if not outer.armed:
                    self._inner.commit()
                    return
                outer.armed = False
                if outer.really_commits:
                    self._inner.commit()
                else:
                    self._inner.abort()
                raise lmdb.Error("input/output error")

        def begin(write: bool = False) -> object:
            return Txn(env.begin(write=True)) if write else env.begin()

        return SimpleNamespace(begin=begin, open_db=env.open_db, close=env.close)


@pytest.mark.parametrize("really_commits", [False, True])
def test_after_a_commit_of_unknown_outcome_no_root_key_is_effaced(
    vault, monkeypatch, really_commits: bool
) -> None:
    """The wrong guess would destroy the only key of the whole vault."""
    slots = vault.tree.allocate(2)
    vault.tree.close()
    fault = _Commit(really_commits=really_commits)
    monkeypatch.setattr(node_store, "lmdb", SimpleNamespace(open=fault.open, Error=lmdb.Error))
    tree = KeyTree.open(vault.database, vault.roots, map_bytes=MAP_BYTES)

    fault.armed = True
    for _ in range(3):
        with pytest.raises(VaultStorageError):
            tree.erase([1])
        assert vault.root_epochs() == [1, 2]
    with pytest.raises(VaultStorageError):
        tree.allocate(1)
    tree.close()
    monkeypatch.undo()

    tree = vault.reopen()
    assert tree.epoch == (2 if really_commits else 1)
    assert tree.lookup(2) == slots[1].key
    assert tree.erase([1])[1].epoch == 2


def test_a_full_database_refuses_and_the_vault_lives_on(tmp_path: Path) -> None:
    roots = FileRootKeyStore(tmp_path / "root")
    tree = KeyTree.create(tmp_path / "db", roots, now_ms=1, map_bytes=1024 * 1024)
    given_out = {}

    with pytest.raises(VaultStorageError, match="write"):  # noqa: PT012  the loop is the point
        for _ in range(10_000):
            given_out.update({slot.slot: slot.key for slot in tree.allocate(500)})

    assert all(tree.lookup(slot) == key for slot, key in given_out.items())
    tree.close()
    tree = KeyTree.open(tmp_path / "db", roots, map_bytes=8 * 1024 * 1024)
    assert all(tree.lookup(slot) == key for slot, key in given_out.items())
    assert tree.allocate(1)[0].slot == max(given_out) + 1
    tree.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from heptad.vault.node_store import NodeStore
from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.tree import KeyTree

home, point = Path(sys.argv[1]), sys.argv[2]
tree = KeyTree.open(home / "db", FileRootKeyStore(home / "root"), map_bytes=64 * 1024 * 1024)

def die(owner, name, where):
    real = getattr(owner, name)
    def dying(self, *args, **named):
        if where == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, *args, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, dying)

where, name = point.split()
die(NodeStore if name == "commit" else FileRootKeyStore, name, where)
tree.erase([7])
print("survived")
"""


@pytest.mark.parametrize(
    ("point", "erased"),
    [
        ("before stage", False),
        ("after stage", False),
        ("before commit", False),
        ("after commit", True),
        ("before efface_all_but", True),
        ("after efface_all_but", True),
    ],
)
def test_a_killed_process_leaves_a_vault_that_recovers(vault, point: str, erased: bool) -> None:
    slots = vault.tree.allocate(200)
    vault.tree.close()

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(vault.database.parent), point],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ},
    )

    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, b""), killed.stderr.decode()
    tree = vault.reopen()
    assert tree.epoch == (2 if erased else 1)
    assert vault.root_epochs() == [tree.epoch]
    assert all(tree.lookup(slot.slot) == slot.key for slot in slots if slot.slot != 7)
    assert tree.erase([7])[7].epoch == 2
