"""The contract of every root key store, and what the file store promises beyond it."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from heptad.vault import root_files
from heptad.vault.errors import RootKeyStoreError
from heptad.vault.root_files import BLOCK_BYTES, FileRootKeyStore
from heptad.vault.root_keys import MemoryRootKeyStore, RootKey, RootKeyStore


def key(epoch: int) -> RootKey:
    return RootKey(epoch, bytes([epoch]) * 32)


@pytest.fixture(params=["memory", "file"])
def roots(request: pytest.FixtureRequest, tmp_path: Path) -> RootKeyStore:
    """Every implementation of the port; add new ones here."""
    stores: dict[str, Callable[[], RootKeyStore]] = {
        "memory": MemoryRootKeyStore,
        "file": lambda: FileRootKeyStore(tmp_path / "root"),
    }
    return stores[request.param]()


# --- the contract ---


def test_a_new_store_holds_nothing(roots: RootKeyStore) -> None:
    assert list(roots.read()) == []


def test_a_staged_key_is_held(roots: RootKeyStore) -> None:
    roots.stage(key(1))

    assert list(roots.read()) == [key(1)]


@pytest.mark.parametrize("first", [1, 2])
def test_staging_leaves_the_key_before_untouched(roots: RootKeyStore, first: int) -> None:
    roots.stage(key(first))
    roots.stage(key(first + 1))

    assert list(roots.read()) == [key(first), key(first + 1)]


@pytest.mark.parametrize("kept", [1, 2])
def test_effacing_keeps_the_one_key_and_no_other(roots: RootKeyStore, kept: int) -> None:
    roots.stage(key(1))
    roots.stage(key(2))

    roots.efface_all_but(kept)
    roots.efface_all_but(kept)

    assert list(roots.read()) == [key(kept)]


def test_the_place_of_an_effaced_key_is_free_again(roots: RootKeyStore) -> None:
    roots.stage(key(1))
    for epoch in range(2, 12):
        roots.stage(key(epoch))
        roots.efface_all_but(epoch)

    assert list(roots.read()) == [key(11)]


@pytest.mark.parametrize("epoch", [1, 3])
def test_no_key_is_staged_over_another(roots: RootKeyStore, epoch: int) -> None:
    roots.stage(key(1))

    with pytest.raises(RootKeyStoreError, match="not effaced"):
        roots.stage(RootKey(epoch, bytes(32)))

    assert list(roots.read()) == [key(1)]


def test_the_last_key_is_never_effaced(roots: RootKeyStore) -> None:
    roots.stage(key(1))
    roots.stage(key(2))

    with pytest.raises(RootKeyStoreError, match=r"epoch 3.*\[1, 2\]"):
        roots.efface_all_but(3)

    assert list(roots.read()) == [key(1), key(2)]


def test_a_store_says_what_it_is_and_cannot_promise(roots: RootKeyStore) -> None:
    assert roots.backend
    assert roots.caveat


# --- the file store ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "root"


def blocks(folder: Path) -> list[bytes]:
    return [(folder / f"root-{slot}.key").read_bytes() for slot in (0, 1)]


def test_files_survive_the_process(folder: Path) -> None:
    FileRootKeyStore(folder).stage(key(1))

    assert list(FileRootKeyStore(folder).read()) == [key(1)]


def test_files_are_for_their_owner_alone(folder: Path) -> None:
    FileRootKeyStore(folder).stage(key(1))

    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_file_is_overwritten_in_place(folder: Path) -> None:
    """A file replaced by a new one would leave the old block to chance."""
    store = FileRootKeyStore(folder)
    before = [(path.stat().st_ino, path.stat().st_size) for path in sorted(folder.iterdir())]

    store.stage(key(1))
    store.stage(key(2))
    store.efface_all_but(2)

    after = [(path.stat().st_ino, path.stat().st_size) for path in sorted(folder.iterdir())]
    assert after == before
    assert {size for _, size in after} == {BLOCK_BYTES}


def test_an_effaced_file_holds_nothing_but_zeros(folder: Path) -> None:
    store = FileRootKeyStore(folder)
    store.stage(key(1))
    store.stage(key(2))

    store.efface_all_but(2)

    even, odd = blocks(folder)
    assert odd == bytes(BLOCK_BYTES)
    assert key(2).key in even


def test_a_key_torn_while_it_is_written_is_no_key_and_the_other_one_lives(folder: Path) -> None:
    store = FileRootKeyStore(folder)
    store.stage(key(1))
    store.stage(key(2))
    whole = blocks(folder)[0]

    for length in range(0, 80, 5):
        (folder / "root-0.key").write_bytes(whole[:length] + bytes(BLOCK_BYTES - length))
        assert list(FileRootKeyStore(folder).read()) == [key(1)]


def test_a_torn_key_is_destroyed_like_a_whole_one(folder: Path) -> None:
    """The checksum may be what is torn, and the key beside it complete."""
    store = FileRootKeyStore(folder)
    store.stage(key(1))
    store.stage(key(2))
    torn = bytearray(blocks(folder)[0])
    torn[60] ^= 1
    (folder / "root-0.key").write_bytes(torn)
    assert key(2).key in blocks(folder)[0]

    FileRootKeyStore(folder).efface_all_but(1)

    assert blocks(folder)[0] == bytes(BLOCK_BYTES)
    assert list(store.read()) == [key(1)]


def test_no_changed_byte_of_a_key_file_passes_for_a_key(folder: Path) -> None:
    FileRootKeyStore(folder).stage(key(1))
    whole = blocks(folder)[1]

    for at in range(80):
        changed = bytearray(whole)
        changed[at] ^= 0x40
        (folder / "root-1.key").write_bytes(changed)
        assert list(FileRootKeyStore(folder).read()) == []


def test_an_overwrite_that_does_not_reach_the_drive_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileRootKeyStore(folder)
    store.stage(key(1))
    store.stage(key(2))
    monkeypatch.setattr(root_files.os, "pwrite", lambda _fd, block, _at: len(block))

    with pytest.raises(RootKeyStoreError, match="read back"):
        store.efface_all_but(2)


def test_every_overwrite_is_forced_to_the_drive_before_it_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileRootKeyStore(folder)
    store.stage(key(1))
    store.stage(key(2))
    calls: list[str] = []
    for name in ("pwrite", "fdatasync", "posix_fadvise", "pread"):
        real = getattr(os, name)
        monkeypatch.setattr(
            root_files.os, name, lambda *a, n=name, r=real: (calls.append(n), r(*a))[1]
        )

    store.efface_all_but(2)

    assert calls == ["pwrite", "fdatasync", "posix_fadvise", "pread"]


def test_an_unreadable_folder_is_a_fault_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(RootKeyStoreError, match="root key files"):
        FileRootKeyStore(tmp_path / "file" / "root")


def test_a_root_key_never_shows_itself() -> None:
    assert repr(key(3)) == "RootKey(epoch=3)"


def test_a_store_that_is_only_read_makes_nothing_and_takes_a_missing_file_for_effaced(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "root"
    assert list(FileRootKeyStore(folder, is_read_only=True).read()) == []
    assert not folder.exists()
    FileRootKeyStore(folder).stage(key(1))
    (folder / "root-0.key").unlink()
    assert list(FileRootKeyStore(folder, is_read_only=True).read()) == [key(1)]
    assert [path.name for path in folder.iterdir()] == ["root-1.key"]
