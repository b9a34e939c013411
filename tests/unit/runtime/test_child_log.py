"""A child's output: whole lines out, a bounded file, and the last lines at hand."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from heptad.runtime.child_log import LINE_LENGTH_MAX, TAIL_LINES, ChildLog


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_lines_do_not_depend_on_how_output_is_cut_into_chunks(
    tmp_path_factory, chunks: list[bytes]
) -> None:
    log = ChildLog(tmp_path_factory.mktemp("log") / "log.jsonl")
    found = [line for chunk in chunks for line in log.append(chunk)]
    log.close()
    *complete, _ = b"".join(chunks).split(b"\n")
    assert found == [line.decode("utf-8", "replace") for line in complete if line]


def test_the_file_holds_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = ChildLog(path)
    log.append(b"one\ntw")
    log.append(b"o\nthree")
    assert path.read_bytes() == b"one\ntwo\nthree"


def test_an_older_log_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"before\n")
    ChildLog(path).append(b"after\n")
    assert path.read_bytes() == b"before\nafter\n"


def test_the_tail_is_the_last_lines_with_one_that_has_not_ended(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "log.jsonl")
    log.append(b"".join(b"line %d\n" % n for n in range(100)) + b"Killed")
    assert log.tail() == [f"line {n}" for n in range(100 - TAIL_LINES, 100)] + ["Killed"]


def test_a_line_without_an_end_does_not_grow_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = ChildLog(path)
    for _ in range(100):
        log.append(b"x" * 1_000)
    assert log.tail() == ["x" * LINE_LENGTH_MAX]
    assert path.stat().st_size == 100_000


def test_disk_use_is_bounded_by_twice_the_limit_and_the_newest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = ChildLog(path, bytes_max=100)
    for n in range(1_000):
        log.append(b"line %03d\n" % n)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 200
    kept = path.with_name("log.jsonl.1").read_bytes() + path.read_bytes()
    assert kept.endswith(b"line 998\nline 999\n")


@contextmanager
def no_file_longer_than(size_bytes: int) -> Iterator[None]:
    """The kernel refuses what goes beyond, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_loses_lines_of_the_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = ChildLog(path)
    with no_file_longer_than(8):
        assert log.append(b"one\n") == ["one"]
        assert log.append(b"two\nthree\n") == ["two", "three"]
        assert log.append(b"four\n") == ["four"]
    assert log.append(b"five\n") == ["five"]
    assert log.tail() == ["one", "two", "three", "four", "five"]
    first, second, told, last = filter(None, path.read_text().splitlines())
    assert (first, second, last) == ("one", "two", "five")
    assert json.loads(told) == {"event": "log_lost", "bytes": 11}


def test_a_log_that_cannot_be_rotated_goes_on_in_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    log = ChildLog(folder / "log.jsonl", bytes_max=10)
    log.append(b"one two\n")
    folder.rename(tmp_path / "moved")
    assert log.append(b"three four\n") == ["three four"]
    (tmp_path / "moved").rename(folder)
    log.append(b"five\n")
    kept = [path.read_text() for path in sorted(folder.iterdir())]
    assert kept == ['\n{"event": "log_lost", "bytes": 11}\nfive\n', "one two\n"]
