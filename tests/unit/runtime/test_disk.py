"""Small files: the old bytes or the new ones, with the mode that was asked for."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from heptad.runtime.disk import disk_of, write_atomically


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize("mode", [0o600, 0o644])
@pytest.mark.usefixtures("strict_umask")
def test_the_mode_is_the_one_that_was_asked_for_whatever_the_umask(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"x", mode=mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_new_bytes_take_the_place_of_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old and long", mode=0o600)
    write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_bytes_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old", mode=0o600)

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folders_disk_has_more_room_than_is_free(tmp_path: Path) -> None:
    free, size = disk_of(tmp_path)
    assert 0 < free < size
