"""What is planted is found again in whatever spelling and place, and nothing else is."""

import base64
import gzip
import io
import json
import os
import zipfile
import zlib

import pytest

from heptad.trials.privacy import searching
from heptad.trials.privacy.canaries import Canaries, needles_of
from heptad.trials.privacy.searching import Searcher

CANARIES = Canaries.fresh()
TEXT = CANARIES.text("payload").encode()


@pytest.fixture
def searcher():
    return Searcher(CANARIES.needles())


SPELLINGS = {
    "as it is": lambda text: text,
    "in JSON": lambda text: json.dumps({"note": text.decode()}).encode(),
    "in base64": base64.b64encode,
    "in base64url": base64.urlsafe_b64encode,
    "in base64 twice": lambda text: base64.b64encode(base64.b64encode(text)),
    "in hexadecimal": lambda text: text.hex().encode(),
    "in upper hexadecimal": lambda text: text.hex().upper().encode(),
    "hexadecimal in base64": lambda text: base64.b64encode(text.hex().encode()),
    "base64 in hexadecimal": lambda text: base64.b64encode(text).hex().encode(),
    "in UTF-16": lambda text: text.decode().encode("utf-16-le"),
    "in gzip": gzip.compress,
    "in zlib": zlib.compress,
    "base64 in zlib": lambda text: zlib.compress(base64.b64encode(text)),
}


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("before", range(4))
def test_a_canary_is_found_in_every_spelling_and_at_every_offset(searcher, spelt, before):
    wrapped = b"\0\xff\n" + spelt(b"?" * before + TEXT + b"!")

    assert searcher.search(wrapped, place="here")


def test_a_canary_is_found_in_a_member_of_a_zip(searcher):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.json", b"x" * 500 + TEXT)

    (found,) = searcher.search(packed.getvalue(), place="export")

    assert found.spelling == "plain in zip"


def test_random_bytes_and_another_runs_canaries_are_no_finding(searcher):
    other = Canaries.fresh().text("payload").encode()

    assert searcher.search(os.urandom(1 << 20) + other + base64.b64encode(other), place="x") == []


def test_a_finding_names_place_and_byte_and_not_what_was_found(searcher):
    (found,) = searcher.search(b"12345" + TEXT, place="log.jsonl", offset=100)

    assert str(found) == "log.jsonl, byte 105: mark, plain"
    assert CANARIES.mark not in repr(found) + repr(CANARIES) + repr(CANARIES.needles())


@pytest.mark.parametrize("at", range(-20, 4))
def test_a_canary_across_two_reads_of_a_file_is_found(searcher, tmp_path, monkeypatch, at):
    monkeypatch.setattr(searching, "CHUNK_BYTES", 64)
    path = tmp_path / "file"
    path.write_bytes(b"." * (64 + at) + TEXT + b"." * 100)

    assert {found.offset for found in searcher.search_file(path, place="file")} == {64 + at}


def test_holes_are_passed_over_and_what_lies_between_them_is_found(searcher, tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(1 << 30)
        file.write(TEXT)
        file.truncate(1 << 31)

    assert [found.offset for found in searcher.search_file(path, place="sparse")] == [1 << 30]
    assert searcher.bytes < 1 << 20


def test_what_comes_late_to_the_list_is_looked_for_too(searcher):
    searcher.look_for(tuple(needles_of("a subject's id", b"c1-abcdefghijklmnopqrstuvwxyz")))

    found = searcher.search(base64.b64encode(b'{"iss":"c1-abcdefghijklmnopqrstuvwxyz"'), place="x")

    assert {each.what for each in found} == {"a subject's id"}


def test_a_bomb_is_inflated_to_a_limit_only(searcher):
    bomb = gzip.compress(bytes(searching.INFLATED_BYTES_MAX * 4))

    (found,) = searching.inflated(bomb)

    assert len(found[2]) == searching.INFLATED_BYTES_MAX


def test_needles_that_chance_would_meet_are_left_out():
    assert [needle for needle in needles_of("x", b"short") if len(needle.data) < 12] == []


def test_how_far_a_search_has_come_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "CHUNK_BYTES", 64)
    told = []
    searcher = Searcher(CANARIES.needles(), searched=told.append)
    (tmp_path / "file").write_bytes(b"x" * 150)

    searcher.search_file(tmp_path / "file", place="file")

    assert told == [64, 128, 150]
