"""A child's output: whole lines out, a bounded file, and the last lines at hand."""

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
