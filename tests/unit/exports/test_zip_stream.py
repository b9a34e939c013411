"""The zip writer: what others' readers read out of it is what was put in, at every size."""

import io
import shutil
import subprocess
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.exports import zip_stream
from heptad.exports.zip_stream import ArchiveTooLargeError, ZipStream

TIME_MS = 1_760_000_000_000


def written(files, *, time_ms=TIME_MS):
    stream = ZipStream(time_ms=time_ms)
    parts = []
    for name, chunks in files:
        parts.append(stream.begin(name))
        parts += [stream.write(chunk) for chunk in chunks]
        parts.append(stream.end())
    return b"".join([*parts, stream.finish()])


def read(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [(name, archive.read(name)) for name in archive.namelist()]


NAMES = st.lists(
    st.text("abcäß/_-.", min_size=1, max_size=12).filter(lambda n: not n.startswith("/")),
    unique=True,
    max_size=5,
)
CHUNKS = st.lists(st.binary(max_size=300), max_size=4)


@settings(max_examples=60)
@given(st.data())
def test_what_was_written_is_what_is_read(data):
    files = [(name, data.draw(CHUNKS)) for name in data.draw(NAMES)]
    assert read(written(files)) == [(name, b"".join(chunks)) for name, chunks in files]


def test_the_same_content_makes_the_same_bytes():
    files = [("a", [b"x" * 10_000]), ("b", [])]
    assert written(files) == written(files)
    assert written(files) != written(files, time_ms=TIME_MS + 60_000)


def test_a_large_file_is_written_in_pieces_and_packed():
    data = written([("zeros", [bytes(100_000)] * 50)])
    assert len(data) < 100_000
    assert read(data) == [("zeros", bytes(5_000_000))]


def test_more_files_than_sixteen_bits_count_are_all_found():
    count = 65_535
    data = written([(f"{n}", []) for n in range(count)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == count
        assert archive.namelist()[-1] == f"{count - 1}"


@pytest.mark.skipif(shutil.which("unzip") is None, reason="needs unzip")
def test_info_zip_finds_no_fault(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(written([(f"folder/{n}", [b"%d" % n] * n) for n in range(200)]))
    assert subprocess.run(["unzip", "-tq", path], check=False, capture_output=True).returncode == 0


def test_an_archive_beyond_its_limit_is_refused(monkeypatch):
    monkeypatch.setattr(zip_stream, "ARCHIVE_BYTES_MAX", 1_000)
    with pytest.raises(ArchiveTooLargeError):
        written([("a", [bytes(range(256))]), ("b", [bytes(range(256))]), ("c", [b""] * 9)] * 2)
